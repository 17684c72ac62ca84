"""How a trial ended: from what is known of its worker to outcome, kind, message and advice.

`judge` is pure. "Out of memory" is only said where it is proven: by the worker itself, by the control group's count of
kills, or by an allocation that failed under the trial's own limit. Any other SIGKILL is "possibly" that.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engines.machine import own_groups
from engines.protocol.records import Cue, OutcomeName

FAILED_EXIT = 3
"""Exit code of a worker that has said why in a `Cue` "failure:KIND"."""
_FAILURE = "failure:"
_NO_MEMORY = ("MemoryError", "bad_alloc", "can't allocate memory", "Cannot allocate memory", "not enough memory")
_KEPT = "What was measured up to then is kept; the queue goes on."
_DISK_ADVICE = (
    "What was written before is safe. The queue is paused: free some space, then resume it and run this trial again."
)
_GIB = 1 << 30


class Ending(Enum):
    """Why the runner ended a worker; the values are the message's beginning."""

    STOPPED = "Stopped by the user."
    KILLED = "Killed by the user."
    TIME_LIMIT = "Stopped at its time limit."
    SHUTDOWN = "Stopped because the runner was shut down."
    DISK_FULL = "The disk is full: records could not be written."
    DISK_ERROR = "The disk failed: records could not be written."


@dataclass(frozen=True)
class Evidence:
    """What is known of a worker that has ended."""

    exit_code: int
    """Negative: the signal it died of."""
    ending: Ending | None = None
    failure: Cue | None = None
    """The last "failure:KIND" the worker said."""
    memory_kills: int = 0
    """Rise of the control group's count of out-of-memory kills during the trial."""
    address_space_bytes: int | None = None
    stderr_tail: str = ""
    detail: str = ""
    """What the runner adds to the message (the disk's error)."""


@dataclass(frozen=True)
class Judgement:
    outcome: OutcomeName
    failure: str = ""
    message: str = ""
    advice: str = ""


def failure_kind(cue: Cue) -> str:
    """KIND of a cue "failure:KIND", "" for any other."""
    return cue.code[len(_FAILURE) :] if cue.code.startswith(_FAILURE) else ""


def judge(evidence: Evidence) -> Judgement:
    """The one outcome of a trial whose worker has ended."""
    if evidence.ending in (Ending.DISK_FULL, Ending.DISK_ERROR):
        kind = "disk_full" if evidence.ending is Ending.DISK_FULL else "disk_error"
        message = " ".join(part for part in (evidence.ending.value, evidence.detail) if part)
        return Judgement("failed", kind, message, _DISK_ADVICE)
    if evidence.ending is not None:
        return Judgement("stopped", "", evidence.ending.value, _KEPT)
    if evidence.exit_code == 0:
        return Judgement("completed")
    if evidence.failure is not None and evidence.exit_code == FAILED_EXIT:
        message, _, advice = evidence.failure.text.partition("\n")
        return Judgement("failed", failure_kind(evidence.failure) or "engine", message, advice or _KEPT)
    if evidence.address_space_bytes is not None and any(sign in evidence.stderr_tail for sign in _NO_MEMORY):
        limit = evidence.address_space_bytes / _GIB
        return Judgement(
            "failed",
            "out_of_memory",
            f"An allocation failed under this trial's limit of {limit:.2f} GiB of address space.",
            f"{_KEPT} Raise the limit, or choose a smaller model, batch or precision.",
        )
    if evidence.exit_code == -signal.SIGKILL:
        return _killed(evidence)
    return Judgement("failed", "engine", _crash(evidence), f"{_KEPT} The trial's log has the engine's own words.")


def _killed(evidence: Evidence) -> Judgement:
    advice = f"{_KEPT} Choose a smaller model, batch or precision, or close other programs."
    if evidence.memory_kills > 0:
        return Judgement("failed", "out_of_memory", "Killed by the system: the machine ran out of memory.", advice)
    return Judgement("failed", "killed", "Killed, possibly out of memory.", advice)


def _crash(evidence: Evidence) -> str:
    last = next((line.strip() for line in reversed(evidence.stderr_tail.splitlines()) if line.strip()), "")
    if evidence.exit_code < 0:
        try:
            name = signal.Signals(-evidence.exit_code).name
        except ValueError:
            name = f"signal {-evidence.exit_code}"
        return f"The engine crashed ({name})." + (f" Its last words: {last}" if last else "")
    return f"The engine ended with exit code {evidence.exit_code}" + (f": {last}" if last else " and said nothing.")


def memory_kills() -> int:
    """Out-of-memory kills in this process's control group so far (v2, then v1); 0 where the system does not count."""
    group = next(own_groups("memory"), None)
    return 0 if group is None else max(_count(group / "memory.events"), _count(group / "memory.oom_control"))


def _count(file: Path) -> int:
    try:
        fields = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0
    return sum(int(field[1]) for field in fields if len(field) == 2 and field[0] == "oom_kill")
