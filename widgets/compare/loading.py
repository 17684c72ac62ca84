"""Reads experiments and compares them off the main thread; never two readings of one thing at once. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PySide6.QtCore import QObject, QTimer, Signal

from widgets.compare.table.views import Loaded
from widgets.shell.services import Services
from workbench.comparison.comparison import compare
from workbench.comparison.trials import ConfigurationTrials
from workbench.machines.machine import machine_titles
from workbench.store.operations import ExperimentDetail, GetExperiment, ListExperiments

_SETTLE_MS = 400
"""While trials run, the store changes with every batch of records."""


class Loader(QObject):
    """`want` an experiment, `again` when it changed; `listed` and `loaded` tell."""

    listed = Signal(object)
    """tuple of `ExperimentRow`, newest first"""
    loaded = Signal(object)
    """`Loaded`"""
    failed = Signal(object)
    """The exception."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._experiment = ""
        self._include_invalid = False
        self._busy = self._stale = self._listing = self._list_stale = False
        self._settle = QTimer(self, interval=_SETTLE_MS, singleShot=True)
        self._settle.timeout.connect(self._settled)

    @property
    def experiment(self) -> str:
        """Id of the experiment that is wanted, "" for none."""
        return self._experiment

    def want(self, experiment: str, *, include_invalid: bool) -> None:
        """Read this one now."""
        self._experiment, self._include_invalid = experiment, include_invalid
        self._read()

    def want_nothing(self) -> None:
        """No experiment is shown."""
        self._experiment = ""

    def again(self) -> None:
        """Read list and experiment again, at most every 0.4 s."""
        if not self._settle.isActive():
            self._settle.start()

    def stop(self) -> None:
        self._settle.stop()

    def _settled(self) -> None:
        self.list()
        if self._experiment:
            self._read()

    def list(self) -> None:
        """Read the list of experiments."""
        if self._listing:
            self._list_stale = True
            return
        self._listing = True
        self._services.bridge.run(ListExperiments(), self._listed, self._list_failed)

    def _listed(self, rows: object) -> None:
        self._listing = False
        self.listed.emit(rows)
        if self._list_stale:
            self._list_stale = False
            self.list()

    def _list_failed(self, error: BaseException) -> None:
        self._listing = self._list_stale = False
        self.failed.emit(error)

    def _read(self) -> None:
        if self._busy:
            self._stale = True
            return
        self._busy, self._stale = True, False
        self._services.bridge.run(GetExperiment(experiment=self._experiment), self._read_done, self._read_failed)

    def _read_done(self, detail: ExperimentDetail) -> None:
        called = partial(machine_titles, self._services.places)
        work = partial(compared, detail, include_invalid=self._include_invalid, called=called)
        self._services.bridge.run(work, self._compared, self._read_failed)

    def _compared(self, loaded: Loaded) -> None:
        self._busy = False
        wanted = loaded.detail.experiment.experiment == self._experiment
        if wanted and loaded.include_invalid == self._include_invalid:
            self.loaded.emit(loaded)
        if self._stale:
            self._read()

    def _read_failed(self, error: BaseException) -> None:
        self._busy = False
        if self._stale:
            self._read()
        else:
            self.failed.emit(error)


def compared(
    detail: ExperimentDetail, *, include_invalid: bool = False, called: Callable[[], Mapping[str, str]] = dict
) -> Loaded:
    """All that the page shows of an experiment. `called` says what people call machines. Any thread."""
    kept = {c.configuration: ConfigurationTrials(c, detail, include_invalid) for c in detail.configurations}
    comparison = compare(detail, include_invalid=include_invalid, titles=called())
    return Loaded(detail, comparison, include_invalid, kept)
