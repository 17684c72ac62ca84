"""Which trials of a configuration lie apart from its others. Pure; any thread.

A trial is outlying where the logarithm of its value lies further from the median of the other trials than `FLOOR`, and
further than a factor times their scatter: their standard deviation, without the fifth of them that lies farthest out,
so that one outlying trial does not hide another. Under log-normal noise a configuration has a mark by chance in at most
one of twenty figures (docs/statistics.md). A mark changes no figure: outlying trials count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from workbench.units import significant

MARK = "†"
FLOOR = 0.05
"""Trials closer to the others than this, as a ratio, are never marked."""
MIN_TRIALS = 3
_FACTORS = {3: 46.7, 4: 10.3, 5: 6.54, 6: 10.6, 7: 7.91, 8: 6.59, 9: 5.91, 10: 5.46}
"""By number of trials: distances over scatters that the farthest of them exceeds in 5 % of samples of normal logarithms
(200,000 samples each)."""
_MORE = 6.6
"""For more trials: the largest of theirs, at eleven."""


@dataclass(frozen=True)
class Outlier:
    trial: str
    ratio: float
    """To the median of the other trials."""
    share: float
    """By how much the configuration's interval would be narrower with this trial at that median: 0.8 is 80 %."""


def find_outliers(values: Sequence[tuple[str, float]]) -> tuple[Outlier, ...]:
    """Outlying trials among (trial, value); none under three trials and where a value is not positive."""
    if len(values) < MIN_TRIALS or any(value <= 0 for _, value in values):
        return ()
    logs = [math.log(value) for _, value in values]
    found = []
    for place, (trial, _) in enumerate(values):
        others = [*logs[:place], *logs[place + 1 :]]
        middle = median(others)
        least = max(math.log1p(FLOOR), _FACTORS.get(len(logs), _MORE) * _scatter(others, middle))
        if abs(logs[place] - middle) > least:
            moved = [*others, middle]
            found.append(Outlier(trial, math.exp(logs[place] - middle), 1 - _deviation(moved) / _deviation(logs)))
    return tuple(found)


def describe(outlier: Outlier) -> str:
    """ "24 % below the median of the others, 85 % of the interval's width"."""
    side = "below" if outlier.ratio < 1 else "above"
    apart = f"{significant(100 * abs(outlier.ratio - 1), 2)} % {side} the median of the others"
    return f"{apart}, {100 * outlier.share:.0f} % of the interval's width"


def _scatter(others: Sequence[float], middle: float) -> float:
    nearest = sorted(others, key=lambda x: abs(x - middle))
    return _deviation(nearest[: len(others) - len(others) // 5])


def _deviation(values: Sequence[float]) -> float:
    """Standard deviation with n − 1; `statistics.stdev` works in fractions, which takes ten times as long."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))
