"""The registry of metrics. To add one: a `Metric` in a module of this package, whose METRICS is listed here.

A changed formula takes a new `version`: stored values of the old one stay readable beside it. The compression rate
needs the original's trial beside this one: those marked `compared` are computed by the comparison.
"""

from __future__ import annotations

from workbench.metrics import (
    compression,
    energy,
    energy_net,
    estimates,
    latency,
    memory,
    quality,
    speed,
    tasks,
    training,
    utilisation,
    wall,
)
from workbench.metrics.model import Metric

METRICS: tuple[Metric, ...] = (
    *speed.METRICS,
    *training.METRICS,
    *latency.METRICS,
    *memory.METRICS,
    *energy.METRICS,
    *energy_net.METRICS,
    *wall.METRICS,
    *utilisation.METRICS,
    *quality.METRICS,
    *tasks.METRICS,
    *compression.METRICS,
    *estimates.METRICS,
)
"""In the order tables show them."""

PER_TRIAL: tuple[Metric, ...] = tuple(m for m in METRICS if not m.compared)
"""Those that a trial's own records are enough for: stored rows."""

_BY_ID = {m.id: m for m in METRICS}


def metric(id: str) -> Metric:
    """The metric of that id. Raises `KeyError`."""
    return _BY_ID[id]


def find(id: str) -> Metric | None:
    """As `metric`, None where this version does not know it (a store written by a newer one). Also of tasks that the
    registry does not list ("accuracy:lm-eval:arc_easy")."""
    return _BY_ID.get(id) or tasks.metric_of(id)
