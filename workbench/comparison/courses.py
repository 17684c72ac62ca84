"""The course of every training trial of an experiment, read from its records. Blocking; off the window's main thread.

A trial that has ended does not change: its course is read once and kept by whoever asks (`read_courses`' `known`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Progress, progress_of
from workbench.metrics.trial import arrange
from workbench.store.operations import ExperimentDetail, Store
from workbench.store.records import replay


class _Work(msgspec.Struct):
    kind: str = ""


class _Resolved(msgspec.Struct):
    workload: _Work = msgspec.field(default_factory=_Work)


Courses = Mapping[str, Progress | NotAvailable]
"""By trial."""


def is_training(detail: ExperimentDetail) -> bool:
    """Whether an experiment trains models."""
    return any(
        msgspec.json.decode(c.resolved, type=_Resolved).workload.kind == "training" for c in detail.configurations
    )


def read_courses(store: Store, kept: Mapping[str, ConfigurationTrials], known: Courses) -> Courses:
    """Of the trials that count, those of `known` not again."""
    wanted = [t.trial for trials in kept.values() for t in trials.counted]
    return {t: known[t] if t in known else progress_of(arrange(replay(store, t))) for t in wanted}
