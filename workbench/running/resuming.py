"""Which checkpoint a training trial is resumed from. Reads it whole; blocking, any thread."""

from __future__ import annotations

from pathlib import Path

from engines.models import artifacts
from engines.protocol.orders import ResumeOrder
from engines.protocol.problems import Problem, ProblemsFound
from workbench.store.artifacts import resumed_of
from workbench.store.operations import Store, TrialRow

_ADVICE = "Set checkpoint_every in [workload] to write some; retry runs the trial from its beginning, on the same data."


def checkpoint_of(store: Store, place: Path, row: TrialRow) -> ResumeOrder:
    """The newest whole checkpoint of a trial that has not completed, or the one that it continued from itself. `place`:
    where artifacts lie. Raises `ProblemsFound`, `StoreError`."""
    if row.state != "ended":
        raise _refused(row, "It has not ended.", "Stop it first; what it has written is kept.")
    if row.outcome == "completed":
        raise _refused(row, "It has completed: no step is missing.", "Retry runs it again.")
    written = artifacts.checkpoints(place, row.trial)
    before = resumed_of(store, row.experiment).get(row.trial)
    if before is not None and (made := artifacts.read(Path(before.path))) is not None:
        written.append((Path(before.path), made))
    if not written:
        raise _refused(row, "It has no checkpoint on this computer.", _ADVICE)
    found = artifacts.sound(written)
    if found is None:
        raise _refused(row, "Its checkpoints are damaged: their files are not those that were written.", _ADVICE)
    folder, made = found
    return ResumeOrder(trial=made.trial, path=str(folder), sha256=made.sha256, step=made.step)


def _refused(row: TrialRow, why: str, hint: str) -> ProblemsFound:
    place = f"trial {row.number}, {row.title}"
    return ProblemsFound((Problem(severity="error", place=place, message=f"It cannot be resumed. {why}", hint=hint),))
