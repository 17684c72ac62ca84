"""The course of every training trial of an experiment, read from its records. Blocking; off the window's main thread.

A trial that has ended does not change: its course is read once and kept by whoever asks (`read_courses`' `known`).
"""

from __future__ import annotations

from collections.abc import Mapping

from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Progress, progress_of
from workbench.metrics.trial import arrange
from workbench.store.operations import Store, StoreError
from workbench.store.records import replay

Courses = Mapping[str, Progress | NotAvailable]
"""By trial."""


def read_courses(store: Store, kept: Mapping[str, ConfigurationTrials], known: Courses) -> Courses:
    """Of the trials that count, those of `known` not again."""
    wanted = [t.trial for trials in kept.values() for t in trials.counted]
    return {t: known[t] if t in known else _course_of(store, t) for t in wanted}


def _course_of(store: Store, trial: str) -> Progress | NotAvailable:
    try:
        return progress_of(arrange(replay(store, trial)))
    except StoreError as error:  # deleted meanwhile
        return NotAvailable(str(error))
