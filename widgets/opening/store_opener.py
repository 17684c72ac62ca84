"""Opens a database away from the main thread and hands it over, or says why not. Owned by the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from engines.protocol.places import Places
from widgets.background.bridge import Bridge, Job

if TYPE_CHECKING:
    from workbench.running.workbench import Workbench


class StoreOpener(QObject):
    """One opening at a time. The import of the store (DuckDB) happens on the bridge's thread, after the first paint."""

    opened = Signal()
    failed = Signal(object)
    """The exception: `StoreError` with its advice, or what else went wrong."""

    def __init__(self, bridge: Bridge, places: Places, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._places = places
        self._job: Job | None = None
        self._made: Workbench | None = None
        """Opened on the other thread and not yet handed over."""
        self.database = places.database
        self._read_only = False

    @property
    def busy(self) -> bool:
        return self._job is not None

    def open(self, database: Path, *, read_only: bool = False) -> None:
        if self._job is None:
            self.database, self._read_only = database, read_only
            self._job = self._bridge.run(self._open, self._opened, self._failed)

    def _open(self) -> Workbench:
        from workbench.running.workbench import Workbench

        self._made = Workbench(self.database, places_=self._places, client="window", read_only=self._read_only)
        return self._made

    def _opened(self, workbench: Workbench) -> None:
        self._job = None
        self._made = None
        self._bridge.attach(workbench)
        self.opened.emit()
        workbench.follow()

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self.failed.emit(error)

    def close(self) -> None:
        """After the bridge was closed: a workbench that was opened too late to be handed over is closed here."""
        made, self._made = self._made, None
        if made is not None:
            made.close()
