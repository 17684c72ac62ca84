"""Which database is open, what it holds, and what waits for it. Main thread; opened and counted elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from engines.protocol.places import Places
from widgets.background.bridge import Bridge
from widgets.messages.toasts import Toasts
from widgets.opening.store_opener import StoreOpener
from widgets.shell import session_state
from workbench.store.operations import Counts, GetCounts

_COUNT_EVERY_MS = 2000


class Database(QObject):
    """One file at a time; it counts as open once it has been counted."""

    opening = Signal(object)
    """A `Path` is being opened; until `ready` nothing is open."""
    failed = Signal(object)
    """The exception: `path` could not be opened."""
    ready = Signal()
    """Open and counted: pages can read."""
    usable = Signal()
    """After `ready`: what waited has been done too."""
    counted = Signal(object)
    """`Counts`, at opening and while the store changes."""
    uncounted = Signal(object)
    """The exception of a later counting."""

    def __init__(
        self, bridge: Bridge, places: Places, settings: QSettings, toasts: Toasts, path: Path | None, parent: QWidget
    ) -> None:
        """`path` None opens the last session's; a given one is not remembered for the next."""
        super().__init__(parent)
        self._window = parent
        self._bridge, self._settings, self._toasts = bridge, settings, toasts
        self.path = path or session_state.remembered_database(settings, places)
        self._explicit = path is not None
        self._counts: Counts | None = None
        self._pending: list[Callable[[], None]] = []
        self._opener = StoreOpener(bridge, places, self)
        self._opener.opened.connect(self._opened)
        self._opener.failed.connect(self.failed)
        self._timer = QTimer(self, interval=_COUNT_EVERY_MS, singleShot=True)
        self._timer.timeout.connect(self.count)

    # --- what is open -----------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._counts is not None

    @property
    def is_empty(self) -> bool:
        """Whether it is open and nothing was measured yet."""
        return self._counts is not None and self._counts.trials == 0

    def is_open(self) -> bool:
        return self._bridge.workbench is not None

    def when_ready(self, call: Callable[[], None]) -> None:
        """Run now if the database is open, else as soon as it is."""
        if self.is_ready:
            call()
        else:
            self._pending.append(call)

    # --- opening ----------------------------------------------------------------------------------

    def open(self) -> None:
        """The file `path`."""
        self.opening.emit(self.path)
        self._opener.open(self.path)

    def ask(self) -> None:
        """Ask for another file and open it; a name that does not exist yet makes a new database."""
        name, _ = QFileDialog.getSaveFileName(
            self._window,
            "Choose a database, or name a new one",
            str(self.path.parent),
            "Databases (*.duckdb);;All files (*)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if name:
            self.change(Path(name))

    def change(self, path: Path) -> None:
        """Close what is open and open another file. Running trials of the old one continue in the runner."""
        if self._opener.busy:
            self._toasts.show("info", "A database is still being opened.", "Choose again when it is open.")
            return
        workbench = self._bridge.detach()
        self._counts = None
        self.path = path if path.suffix else path.with_suffix(".duckdb")
        self._explicit = False
        if workbench is None:
            self.open()
            return
        self.opening.emit(self.path)
        self._bridge.run(workbench.close, self._closed_old, self.failed.emit)

    def _closed_old(self, _nothing: None) -> None:
        self.open()

    def _opened(self) -> None:
        if not self._explicit:
            self._settings.setValue("window/database", str(self.path))
        self._bridge.run(GetCounts(), self._first_counted, self.failed.emit)

    def _first_counted(self, counts: Counts) -> None:
        self._take(counts)
        self.ready.emit()
        pending, self._pending = self._pending, []
        for call in pending:
            call()
        self.usable.emit()

    # --- counting ---------------------------------------------------------------------------------

    def count_soon(self) -> None:
        """The store changed; counted at most every two seconds."""
        if not self._timer.isActive():
            self._timer.start()

    def count(self) -> None:
        if self.is_open():
            self._bridge.run(GetCounts(), self._take, self.uncounted.emit)

    def _take(self, counts: Counts) -> None:
        self._counts = counts
        self.counted.emit(counts)

    # --- the end ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """The window is closing: no more counting."""
        self._timer.stop()

    def close(self) -> None:
        """After the bridge was closed."""
        self._opener.close()
