"""Which checkpoint a training trial is resumed from: the last one on the machine where it ran. Blocking, any thread."""

from __future__ import annotations

from collections.abc import Callable

from engines.models.files import BrokenModel
from engines.protocol.orders import ResumeOrder
from engines.protocol.problems import Problem, ProblemsFound
from workbench.store.artifacts import resumed_of
from workbench.store.operations import Store, TrialRow

_ADVICE = "Set checkpoint_every in [workload] to write some; retry runs the trial from its beginning, on the same data."

Resumable = Callable[[str, str], ResumeOrder | None]
"""`engines.models.artifacts.resumable` on one machine, by the trial and the checkpoint that it continued from."""


def checkpoint_of(store: Store, row: TrialRow, resumable: Resumable, where: str) -> ResumeOrder:
    """The newest whole checkpoint of a trial that has not completed, or the one that it continued from itself. `where`:
    the machine where it ran, in words. Raises `ProblemsFound`, `StoreError` and what `resumable` raises."""
    if row.state != "ended":
        raise _refused(row, "It has not ended.", "Stop it first; what it has written is kept.")
    if row.outcome == "completed":
        raise _refused(row, "It has completed: no step is missing.", "Retry runs it again.")
    before = resumed_of(store, row.experiment).get(row.trial)
    try:
        found = resumable(row.trial, before.path if before is not None else "")
    except BrokenModel as error:
        raise _refused(row, str(error), _ADVICE) from error
    if found is None:
        raise _refused(row, f"It has no checkpoint on {where}.", _ADVICE)
    return found


def _refused(row: TrialRow, why: str, hint: str) -> ProblemsFound:
    place = f"trial {row.number}, {row.title}"
    return ProblemsFound((Problem(severity="error", place=place, message=f"It cannot be resumed. {why}", hint=hint),))
