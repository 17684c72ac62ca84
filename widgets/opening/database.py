"""Which database is open, what it holds, and what waits for it. Main thread; opened and counted elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QSettings, QTimer, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from engines.protocol.places import Places
from widgets.background.bridge import Bridge
from widgets.messages.toasts import Toasts
from widgets.opening.repairing import Repairing
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
    repairing = Signal(object)
    """A `Path` is being made whole by `repairs`; nothing is open."""

    def __init__(
        self, bridge: Bridge, places: Places, settings: QSettings, toasts: Toasts, path: Path | None, parent: QWidget
    ) -> None:
        """`path` None opens the last session's; a given one is not remembered for the next."""
        super().__init__(parent)
        self._window = parent
        self._bridge, self._settings, self._toasts = bridge, settings, toasts
        self.path = path or session_state.remembered_database(settings, places)
        self._explicit = path is not None
        self.read_only = False
        """Whether it is, or was to be, opened as a damaged file is: to read what can be read."""
        self._damage: BaseException | None = None
        """What was found damaged, once that was said."""
        self._closing = False
        self._after_closing: Callable[[], None] = self._open
        self._counts: Counts | None = None
        self._pending: list[Callable[[], None]] = []
        self._opener = StoreOpener(bridge, places, self)
        self._opener.opened.connect(self._opened)
        self._opener.failed.connect(self._failed)
        self.repairs = Repairing(bridge, places, self)
        self.repairs.stopped.connect(self._say_damage)
        bridge.damaged.connect(self._found_damage)
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
        """The file `path`, in the place of what is open. Running trials continue in the runner."""
        self._open_as(read_only=False)

    def open_read_only(self) -> None:
        """The same of a damaged file, as far as it can be read."""
        self._open_as(read_only=True)

    def _open_as(self, *, read_only: bool) -> None:
        self.read_only = read_only
        self.opening.emit(self.path)
        self._close(self._open)

    def _open(self) -> None:
        if not self.read_only:
            self._damage = None
        self._opener.open(self.path, read_only=self.read_only)

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
        """Close what is open and open another file."""
        if self._opener.busy or self._closing:
            self._toasts.show("info", "A database is still being opened.", "Choose again when it is open.")
            return
        self.path = path if path.suffix else path.with_suffix(".duckdb")
        self._explicit = False
        self.open()

    def _close(self, then: Callable[[], None]) -> None:
        """What is open, if anything is; `then` what follows."""
        workbench = self._bridge.detach()
        self._counts = None
        self._after_closing = then
        if workbench is None:
            then()
            return
        self._closing = True
        self._bridge.run(workbench.close, self._closed, self._failed)

    def _closed(self, _nothing: None) -> None:
        self._closing = False
        self._after_closing()

    def _failed(self, error: BaseException) -> None:
        self._closing = False
        self._damage = error
        self.failed.emit(error)

    def _opened(self) -> None:
        if not self._explicit:
            self._settings.setValue("window/database", str(self.path))
        self._bridge.run(GetCounts(), self._first_counted, self._failed)

    def _first_counted(self, counts: Counts) -> None:
        self._take(counts)
        self.ready.emit()
        pending, self._pending = self._pending, []
        for call in pending:
            call()
        self.usable.emit()

    # --- damage -----------------------------------------------------------------------------------

    def _found_damage(self, error: BaseException) -> None:
        """While it is open. Said once; what can still be read stays in view."""
        if self.read_only or self._damage is not None or not self.is_ready:
            return
        self._damage = error
        self._toasts.show(
            "error",
            f"{self.path.name} is damaged: part of it cannot be read.",
            "The file is left as it is. Trials continue and keep their data.",
            action="Repair…",
            handler=self._show_damage,
        )

    def _show_damage(self) -> None:
        self.opening.emit(self.path)
        self._close(self._say_damage)

    def _say_damage(self) -> None:
        self.failed.emit(self._damage)

    def repair(self) -> None:
        """Make a new file of what can be found, in the place of the damaged one, which is kept."""
        if self._closing or self._opener.busy:
            return
        self.repairing.emit(self.path)
        self._close(partial(self.repairs.start, self.path))

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
        """The window is closing: no more counting, no repair."""
        self.repairs.stop()
        self._timer.stop()

    def close(self) -> None:
        """After the bridge was closed."""
        self._opener.close()
