"""The registry of metrics. To add one: a `Metric` in a module of this package, whose METRICS is listed here. Other
packages name a module with `METRICS` in the entry point group `llm_workbench.metrics`.

A changed formula takes a new `version`: stored values of the old one stay readable beside it. The compression rate
needs the original's trial beside this one: those marked `compared` are computed by the comparison.
"""

from __future__ import annotations

from engines.protocol.plugins import Broken, load_plugins
from workbench.metrics import compression, latency, memory, quality, speed, tasks, training, utilisation
from workbench.metrics.energy import estimates, measured, net, wall
from workbench.metrics.model import Metric

ENTRY_POINTS = "llm_workbench.metrics"

_BUILT_IN: tuple[Metric, ...] = (
    *speed.METRICS,
    *training.METRICS,
    *latency.METRICS,
    *memory.METRICS,
    *measured.METRICS,
    *net.METRICS,
    *wall.METRICS,
    *utilisation.METRICS,
    *quality.METRICS,
    *tasks.METRICS,
    *compression.METRICS,
    *estimates.METRICS,
)


def _load() -> tuple[dict[str, Metric], tuple[Broken, ...]]:
    found = {m.id: m for m in _BUILT_IN}

    def take(module: object) -> None:
        offered: tuple[Metric, ...] = getattr(module, "METRICS", ())
        for metric in offered:
            if metric.id in found:
                raise ValueError(f"the id {metric.id} is taken")
            found[metric.id] = metric

    broken = load_plugins(ENTRY_POINTS, take)
    return found, broken


_BY_ID, BROKEN = _load()
METRICS: tuple[Metric, ...] = tuple(_BY_ID.values())
"""In the order tables show them."""

PER_TRIAL: tuple[Metric, ...] = tuple(m for m in METRICS if not m.compared)
"""Those that a trial's own records are enough for: stored rows."""


def metric(id: str) -> Metric:
    """The metric of that id. Raises `KeyError`."""
    return _BY_ID[id]


def find(id: str) -> Metric | None:
    """As `metric`, None where this version does not know it (a store written by a newer one). Also of tasks that the
    registry does not list ("accuracy:lm-eval:arc_easy")."""
    return _BY_ID.get(id) or tasks.metric_of(id)


def title_of(id: str) -> str:
    """The metric's title, the id itself where this version does not know it."""
    known = find(id)
    return id if known is None else known.title
