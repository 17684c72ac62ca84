"""What the user changes on the Compare page, done on other threads, with its undo where there is one. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoStack

from widgets.parts.undo import Edit
from widgets.shell.services import Services
from workbench.experiment import MORE_BLOCKS
from workbench.metrics.model import counted
from workbench.running.cleaning import kept_bytes
from workbench.store.operations import Rename, SetBaseline
from workbench.units import format_bytes


class CompareEdits(QObject):
    """Baseline, name, deletion, retries and more blocks. Errors become toasts."""

    done = Signal()
    """The store has changed: what is shown is old."""

    def __init__(self, services: Services, undo_stack: QUndoStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._undo_stack = undo_stack

    def _finished(self, _answer: object = None) -> None:
        self.done.emit()

    def set_baseline(self, experiment: str, configuration: str | None, before: str | None) -> None:
        """Pin a configuration, or None for the first with results."""

        def pin(wanted: str | None) -> None:
            operation = SetBaseline(experiment=experiment, configuration=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        pin(configuration)
        self._undo_stack.push(Edit("the baseline", lambda: pin(before)))

    def rename(self, experiment: str, name: str, before: str) -> None:
        def call(wanted: str) -> None:
            operation = Rename(experiment=experiment, name=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        if name != before:
            call(name)
            self._undo_stack.push(Edit("the new name", lambda: call(before)))

    def delete(self, trials: tuple[str, ...]) -> None:
        """For good: the samples go too."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def work() -> tuple[int, int]:
            deleted = workbench.delete(trials)
            return len(deleted), kept_bytes(workbench.places, deleted)

        def finished(done: tuple[int, int]) -> None:
            count, kept = done
            stays = f"What they have trained stays, {format_bytes(kept)}: llm-workbench clean removes it."
            message = f"{count} {'trial' if count == 1 else 'trials'} deleted."
            self._services.toasts.show("good", message, stays if kept else "")
            self.done.emit()

        self._services.bridge.run(work, finished, self._services.toasts.error, receiver=self)

    def retry(self, trials: tuple[str, ...]) -> None:
        """Run ended trials again, as new ones."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def finished(new: tuple[str, ...]) -> None:
            count = len(new)
            self._services.toasts.show("good", f"{count} {'trial' if count == 1 else 'trials'} queued again.")
            self.done.emit()

        self._services.bridge.run(lambda: workbench.retry(trials), finished, self._services.toasts.error, receiver=self)

    def can_resume(self, trial: str) -> bool:
        """Whether it left a checkpoint here."""
        workbench = self._services.workbench
        return workbench is not None and workbench.can_resume(trial)

    def resume(self, trials: tuple[str, ...]) -> None:
        """Continue training trials from their last checkpoints, as new ones."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def finished(new: tuple[str, ...]) -> None:
            continues = "1 trial continues" if len(new) == 1 else f"{len(new)} trials continue"
            self._services.toasts.show("good", f"{continues} from the last checkpoint, as a new one.")
            self.done.emit()

        self._services.bridge.run(
            lambda: workbench.resume(trials), finished, self._services.toasts.error, receiver=self
        )

    def more_blocks(self, experiment: str) -> None:
        """One trial more of each configuration in each of them."""
        workbench = self._services.workbench
        if workbench is None:
            return

        def finished(new: tuple[str, ...]) -> None:
            text = f"{MORE_BLOCKS} more blocks are queued: {counted(len(new), 'trials')}."
            self._services.toasts.show("good", text)
            self.done.emit()

        self._services.bridge.run(
            lambda: workbench.more_blocks(experiment, MORE_BLOCKS), finished, self._services.toasts.error, receiver=self
        )
