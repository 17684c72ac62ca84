"""Experiments and trials for the command palette, asked from the store when it opens. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject

from widgets.palette.matching import Candidate
from widgets.palette.palette import Palette
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment, ShowTrial
from workbench.store.operations import ExperimentRow, ListExperiments, ListTrials, TrialRow

EXPERIMENTS = 200
TRIALS = 1000
"""The newest; older ones are found on the Compare page."""


class PaletteItems(QObject):
    def __init__(self, services: Services, palette: Palette) -> None:
        super().__init__(palette)
        self._services = services
        self._palette = palette
        self._experiments: list[Candidate] = []
        self._trials: list[Candidate] = []
        palette.asked.connect(self._ask)
        palette.picked.connect(self._picked)

    def _ask(self) -> None:
        if self._services.workbench is None:
            return
        self._services.bridge.run(ListExperiments(limit=EXPERIMENTS), self._got_experiments, self._failed)
        self._services.bridge.run(ListTrials(limit=TRIALS), self._got_trials, self._failed)

    def _got_experiments(self, rows: tuple[ExperimentRow, ...]) -> None:
        self._experiments = [
            Candidate(f"experiment:{r.experiment}", r.name, f"experiment {r.number}, {r.trials} trials", icon="bars")
            for r in rows
        ]
        self._palette.set_items([*self._experiments, *self._trials])

    def _got_trials(self, rows: tuple[TrialRow, ...]) -> None:
        self._trials = [
            Candidate(
                f"trial:{r.trial}",
                f"Trial {r.number}: {r.title}",
                f"{r.experiment_name}, {r.outcome or r.state}",
                icon="pulse",
            )
            for r in rows
        ]
        self._palette.set_items([*self._experiments, *self._trials])

    def _failed(self, error: BaseException) -> None:
        """The palette still offers the actions; the store's trouble is reported where it is used."""
        self._palette.set_items(())

    def _picked(self, id: str) -> None:
        kind, _, key = id.partition(":")
        if kind == "experiment":
            self._services.navigate("compare", ShowExperiment(key))
        elif kind == "trial":
            self._services.navigate("monitor", ShowTrial(key))
