"""How many seeds a difference needs, and what difference can be seen with those that were run. Pure.

By the test that the verdict uses: the paired t test on log ratios within seeds, at the level that several methods
against one baseline leave each of them. Power by the noncentral t distribution. What a few seeds
say of their own spread is uncertain, so that every answer has a second one, for the largest spread they leave open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from workbench.statistics.intervals import smallest_p, t_quantile

POWER = 0.80
"""Chance that a difference of the given size shows."""
BOUND = 0.90
"""Chance that the spread is no larger than the bound given for it."""
MOST = 1_000
"""Seeds beyond which no number is given."""
_CERTAIN = 8.0
"""Standard errors beyond the critical value from which the chance is 1 to all digits that matter."""
_RIGHT_WAY = 3.0
"""Standard errors from which a difference shows the wrong way in under one of 10,000 experiments; the value of scipy
is not a number further on."""
_SEEDS_SIMULATED = 20
"""With more seeds the level of a simultaneous test hardly moves."""


@dataclass(frozen=True)
class Spread:
    """Standard deviation of log ratios between two methods within a seed."""

    value: float
    upper: float
    """What it is at most, with confidence `BOUND` (chi-squared)."""
    freedom: int


@dataclass(frozen=True)
class Needed:
    seeds: int | None
    """None: over `MOST`."""
    at_most: int | None
    """Where the spread is at its bound."""


def spread_of(pairs: Sequence[Mapping[int, float]]) -> Spread | None:
    """From log ratios by seed, one mapping for each method against the baseline: pooled within methods. None where no
    method has two seeds, or nothing varies."""
    known = [np.array(list(by_seed.values())) for by_seed in pairs if len(by_seed) > 1]
    freedom = sum(len(values) - 1 for values in known)
    squares = sum(float(np.sum((values - values.mean()) ** 2)) for values in known)
    if freedom < 1 or squares <= 0:
        return None
    # methods share the baseline's noise: their squares are not independent, so the bound takes one method's freedom
    own = max(len(values) for values in known) - 1
    value = math.sqrt(squares / freedom)
    return Spread(value, value * _bound(own), own)


def _bound(freedom: int) -> float:
    from scipy import stats

    return math.sqrt(freedom / float(stats.chi2.ppf(1 - BOUND, freedom)))


def power_of(difference: float, spread: float, seeds: int, comparisons: int = 1) -> float:
    """Chance that a difference (0.01 is 1 %) shows with so many seeds, among so many methods against a baseline."""
    from scipy import special

    if seeds < 2:
        return 0.0
    freedom, effect = seeds - 1, abs(math.log1p(difference)) / spread * math.sqrt(seeds)
    critical = t_quantile(1 - _level(seeds, comparisons), freedom)
    if effect > critical + _CERTAIN:
        return 1.0
    wrong_way = special.nctdtr(freedom, effect, -critical) if effect < _RIGHT_WAY else 0.0
    return float(1 - special.nctdtr(freedom, effect, critical) + wrong_way)


@lru_cache(maxsize=256)
def _level(seeds: int, comparisons: int) -> float:
    """p value under which one of the comparisons counts as shown: they share the baseline's noise, which correlates
    their ratios by a half."""
    if comparisons <= 1:
        return 0.05
    seeds = min(seeds, _SEEDS_SIMULATED)
    alike = tuple(tuple(1.0 if i == j else 0.5 for j in range(comparisons)) for i in range(comparisons))
    return smallest_p(alike, (seeds - 1,) * comparisons)


def seeds_needed(difference: float, spread: Spread, comparisons: int = 1) -> Needed:
    """Fewest seeds with which the difference shows with chance `POWER`. Raises `ValueError` for no difference."""
    if difference == 0 or difference <= -1:
        raise ValueError("a difference is needed that is not 0 and over -100 %")
    return Needed(
        _fewest(difference, spread.value, comparisons),
        _fewest(difference, spread.upper, comparisons),
    )


def _fewest(difference: float, spread: float, comparisons: int) -> int | None:
    if power_of(difference, spread, MOST, comparisons) < POWER:
        return None
    low, high = 1, MOST  # too few, enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(difference, spread, middle, comparisons) >= POWER else (middle, high)
    return high


def visible(spread: float, seeds: int, comparisons: int = 1) -> float | None:
    """Smallest difference (as a share) that shows with chance `POWER`; None under two seeds."""
    if seeds < 2 or spread <= 0:
        return None
    low, high = 0.0, spread
    while power_of(math.expm1(high), spread, seeds, comparisons) < POWER:
        high *= 2
        if high > 50:
            return None
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if power_of(math.expm1(middle), spread, seeds, comparisons) >= POWER else (middle, high)
        )
    return math.expm1(high)
