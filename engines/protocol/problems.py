"""A thing that is wrong with what the user asked for: where, what, and what to do."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


COPY = "copy"
"""Path of a fix that copies something to another machine: its value is (machine, "model" or "data", as it was named).
No change of the experiment."""


class Fix(msgspec.Struct, frozen=True):
    """A change that would solve a problem, offered as a button: `set path to value` in the experiment."""

    label: str
    """"Batch 2", "Use int8", "Leave out"."""
    path: str
    """Dotted place in the experiment file ("workload.batch_size"); "skip" leaves the configuration out."""
    value: object = None
    note: str = ""
    """What it saves and costs: "saves 4.1 GiB, about 1.2× slower; same effective batch"."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """`place` is "line 12, workload.batch_size" in a file, a configuration's title in a plan."""

    severity: Severity
    place: str
    message: str
    hint: str = ""
    fixes: tuple[Fix, ...] = ()
    key: str = ""
    """Which problem it is, where a view treats it in its own way: "no_model", "memory", "seeds"."""

    @property
    def changes(self) -> tuple[str, ...]:
        """What the fixes save and cost: "Batch 2 × 2 saves 4.1 GiB, about 1.2× slower; same effective batch."."""
        return tuple(f"{fix.label} {fix.note}." for fix in self.fixes if fix.note)

    def __str__(self) -> str:
        return " ".join((f"{self.place}: {self.message}", *filter(None, (self.hint, *self.changes))))


class ProblemsFound(Exception):
    """Raised where work cannot go on; carries every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = problems


class Advised(Exception):
    """What happened and what is safe, in `str(error)`; what to do, in `advice`."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


def advice_of(error: BaseException) -> str:
    """ "" for an error that gives none."""
    return error.advice if isinstance(error, Advised) else ""
