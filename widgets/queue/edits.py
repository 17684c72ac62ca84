"""What the user does to the queue, done through the workbench on another thread, and its undo. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Signal

from widgets.shell.services import Services

_KEPT = 50


@dataclass(frozen=True)
class Edit:
    """`text` completes "Undo ...": "removing 2 trials"."""

    text: str
    undo: Callable[[], None]


class QueueEdits(QObject):
    """Every change of the queue, with the undo of those that can be undone. Errors become toasts."""

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

    def _did(self, edit: Edit) -> None:
        self._edits = [*self._edits, edit][-_KEPT:]
        self.changed.emit()

    def _run(self, work: Callable[[], object], success: Callable[[object], None] | None = None) -> None:
        self._services.bridge.run(work, success, self._services.toasts.error, receiver=self)

    # --- edits ------------------------------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """A paused queue finishes what runs and starts nothing."""
        workbench = self._services.workbench
        if workbench is not None:
            self._run(lambda: workbench.pause(paused))

    def stop(self, trial: str, *, kill: bool = False) -> None:
        """End a running trial: politely, or by killing its process."""
        workbench = self._services.workbench
        if workbench is not None:
            self._run(lambda: workbench.stop(trial, kill=kill))

    def reorder(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Waiting trials from one order into another."""
        workbench = self._services.workbench
        if workbench is None:
            return
        self._run(lambda: workbench.reorder(after))
        self._did(Edit("the new order", lambda: self._run(lambda: workbench.reorder(before))))

    def remove(self, trials: tuple[str, ...], waiting: tuple[str, ...]) -> None:
        """Waiting trials out of the queue. Undoing submits them again, as new trials, at their old places."""
        workbench = self._services.workbench
        if workbench is None:
            return

        def work() -> None:
            for trial in trials:
                workbench.stop(trial)

        def bring_back() -> None:
            new = dict(zip(trials, workbench.retry(trials), strict=True))
            workbench.reorder(tuple(new.get(t, t) for t in waiting))

        self._run(work)
        count = "a trial" if len(trials) == 1 else f"{len(trials)} trials"
        self._did(Edit(f"removing {count}", lambda: self._run(bring_back)))

    def retry(self, trials: tuple[str, ...]) -> None:
        """Run ended trials again."""
        workbench = self._services.workbench
        if workbench is None or not trials:
            return

        def told(new: object) -> None:
            count = len(new) if isinstance(new, tuple) else len(trials)
            self._services.toasts.show("good", f"{count} {'trial' if count == 1 else 'trials'} queued again.")

        self._run(lambda: workbench.retry(trials), told)
