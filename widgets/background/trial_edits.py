"""What Compare and the queue both do with trials: run them again, continue them. Main thread, work on others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from engines.models import artifacts
from widgets.shell.services import Services
from workbench.units import counted

R = TypeVar("R")


class TrialEdits(QObject):
    """The base of a page's edits. Errors become toasts."""

    done = Signal()
    """The store has changed: what is shown is old."""

    def __init__(self, services: Services, undo_stack: QUndoStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._undo_stack = undo_stack

    def _run(self, work: Callable[[], R], finished: Callable[[R], None] | None = None) -> None:
        self._services.bridge.run(work, finished, self._services.toasts.error, receiver=self)

    def _add(self, work: Callable[[], tuple[str, ...]], said: Callable[[int], str]) -> None:
        """`work` makes new trials, whose number is said."""

        def finished(new: tuple[str, ...]) -> None:
            self._services.toasts.show("good", said(len(new)))
            self.done.emit()

        self._run(work, finished)

    def retry(self, trials: tuple[str, ...]) -> None:
        """Run ended trials again, as new ones."""
        workbench = self._services.workbench
        if workbench is not None and trials:
            self._add(lambda: workbench.retry(trials), lambda n: f"{counted(n, 'trials')} queued again.")

    def can_resume(self, trial: str) -> bool:
        """Whether it left a checkpoint here."""
        workbench = self._services.workbench
        return workbench is not None and workbench.can_resume(trial)

    def kept(self, trial: str) -> Path | None:
        """The folder of the model or adapter that it has kept here."""
        workbench = self._services.workbench
        return artifacts.kept_of(workbench.places.artifacts, trial) if workbench is not None else None

    def resume(self, trials: tuple[str, ...]) -> None:
        """Continue stopped or failed training trials from their last checkpoints, as new ones."""

        def said(count: int) -> str:
            continues = "1 trial continues" if count == 1 else f"{count} trials continue"
            return f"{continues} from the last checkpoint, as a new one."

        workbench = self._services.workbench
        if workbench is not None and trials:
            self._add(lambda: workbench.resume(trials), said)
