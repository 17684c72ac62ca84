"""What the tests of the Compare page share: a workbench of experiments in memory, rows and cells by their names."""

from __future__ import annotations

from typing import Any

import msgspec
from PySide6.QtCore import QModelIndex

from tests.widgets.fake_workbench import Remembering
from widgets.compare.page import ComparePage
from widgets.compare.table.build import build
from widgets.compare.table.views import Choice, Column, Loaded
from workbench.store.operations import ExperimentDetail, GetExperiment, ListExperiments, Rename, SetBaseline, StoreError

SPEED, MEMORY, POWER = "decode_tokens_per_second", "memory_mean_bytes", "power_mean_watts"


class FakeWorkbench(Remembering):
    """Holds experiments; remembers what was asked of it."""

    def __init__(self, *details: ExperimentDetail) -> None:
        super().__init__()
        self.details = list(details)
        self.reads = 0

    def execute(self, operation: object) -> object:
        if isinstance(operation, ListExperiments):
            return tuple(d.experiment for d in self.details)
        if isinstance(operation, GetExperiment):
            self.reads += 1
            for found in self.details:
                if found.experiment.experiment == operation.experiment:
                    return found
            raise StoreError("There is no such experiment.", code="not_found")
        self.asked.append(operation)
        if isinstance(operation, SetBaseline):
            self._change(0, baseline=operation.configuration)
        elif isinstance(operation, Rename):
            self._change(0, name=operation.name)
        return None

    def _change(self, place: int, **values: Any) -> None:
        old = self.details[place]
        self.details[place] = msgspec.structs.replace(old, experiment=msgspec.structs.replace(old.experiment, **values))

    def delete(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("delete", trials))
        return trials

    def more_blocks(self, experiment: str, blocks: int) -> tuple[str, ...]:
        self.asked.append(("more", experiment, blocks))
        return tuple(f"t-more-{n}" for n in range(4 * blocks))


def column(loaded: Loaded, metric: str) -> Column:
    """The table's column of a metric."""
    return next(c for c in build(loaded, Choice(metrics=(metric,))).columns if c.metric == metric)


def index_of(page: ComparePage, key: str, metric: str = "") -> QModelIndex:
    place = next((i for i, c in enumerate(page.table.view.columns) if c.metric == metric), 0) if metric else 0
    return page.table.compare_model.find(key, place)


def choose(page: ComparePage, key: str, metric: str = "") -> QModelIndex:
    index = index_of(page, key, metric)
    page.table.setCurrentIndex(index)
    return index


def failed_trial(page: ComparePage) -> str:
    return next(t.trial for t in page.loaded.detail.trials if t.outcome == "failed")
