"""When warm-up may end. Pure arithmetic."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LAST = 3
"""Iterations looked at."""
VARIATION_MAX = 0.03
"""Largest variation, and largest drift in one direction, that counts as steady (ratio to the mean)."""


@dataclass(frozen=True)
class Steadiness:
    """How the last `LAST` durations behave: sample standard deviation and drift, both over their mean."""

    variation: float
    drift: float
    """(last - first)/mean where they only rise or only fall, else 0."""

    @property
    def steady(self) -> bool:
        return self.variation < VARIATION_MAX and abs(self.drift) < VARIATION_MAX

    def text(self) -> str:
        """ "vary by 4.2 % and drift by -6.0 %"."""
        drift = f" and drift by {self.drift:+.1%}".replace("%", " %") if self.drift else ""
        return f"vary by {self.variation:.1%}".replace("%", " %") + drift


def steadiness(durations_s: Sequence[float]) -> Steadiness | None:
    """Steadiness of the last `LAST` durations (s), or None while there are fewer."""
    if len(durations_s) < LAST:
        return None
    last = durations_s[-LAST:]
    mean = statistics.fmean(last)
    steps = [b - a for a, b in itertools.pairwise(last)]
    one_way = all(s > 0 for s in steps) or all(s < 0 for s in steps)
    return Steadiness(
        variation=statistics.stdev(last) / mean,
        drift=(last[-1] - last[0]) / mean if one_way else 0.0,
    )
