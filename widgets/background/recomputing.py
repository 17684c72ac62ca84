"""Figures of stored trials made again, in the background: progress in the status line, a message at the end.

Main thread, but for what the bridge's thread calls between two trials.
"""

from __future__ import annotations

import threading

from PySide6.QtCore import QObject, Qt, Signal

from widgets.shell.services import Services
from workbench.units import counted


class Recomputing(QObject):
    """At most one at a time; a second `start` says so. Closing the window or the database stops between two trials."""

    changed = Signal()
    """Began, moved on, or ended."""
    finished = Signal(int)
    """How many trials were made again."""
    _moved = Signal(int, int)

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._stop = threading.Event()
        self.running = False
        self.done = self.total = 0
        self._moved.connect(self._show, Qt.ConnectionType.QueuedConnection)

    def start(self, experiment: str = "", name: str = "") -> None:
        """All trials, or those of one experiment (by id), which messages call `name`."""
        workbench, bridge = self._services.workbench, self._services.bridge
        if workbench is None:
            return
        if self.running:
            self._services.toasts.show(
                "info", "Figures are already being recomputed.", "Wait until it is done, or stop it."
            )
            return
        stop = self._stop = threading.Event()
        moved = self._moved

        def progress(done: int, total: int) -> bool:
            moved.emit(done, total)
            return not stop.is_set() and bridge.workbench is workbench

        def finished(done: int) -> None:
            self._ended()
            trials = counted(done, "trials")
            of = f" of {name}" if name else ""
            if stop.is_set():
                self._services.toasts.show("info", f"Stopped: figures of {trials}{of} were recomputed.")
            elif done:
                self._services.toasts.show(
                    "good",
                    f"Figures of {trials}{of} were recomputed.",
                    "Values of older formulas are kept beside them.",
                )
            else:
                self._services.toasts.show("info", "No trial has ended yet: there are no figures to recompute.")
            self.finished.emit(done)

        def failed(error: BaseException) -> None:
            self._ended()
            self._services.toasts.error(error)

        self.running, self.done, self.total = True, 0, 0
        self._tell()
        bridge.run(lambda: workbench.stored.recompute(experiment, progress), finished, failed, receiver=self)

    def stop(self) -> None:
        """After the trial that is being made; those that are done stay."""
        self._stop.set()

    def _show(self, done: int, total: int) -> None:
        if self.running:
            self.done, self.total = done, total
            self._tell()

    def _ended(self) -> None:
        self.running = False
        self._tell()

    def _tell(self) -> None:
        text = f"Recomputing figures: {self.done:,} of {self.total:,} trials" if self.running and self.total else ""
        self._services.bridge.work_reported.emit(text)
        self.changed.emit()
