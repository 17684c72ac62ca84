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

from workbench.experiment import MORE_BLOCKS
from workbench.statistics.intervals import smallest_p, t_quantile
from workbench.units import format_share

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


@dataclass(frozen=True)
class Seeds:
    """Of an experiment: its spread between methods within a seed, by what was run."""

    run: int
    """Seeds that every method has."""
    spread: Spread
    comparisons: int
    """Methods against the baseline: the more, the stricter the test of each."""

    def seen(self, seeds: int | None = None) -> tuple[float, float] | None:
        """Smallest difference that shows with so many seeds (those that were run), and with the largest spread that is
        left open; None under two seeds."""
        count = self.run if seeds is None else seeds
        found = visible(self.spread.value, count, self.comparisons)
        bound = visible(self.spread.upper, count, self.comparisons)
        return (found, bound) if found is not None and bound is not None else None

    def needed(self, difference: float) -> Needed:
        """For a difference (0.01 is 1 %). Raises `ValueError` for none."""
        return seeds_needed(difference, self.spread, self.comparisons)

    def words(self) -> str:
        """ "With 5 seeds, differences under 0.8 % will not show ..., with as many more blocks as are offered ..." """
        more = self.seen(self.run + MORE_BLOCKS)
        further = f" With {self.run + MORE_BLOCKS}, differences under {share(more[0])}." if more is not None else ""
        return self.words_with(self.run) + further

    def words_with(self, seeds: int) -> str:
        """The same for another number of seeds."""
        seen = self.seen(seeds)
        if seen is None:
            return "With one seed, no difference shows."
        return (
            f"With {seeds} seeds, differences under {share(seen[0])} will not show (power {format_share(POWER)}; under "
            f"{share(seen[1])} if the spread is as large as the {self.run} that were run leave open)."
        )

    def words_needed(self, difference: float) -> str:
        """ "A difference of 1 % needs 8 seeds; up to 21 ..." """
        found = self.needed(difference)
        if found.seeds is None:
            return f"A difference of {share(difference)} needs more than 1,000 seeds."
        bound = f"up to {found.at_most}" if found.at_most is not None else "over 1,000"
        return (
            f"A difference of {share(difference)} needs {found.seeds} seeds, {bound} if the spread is as large as the "
            f"{self.run} that were run leave open."
        )


def seeds_between(others: Sequence[Mapping[int, float]], baseline: Mapping[int, float]) -> Seeds | None:
    """From positive values by seed, of the baseline and of each other method. None where no method has two seeds in
    common with it."""
    logs = [{s: math.log(v / baseline[s]) for s, v in by_seed.items() if s in baseline} for by_seed in others]
    logs = [by_seed for by_seed in logs if by_seed]
    spread = spread_of(logs)
    return None if spread is None else Seeds(min(len(by_seed) for by_seed in logs), spread, len(logs))


def share(value: float) -> str:
    """A share with two digits: "0.83 %", "12 %"; a large one in whole: "490 %"."""
    return f"{100 * value:,.0f} %" if value >= 0.1 else f"{100 * value:.2g} %"
