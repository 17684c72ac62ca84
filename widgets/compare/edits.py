"""What the user changes on the Compare page, done on other threads, with its undo where there is one. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from widgets.shell.services import Services
from workbench.experiment.keys import MORE_BLOCKS
from workbench.metrics.model import counted
from workbench.store.operations import Rename, SetBaseline

_KEPT = 50


@dataclass(frozen=True)
class Edit:
    """`text` completes "Undo ...": "the baseline"."""

    text: str
    undo: Callable[[], None]


class CompareEdits(QObject):
    """Baseline, name, deletion, retries and more blocks. Errors become toasts."""

    done = Signal()
    """The store has changed: what is shown is old."""
    changed = Signal()
    """There is something else to undo."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._edits: list[Edit] = []

    @property
    def undo_text(self) -> str:
        return self._edits[-1].text if self._edits else ""

    def undo(self) -> bool:
        """Take back the last edit. -> whether there was one"""
        if not self._edits:
            return False
        self._edits.pop().undo()
        self.changed.emit()
        return True

    def _did(self, text: str, undo: Callable[[], None]) -> None:
        self._edits = [*self._edits, Edit(text, undo)][-_KEPT:]
        self.changed.emit()

    def _finished(self, _answer: object = None) -> None:
        self.done.emit()

    def set_baseline(self, experiment: str, configuration: str | None, before: str | None) -> None:
        """Pin a configuration, or None for the first with results."""

        def pin(wanted: str | None) -> None:
            operation = SetBaseline(experiment=experiment, configuration=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        pin(configuration)
        self._did("the baseline", lambda: pin(before))

    def rename(self, experiment: str, name: str, before: str) -> None:
        def call(wanted: str) -> None:
            operation = Rename(experiment=experiment, name=wanted)
            self._services.bridge.run(operation, self._finished, self._services.toasts.error)

        if name != before:
            call(name)
            self._did("the new name", lambda: call(before))

    def delete(self, trials: tuple[str, ...]) -> None:
        """For good: the samples go too."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def told(deleted: tuple[str, ...]) -> None:
            count = len(deleted)
            self._services.toasts.show("good", f"{count} {'trial' if count == 1 else 'trials'} deleted.")
            self.done.emit()

        self._services.bridge.run(lambda: workbench.delete(trials), told, self._services.toasts.error, receiver=self)

    def retry(self, trials: tuple[str, ...]) -> None:
        """Run ended trials again, as new ones."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def told(new: tuple[str, ...]) -> None:
            count = len(new)
            self._services.toasts.show("good", f"{count} {'trial' if count == 1 else 'trials'} queued again.")
            self.done.emit()

        self._services.bridge.run(lambda: workbench.retry(trials), told, self._services.toasts.error, receiver=self)

    def more_blocks(self, experiment: str) -> None:
        """One trial more of each configuration in each of them."""
        workbench = self._services.workbench
        if workbench is None:
            return

        def told(new: tuple[str, ...]) -> None:
            text = f"{MORE_BLOCKS} more blocks are queued: {counted(len(new), 'trials')}."
            self._services.toasts.show("good", text)
            self.done.emit()

        self._services.bridge.run(
            lambda: workbench.more_blocks(experiment, MORE_BLOCKS), told, self._services.toasts.error, receiver=self
        )
