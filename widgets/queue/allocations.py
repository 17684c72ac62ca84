"""What a cluster's jobs do, in words. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

from engines.protocol.messages import Allocation, QueueState

_PLAIN = {
    "Resources": "no node has room",
    "Priority": "other jobs come first",
    "BeginTime": "its time to begin has not come",
    "Reservation": "its reservation has not begun",
    "NodeDown": "a node that it needs is down",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs now",
    "PartitionNodeLimit": "it asks for more nodes than the partition gives",
    "PartitionTimeLimit": "it asks for more time than the partition gives",
    "JobHeldUser": "it is held by its owner",
    "JobHeldAdmin": "it is held by the administrator",
    "Licenses": "no licence is free",
}
"""Slurm's words for why a job waits, where they are not plain enough (squeue, JOB REASON CODES)."""
_NODES = 3
"""Named at most."""


def waiting_text(jobs: Sequence[Allocation]) -> str:
    """ "3 jobs waiting in Slurm: no node has room (Resources)"; "" where none waits."""
    waiting = [job for job in jobs if job.state == "waiting"]
    known = [job for job in waiting if job.id]
    reasons = list(dict.fromkeys(_plain(job.reason) for job in waiting if job.reason))[:_NODES]
    if not known:
        return reasons[0] if reasons else ""  # Slurm itself does not answer
    text = f"{_count(len(known))} waiting in Slurm"
    return f"{text}: {', '.join(reasons)}" if reasons else text


def jobs_text(jobs: Sequence[Allocation]) -> str:
    """Those that run with their nodes, then those that wait: "1 job running on node-3; 2 jobs waiting in Slurm"."""
    running = [job for job in jobs if job.state == "running"]
    nodes = list(dict.fromkeys(job.node for job in running if job.node))
    more = f" and {len(nodes) - _NODES} more" if len(nodes) > _NODES else ""
    where = f" on {', '.join(nodes[:_NODES])}{more}" if nodes else ""
    parts = [f"{_count(len(running))} running{where}"] if running else []
    return "; ".join(part for part in (*parts, waiting_text(jobs)) if part)


def why_nothing_starts(state: QueueState) -> str:
    """As a sentence; "" where that is not known, or something runs."""
    if state.paused or state.in_state("running"):
        return ""
    text = waiting_text(state.allocations)
    return f"No trial can start yet: {text}." if text else state.nothing_starts


def _plain(reason: str) -> str:
    return f"{_PLAIN[reason]} ({reason})" if reason in _PLAIN else reason


def _count(jobs: int) -> str:
    return f"{jobs} job{'' if jobs == 1 else 's'}"
