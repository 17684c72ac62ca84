"""The course of every training trial of an experiment, read from its records. Blocking; off the window's main thread.

A trial that has ended does not change: its course is read once and kept by whoever asks (`read_courses`' `known`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Progress, progress_of
from workbench.metrics.trial import arrange
from workbench.store.operations import ExperimentDetail, Store, StoreError
from workbench.store.records import replay

Kept = Mapping[str, ConfigurationTrials]
"""By configuration."""
Courses = Mapping[str, Progress | NotAvailable]
"""By trial."""


@dataclass(frozen=True)
class Read:
    """The trials of an experiment that count, and their courses."""

    kept: Kept
    courses: Courses


def read_all(store: Store, detail: ExperimentDetail, *, include_invalid: bool = False) -> Read:
    """Of a whole experiment."""
    kept = {c.configuration: ConfigurationTrials(c, detail, include_invalid) for c in detail.configurations}
    return Read(kept, read_courses(store, kept, {}))


def read_courses(store: Store, kept: Kept, known: Courses) -> Courses:
    """Of the trials that count, those of `known` not again."""
    wanted = [t.trial for trials in kept.values() for t in trials.counted]
    return {t: known[t] if t in known else _course_of(store, t) for t in wanted}


def _course_of(store: Store, trial: str) -> Progress | NotAvailable:
    try:
        return progress_of(arrange(replay(store, trial)))
    except StoreError as error:  # deleted meanwhile
        return NotAvailable(str(error))
