"""Slurm's own commands: sbatch, squeue, scontrol, scancel. Blocking; no accounting is needed.

Words go to them as arguments, never through a shell; settings are checked before.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.job_settings import JobSettings

_PATIENCE_S = 60.0
_FIELDS = "%A|%T|%r|%B|%j"


class SlurmError(Exception):
    """A command failed or is missing; the text is its own. `unreachable`: the controller does not answer, which says
    nothing of the jobs."""

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable


@dataclass(frozen=True)
class Job:
    id: str
    state: str
    """Slurm's word: "PENDING", "RUNNING", "COMPLETING", "CANCELLED", ..."""
    reason: str = ""
    node: str = ""
    name: str = ""

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")

    @property
    def is_over(self) -> bool:
        """Nothing of it runs any more."""
        return self.state in FINAL


FINAL = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED"}
    | {"TIMEOUT"}
)
_UNREACHABLE = ("Unable to contact slurm controller", "Connection refused", "Socket timed out", "Zero Bytes were")


def submit(script: Path, name: str, output: Path, settings: JobSettings) -> str:
    """Ask for a job. -> its id. Raises `SlurmError`.

    `B:TERM`: the runner in it hears before the time limit that it has to end, and keeps what it measured.
    """
    words = (
        "--parsable",
        "--no-requeue",
        f"--signal=B:TERM@{settings.warning_s}",
        f"--job-name={name}",
        f"--output={output}",
    )
    said = _run(("sbatch", *words, *settings.options, str(script)))
    return said.strip().partition(";")[0]


def jobs(ids: Collection[str]) -> dict[str, Job]:
    """Jobs of this user that Slurm knows, by id: those of squeue, and those of `ids` that only scontrol knows. Raises
    `SlurmError`."""
    lines = _run(("squeue", "--me", "--noheader", "--states=all", f"--format={_FIELDS}")).splitlines()
    found = {job.id: job for job in map(_job, lines) if job is not None}
    for missing in set(ids) - set(found):
        job = _shown(missing)
        if job is not None:
            found[missing] = job
    return found


def cancel(job: str) -> None:
    """End a job that waits or runs. Raises `SlurmError`."""
    _run(("scancel", job))


def partition_nodes(settings: JobSettings) -> tuple[Mapping[str, str], ...]:
    """What Slurm says of the nodes of the partition: "CPUTot", "RealMemory" (MiB), "Gres", ... Raises `SlurmError`."""
    lines = _run(("scontrol", "show", "node", "--oneliner")).splitlines()
    nodes = [dict(part.partition("=")[::2] for part in line.split() if "=" in part) for line in lines]
    return tuple(n for n in nodes if settings.partition in ("", *n.get("Partitions", "").split(",")))


def _job(line: str) -> Job | None:
    fields = line.strip().split("|")
    if len(fields) != _FIELDS.count("|") + 1 or not fields[0].isdigit():
        return None
    number, state, reason, node, name = fields
    return Job(number, state, "" if reason == "None" else reason, "" if node == "n/a" else node, name)


def _shown(job: str) -> Job | None:
    """A job that squeue does not list any more; None where Slurm has forgotten it."""
    try:
        said = _run(("scontrol", "show", "job", job, "--oneliner"))
    except SlurmError as error:
        if error.unreachable:
            raise
        return None
    told = dict(part.partition("=")[::2] for part in said.split() if "=" in part)
    return Job(job, told.get("JobState", "UNKNOWN"), node=told.get("BatchHost", ""), name=told.get("JobName", ""))


def _run(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise SlurmError(f"There is no {words[0]} on this machine: it is no login node of a Slurm cluster.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{words[0]} did not answer: {error}", unreachable=True) from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise SlurmError(said, unreachable=any(sign in said for sign in _UNREACHABLE))
    return done.stdout
