"""A damaged database made whole in the background. Owned by the database; main thread, the work is elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from engines.protocol.places import Places
from widgets.background.bridge import Bridge

if TYPE_CHECKING:
    from workbench.store.salvage import Salvaged


class _Stopped(Exception):
    """The user stopped it, or closed the window."""


class Repairing(QObject):
    """One repair at a time, of a file that nobody has open."""

    progressed = Signal(object, str)
    """The share that is done, None where that is not known, and what is being done."""
    repaired = Signal(object)
    """`workbench.store.salvage.Salvaged`; the new file is not open yet."""
    failed = Signal(object)
    """The exception; the file is as it was."""
    stopped = Signal()
    """So it is then."""

    def __init__(self, bridge: Bridge, places: Places, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._spools = bridge, places.spools
        self._path = Path()
        self._stopping = False

    def start(self, path: Path) -> None:
        self._path, self._stopping = path, False
        self._bridge.run(self._salvage, self.repaired.emit, self._failed)

    def stop(self) -> None:
        self._stopping = True

    def _salvage(self) -> Salvaged:
        """On a thread of the bridge."""
        from workbench.store.salvage import salvage

        return salvage(self._path, self._spools, self._report)

    def _report(self, share: float | None, text: str) -> None:
        """On the same thread."""
        if self._stopping:
            raise _Stopped
        self.progressed.emit(share, text)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, _Stopped):
            self.stopped.emit()
        else:
            self.failed.emit(error)
