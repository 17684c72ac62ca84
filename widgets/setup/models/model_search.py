"""Fetches the starter model when the user asks for it, and looks through the model folders. Main thread; the work
runs on threads of the bridge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from engines.protocol.places import Places
from engines.protocol.problems import advice_of
from widgets.setup.models.library import Library, scan
from widgets.setup.models.rows import Fetching
from widgets.shell.services import Services


class ModelSearch(QObject):
    """The models there are. `changed` after a look, and as a fetch progresses."""

    changed = Signal()
    fetched = Signal()
    """The starter model is here now."""

    _progressed = Signal(object, str)

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.library = Library()
        self.fetching = Fetching()
        self._looking = False
        self._again: tuple[tuple[Path, ...], tuple[str, ...]] | None = None
        self._progressed.connect(self._progress)

    def lacks_starter(self) -> bool:
        """Whether one has looked and the starter model is not here."""
        return self.library.scanned and not self.library.starter_here

    def look(self, folders: Sequence[Path], added: Sequence[str]) -> None:
        """Look through the folders; what is asked for meanwhile follows."""
        wanted = (tuple(folders), tuple(added))
        if self._looking:
            self._again = wanted
            return
        self._looking = True
        places = self._services.places
        self._services.bridge.run(lambda: scan(places, *wanted), self._looked, self._look_failed)

    def _looked(self, library: Library) -> None:
        self._looking = False
        self.library = library
        self.changed.emit()
        self._follow_up()

    def _look_failed(self, error: BaseException) -> None:
        self._looking = False
        self._services.toasts.error(error)
        self._follow_up()

    def _follow_up(self) -> None:
        if self._again is not None:
            again, self._again = self._again, None
            self.look(*again)

    def fetch(self) -> None:
        """Get the starter model; nothing happens while it is on its way."""
        if self.fetching.active:
            return
        self.fetching = Fetching(active=True)
        self.changed.emit()
        places = self._services.places
        self._services.bridge.run(lambda: self._fetch(places), self._done, self._failed)

    def _fetch(self, places: Places) -> Path:
        """On a thread of the bridge."""
        from workbench.models.starter import ensure_starter

        return ensure_starter(places, self._progressed.emit)

    def _progress(self, fraction: float | None, text: str) -> None:
        if self.fetching.active:
            self.fetching = Fetching(fraction, text, active=True)
            self.changed.emit()

    def _done(self, _folder: Path) -> None:
        self.fetching = Fetching()
        self.fetched.emit()

    def _failed(self, error: BaseException) -> None:
        advice = advice_of(error)
        self.fetching = Fetching(error=f"{error} {advice}".strip())
        self.changed.emit()
        self._services.toasts.error(error)
