"""How a trial ended whose job ended under it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engines.protocol.records import OutcomeName, TrialEnded
from engines.runner.outcome import Ending, Judgement

_KEPT = "What was measured until then is kept, and what waited in the job is queued again."
_AGAIN = "Run the trial again for a complete one."
_OUTCOMES: Mapping[str, tuple[OutcomeName, str, str, str]] = {
    "CANCELLED": ("stopped", "", "was cancelled", _AGAIN),
    "TIMEOUT": ("stopped", "", "reached its time limit", "Give the machine's jobs more time, then run it again."),
    "DEADLINE": ("stopped", "", "reached its deadline", _AGAIN),
    "PREEMPTED": ("lost", "job_preempted", "gave way to another one", _AGAIN),
    "NODE_FAIL": ("lost", "node_failed", "ended because its node failed", _AGAIN),
    "BOOT_FAIL": ("lost", "node_failed", "ended because its node failed", _AGAIN),
    "OUT_OF_MEMORY": (
        *("failed", "out_of_memory", "was ended because it used more memory than it had asked for"),
        "Give the machine's jobs more memory, or choose a smaller model, batch or precision.",
    ),
}
_OTHERWISE: tuple[OutcomeName, str, str, str] = (
    "lost",
    "runner_died",
    "ended",
    _AGAIN,
)


_MEMORY = re.compile(r"^slurmstepd.*(?:memory limit|oom.kill|out of memory)", re.IGNORECASE | re.MULTILINE)


def state_by_words(state: str, said: str) -> str:
    """The state of a job that ended, corrected by the last lines of its output: where Slurm itself counts the memory of
    jobs (OverMemoryKill), it says there why it ended one, and calls that "FAILED" or "CANCELLED"."""
    return "OUT_OF_MEMORY" if state in ("FAILED", "CANCELLED") and _MEMORY.search(said) else state


def judgement(job: str, node: str, state: str, *, at_time_limit: bool = False) -> Judgement:
    """`state`: Slurm's word for how the job ended, "" where it has forgotten the job. `at_time_limit`: whether the job
    ended itself because it was warned of its limit."""
    said = "TIMEOUT" if at_time_limit else state
    outcome, failure, what, advice = _OUTCOMES.get(said, _OTHERWISE)
    on = f" on {node}" if node else ""
    unexplained = f" ({state or 'Slurm does not say how'})" if said not in _OUTCOMES else ""
    return Judgement(outcome, failure, f"Its Slurm job {job}{on} {what}{unexplained}.", f"{_KEPT} {advice}")


def says_runner_ended(ended: TrialEnded) -> bool:
    """Whether the node's runner ended the trial because it had to end itself: why, only Slurm knows."""
    return ended.outcome == "stopped" and ended.message == Ending.SHUTDOWN.value
