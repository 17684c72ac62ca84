"""Which experiment the Compare page shows: the newest until the user chooses one, kept when the store changes; at the
next start the same again, unless a newer one has come since.

Owns the `Loader`. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QSettings, Signal

from widgets.compare import kept_view
from widgets.compare.loading import Loader
from widgets.compare.table.views import Loaded
from widgets.compare.viewing import Viewing
from widgets.shell.services import Services
from workbench.running.events import StoreChanged
from workbench.store.operations import ExperimentRow, StoreError


class ChosenExperiment(QObject):
    """`show` one, `list` what there is; the signals say what became of it."""

    listed = Signal(object, str)
    """tuple of `ExperimentRow`, newest first, and the id of the one that is shown."""
    left = Signal()
    """Another one is being read."""
    loaded = Signal()
    """`now` is another reading."""
    waiting = Signal(str)
    """There is nothing to show yet; what is being read."""
    none = Signal()
    """The store has no experiment."""
    unreadable = Signal(object)
    """The exception."""

    def __init__(
        self, services: Services, viewing: Viewing, is_being_read: Callable[[], bool], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewing = viewing
        self._is_being_read = is_being_read
        """Whether the user is looking at something: then a newer experiment does not take its place."""
        self.now: Loaded | None = None
        self._rows: tuple[ExperimentRow, ...] = ()
        self._by_user = False
        """Whether the user chose the experiment; otherwise it is the newest."""
        self._kept, self._kept_newest = "", ""
        """What another session showed, and the newest experiment of that time."""
        self.loader = Loader(services, self)
        self.loader.listed.connect(self._listed)
        self.loader.loaded.connect(self._loaded)
        self.loader.failed.connect(self._failed)
        viewing.invalid_changed.connect(self._read)

    def show(self, experiment: str) -> None:
        """By id; chosen by the user or by another page."""
        self._by_user = True
        self._want(experiment)

    def save(self, settings: QSettings) -> None:
        if self._rows:
            kept_view.save_shown(settings, self.loader.experiment, self._rows[0].experiment)

    def restore(self, settings: QSettings) -> None:
        """Before the first reading."""
        self._kept, self._kept_newest = kept_view.load_shown(settings)

    def refresh(self, change: StoreChanged) -> None:
        """Read again only what is shown; the list of experiments is short and always read."""
        if self.now is None or not (change.experiments or change.trials) or self._touches(change, self.now):
            self.loader.again()
        else:
            self.loader.list()

    @staticmethod
    def _touches(change: StoreChanged, shown: Loaded) -> bool:
        if shown.detail.experiment.experiment in change.experiments:
            return True
        return any(t.trial in change.trials for t in shown.detail.trials)

    def _read(self) -> None:
        if self.loader.experiment:
            self.loader.want(self.loader.experiment, include_invalid=self._viewing.include_invalid)

    def _want(self, experiment: str) -> None:
        if experiment != self.loader.experiment:
            self.left.emit()
            row = next((r for r in self._rows if r.experiment == experiment), None)
            if self.now is None:
                self.waiting.emit(f"Reading {row.trials} trials" if row is not None else "Reading the experiment")
        self.listed.emit(self._rows, experiment)
        self.loader.want(experiment, include_invalid=self._viewing.include_invalid)

    def _forget(self) -> None:
        self.now = None
        self.loader.want_nothing()

    def _listed(self, rows: tuple[ExperimentRow, ...]) -> None:
        self._rows = rows
        known = {r.experiment for r in rows}
        current = self.loader.experiment
        newest = rows[0].experiment if rows else ""
        if newest == self._kept_newest and self._kept in known and not self._by_user:
            newest = self._kept
        if not rows:
            self._forget()
            self.listed.emit((), "")
            self.none.emit()
        elif current not in known or (not self._by_user and current != newest and not self._is_being_read()):
            self._by_user = self._by_user and current in known
            self._want(newest)
        else:
            self.listed.emit(rows, current)

    def _loaded(self, loaded: Loaded) -> None:
        self.now = loaded
        self._viewing.enter(loaded.detail.experiment.experiment, (r.configuration for r in loaded.comparison.rows))
        self.loaded.emit()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, StoreError) and error.code == "not_found":
            # deleted meanwhile: the list says what there is now
            self._forget()
            self._by_user = False
            self.loader.list()
        else:
            self.unreadable.emit(error)
