"""An interval for a median. Needs nothing but the standard library, as everything that `benchmarks.on_gpu` imports."""

from __future__ import annotations

import math
from collections.abc import Sequence


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """An interval that holds the median with at least `confidence`, whatever the distribution: order statistics
    (Conover 1999, 3.2), without scipy. NaN for under six values, which cannot carry one at 95 %."""
    ordered, n = sorted(values), len(values)
    best = -1
    outside = 0.0
    for k in range(n // 2):
        outside += math.comb(n, k) / 2**n
        if 1 - 2 * outside < confidence:
            break
        best = k
    return (ordered[best], ordered[n - 1 - best]) if best >= 0 else (math.nan, math.nan)
