"""The draft while it is edited: its changes, what the planner last said of it, and fields that cannot be used.

What the parts of the Setup page share. Main thread.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from widgets.parts.undo import Edit
from widgets.setup.draft import Draft, State
from widgets.setup.models.rows import Resolved
from widgets.setup.plan.planner import Planned
from widgets.setup.techniques.rows import kinds
from workbench.experiment.experiment import Experiment


class DraftSession(QObject):
    """Owns the draft; every change goes through here and is announced."""

    changed = Signal(bool)
    """True where another experiment took its place: fields that were being mended take its values too."""
    fields_checked = Signal()
    """A field became valid or invalid."""

    def __init__(self, state: State | None, undo_stack: QUndoStack, parent: QObject) -> None:
        super().__init__(parent)
        self._undo_stack = undo_stack
        self.draft = Draft(state)
        self.planned: Planned | None = None
        self.broken: dict[str, str] = {}
        """Field -> why its content cannot be used."""

    @property
    def experiment(self) -> Experiment:
        return self.draft.experiment

    def edit(self, experiment: Experiment, text: str, merge: str = "") -> None:
        """Change the experiment. `text` completes "Undo ...", `merge` joins typing into one step."""
        before = self.draft.state
        if self.draft.change(experiment):
            self._undo_stack.push(Edit(text, partial(self._bring_back, before), merge))
            self.changed.emit(False)

    def turn(self, kind: str) -> None:
        """Show the form of another kind of work, as it was left."""
        if kind != self.experiment.workload.kind:
            self._undo_stack.push(Edit("choosing the work", partial(self._bring_back, self.draft.state)))
            self.draft.turn(kind)
            self._replaced()

    def load(self, state: State, text: str) -> None:
        """Another experiment in place of this one; undo brings it back."""
        self._undo_stack.push(Edit(text, partial(self._bring_back, self.draft.state)))
        self.draft.state = state
        self._replaced()

    def _bring_back(self, before: State) -> None:
        self.draft.bring_back(before)
        self._replaced()

    def _replaced(self) -> None:
        self.broken = {}
        self.changed.emit(True)

    def field_broke(self, field: str, message: str) -> None:
        """A field holds something that cannot be used: Run waits until it is mended ("")."""
        if message:
            self.broken[field] = message
        else:
            self.broken.pop(field, None)
        self.fields_checked.emit()

    @property
    def resolved(self) -> Resolved:
        """Models that were looked up for the last plan."""
        return self.planned.resolved if self.planned is not None else Resolved()

    @property
    def model_kinds(self) -> frozenset[str]:
        """Of the chosen models, as far as they were looked up."""
        return kinds(self.experiment, self.resolved)

    @property
    def is_planned(self) -> bool:
        """Whether the plan is of the experiment as it is now."""
        return self.planned is not None and self.planned.experiment == self.experiment
