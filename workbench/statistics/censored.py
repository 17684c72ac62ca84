"""Values of which some are only known to be larger than anything (a loss that was not reached). Pure.

They are infinite: a median stands as long as fewer than half of them are, a mean never does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.statistics.intervals import Interval, t_interval

MIN_ORDERED = 5
"""Values from which the smallest and the largest hold the median in over 93 % of experiments."""


@dataclass(frozen=True)
class MedianEstimate:
    value: float
    """Infinite where half of the values or more are."""
    interval: Interval | None
    """Its high end is infinite where the values leave that open."""
    method: str


def median_of(values: Sequence[float], confidence: float = 0.95) -> MedianEstimate | None:
    """Median of positive values, some of which may be infinite, with an interval. None for none.

    From `MIN_ORDERED` values on the interval lies between order statistics and assumes nothing of their distribution
    (Hettmansperger and Sheather 1986, interpolated on logarithms); of fewer, it is the t interval on logarithms, and
    only where all are finite.
    """
    ordered = sorted(values)
    n = len(ordered)
    if not n:
        return None
    middle = _log_mean(ordered[(n - 1) // 2], ordered[n // 2])
    if n >= MIN_ORDERED:
        interval, kept = _ordered_interval(ordered, confidence)
        return MedianEstimate(
            middle, interval, f"median of {n} trials, {100 * kept:.3g} % interval of order statistics"
        )
    if n == 1:
        return MedianEstimate(middle, None, "one trial: no interval")
    if math.isinf(ordered[-1]) or ordered[0] <= 0:
        return MedianEstimate(middle, None, f"median of {n} trials: too few for an interval")
    logs = t_interval([math.log(v) for v in ordered], confidence)
    assert logs is not None
    interval = Interval(math.exp(logs.low), math.exp(logs.high))
    return MedianEstimate(middle, interval, f"median of {n} trials, {100 * confidence:g} % t interval on logarithms")


def _ordered_interval(ordered: Sequence[float], confidence: float) -> tuple[Interval, float]:
    from scipy import stats

    n = len(ordered)

    def coverage(d: int) -> float:
        """Of the interval from the d-th smallest to the d-th largest."""
        return 1 - 2 * float(stats.binom.cdf(d - 1, n, 0.5))

    d = 1
    while d + 1 <= n // 2 and coverage(d + 1) >= confidence:
        d += 1
    wide, narrow = coverage(d), coverage(d + 1) if d + 1 <= n // 2 else 0.0
    if wide <= confidence or d + 1 > n // 2:
        return Interval(ordered[d - 1], ordered[n - d]), wide
    over = (wide - confidence) / (wide - narrow)
    share = (n - d) * over / (d + (n - 2 * d) * over)
    low = ordered[d - 1] if math.isinf(ordered[d]) else _log_mean(ordered[d - 1], ordered[d], share)
    return Interval(low, _log_mean(ordered[n - d], ordered[n - d - 1], share)), confidence


def _log_mean(a: float, b: float, share: float = 0.5) -> float:
    """Between `a` (share 0) and `b` (share 1) on logarithms; linear where one is not positive, infinite if one is."""
    if a == b or math.isinf(a) or math.isinf(b):
        return max(a, b)
    if min(a, b) <= 0:
        return (1 - share) * a + share * b
    return math.exp((1 - share) * math.log(a) + share * math.log(b))


def share_interval(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Clopper and Pearson's exact interval of a probability. Raises `ValueError` for no trials."""
    from scipy import stats

    if not 0 <= hits <= n or n < 1:
        raise ValueError(f"{hits} of {n} trials")
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, hits, n - hits + 1)) if hits else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, n - hits)) if hits < n else 1.0
    return Interval(low, high)
