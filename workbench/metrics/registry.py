"""The registry of metrics. To add one: a `Metric` in a module of this package, whose METRICS is listed here.

A changed formula takes a new `version`: stored values of the old one stay readable beside it. The compression rate
(MCR) is not here: it needs the original's trial beside this one.
"""

from __future__ import annotations

from workbench.metrics import energy, latency, memory, quality, speed
from workbench.metrics.model import Metric

METRICS: tuple[Metric, ...] = (
    *speed.METRICS,
    *latency.METRICS,
    *memory.METRICS,
    *energy.METRICS,
    *quality.METRICS,
)
"""In the order tables show them."""

_BY_ID = {m.id: m for m in METRICS}


def metric(id: str) -> Metric:
    """The metric of that id. Raises `KeyError`."""
    return _BY_ID[id]


def find(id: str) -> Metric | None:
    """As `metric`, None where this version does not know it (a store written by a newer one)."""
    return _BY_ID.get(id)
