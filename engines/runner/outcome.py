"""How a trial ended: from what is known of its worker to outcome, kind, message and advice.

`judge` is pure. "Out of memory" is only said where it is proven: by the worker itself, also in its last words before an
abort, by the control group's count of kills, or by an allocation that failed under the trial's own limit. Any other
SIGKILL is "possibly" that.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from engines.host.machine import own_groups
from engines.protocol.file_errors import is_full, what_happened, what_to_do
from engines.protocol.records import Cue, OutcomeName

FAILED_EXIT = 3
"""Exit code of a worker that has said why in a `Cue` "failure:KIND"."""
_FAILURE = "failure:"
_ABORT_SIGNS = ("bad_alloc", "insufficient memory", "can't allocate memory", "Cannot allocate memory")
"""How C++, ggml, torch and the system's library say that an allocation failed, before they abort."""
_NO_MEMORY = (*_ABORT_SIGNS, "MemoryError", "not enough memory", "OpenBLAS error: Memory allocation")
_FATAL = "Fatal Python error: "
"""Begins what Python's fault handler writes after the words of whatever crashed: stacks and lists of modules."""
_SIGNALS = ("Aborted", "Segmentation fault", "Bus error", "Illegal instruction", "Floating-point exception")
"""The fault handler's names of signals, which say nothing that the exit code does not."""
_WORDS = 6
"""How many of the last lines are looked at for the reason."""
_ASSERTION = re.compile(r"(?:.*/)?([\w.+-]+:\d+): (GGML_ASSERT\(.*\)) failed")
"""How ggml and llama.cpp end their process when they find something that cannot be."""
_KEPT = "What was measured until then is kept, and the queue continues."
_SMALLER = f"{_KEPT} Choose a smaller model, batch or precision, or close other programs."
_GIB = 1 << 30


class Ending(Enum):
    """Why the runner ended a worker; the values are the message's beginning."""

    STOPPED = "Stopped by the user."
    KILLED = "Killed by the user."
    TIME_LIMIT = "Stopped at its time limit."
    SHUTDOWN = "Stopped because the runner was shut down."
    DISK = "Records could not be written."


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
    disk: OSError | None = None
    """Why records could not be written, where `ending` says so, and `folder` where to."""
    folder: Path = Path()


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
    if evidence.disk is not None and evidence.ending is Ending.DISK:
        return Judgement(
            "failed",
            "disk_full" if is_full(evidence.disk) else "disk_error",
            f"{evidence.ending.value} {what_happened(evidence.disk, evidence.folder)}",
            "What was written before is safe. The queue is paused, and what waits stays in it. "
            f"{what_to_do(evidence.disk, evidence.folder)} Then resume the queue and run this trial again.",
        )
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
    words = _last_words(evidence.stderr_tail)
    failed = next((line for line in words if any(sign in line for sign in _ABORT_SIGNS)), "")
    if evidence.exit_code == -signal.SIGABRT and failed:
        return Judgement("failed", "out_of_memory", f"An allocation failed, and the engine ended: {failed}", _SMALLER)
    asserted = next(filter(None, map(_ASSERTION.fullmatch, words)), None)
    if asserted:
        return Judgement(
            "failed",
            "engine",
            f"llama.cpp ended itself, because what it checks does not hold: {asserted[2]} ({asserted[1]}).",
            f"{_KEPT} The model's file may contradict itself, or llama.cpp cannot do what was asked of it: try another "
            "file or setting, or another version of llama-cpp-python.",
        )
    return Judgement(
        "failed", "engine", _crash(evidence, words), f"{_KEPT} The trial's log has the engine's own words."
    )


def _killed(evidence: Evidence) -> Judgement:
    if evidence.memory_kills > 0:
        return Judgement("failed", "out_of_memory", "Killed by the system: the machine ran out of memory.", _SMALLER)
    return Judgement("failed", "killed", "Killed, possibly out of memory.", _SMALLER)


def _last_words(stderr_tail: str) -> list[str]:
    """What was written last, the last line first; of a crash what was written before Python's fault handler told where
    it was, which ends with the words that the engine died with where it gave any."""
    lines = [" ".join(line.split()) for line in stderr_tail.splitlines() if line.strip()]
    fatal = next((place for place, line in enumerate(lines) if line.startswith(_FATAL)), len(lines))
    said = [*lines[:fatal], *(line.removeprefix(_FATAL) for line in lines[fatal : fatal + 1])]
    return [line for line in said[::-1] if line not in _SIGNALS][:_WORDS]


def _crash(evidence: Evidence, words: list[str]) -> str:
    last = next(iter(words), "")
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
