"""Who reached the target loss, how surely, and what it took: a trial that did not is infinite in medians. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Axis, Progress
from workbench.metrics.training.reaching import NotReached, cost_of
from workbench.statistics.censored import MedianEstimate, median_of, share_interval
from workbench.statistics.intervals import Interval

METRIC_OF: Mapping[Axis, str] = {
    "time": "time_to_loss_s",
    "tokens": "tokens_to_loss",
    "energy": "energy_to_loss_joules",
}


@dataclass(frozen=True)
class Reach:
    """One configuration against one target."""

    configuration: str
    trials: int
    reached: int
    probability: Interval
    """Of a trial reaching it (Clopper and Pearson, 95 %)."""
    medians: Mapping[Axis, MedianEstimate]
    """By what was measured; infinite where half of the trials or more did not reach it."""

    @property
    def unreached(self) -> int:
        return self.trials - self.reached


def reach_of(configuration: str, costs: Mapping[Axis, Sequence[float]]) -> Reach | None:
    """From what each trial took on each axis, infinite where it did not reach the target. None for no trials."""
    measured = {axis: values for axis, values in costs.items() if values}
    if not measured:
        return None
    most = max(measured.values(), key=len)
    hits = sum(math.isfinite(v) for v in most)
    medians = {axis: found for axis, values in measured.items() if (found := median_of(values)) is not None}
    return Reach(configuration, len(most), hits, share_interval(hits, len(most)), medians)


def stored_reach(kept: Mapping[str, ConfigurationTrials]) -> tuple[Reach, ...]:
    """Against the target that the trials themselves were given; configurations without one are left out."""
    found = (
        reach_of(c, {axis: trials.with_censored(id) for axis, id in METRIC_OF.items()}) for c, trials in kept.items()
    )
    return tuple(r for r in found if r is not None)


def reach_at(target: float, progress: Mapping[str, Sequence[Progress]]) -> tuple[Reach, ...]:
    """Against a target of the whole comparison, from the courses of each configuration's trials."""
    found = (
        reach_of(c, {axis: _costs(courses, target, axis) for axis in METRIC_OF}) for c, courses in progress.items()
    )
    return tuple(r for r in found if r is not None)


def _costs(courses: Sequence[Progress], target: float, axis: Axis) -> list[float]:
    costs = (cost_of(course, target, axis) for course in courses)
    return [math.inf if isinstance(c, NotReached) else c for c in costs if not isinstance(c, NotAvailable)]
