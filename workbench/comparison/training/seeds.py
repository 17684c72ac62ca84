"""What can be seen with the seeds that were run, and how many a difference needs, from an experiment's own spread. For
the plan, the setup page and the command line. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from workbench.comparison.training.optima import Optima
from workbench.comparison.trials import ConfigurationTrials
from workbench.experiment import MORE_BLOCKS
from workbench.statistics.seeds import POWER, Needed, Spread, seeds_needed, spread_of, visible
from workbench.units import format_share


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


def share(value: float) -> str:
    """A small share with two digits: "0.83 %", "12 %"."""
    return f"{100 * value:.2g} %"


def seeds_of(optima: Optima) -> Seeds | None:
    """From test losses at the methods' optima; None where fewer than two seeds pair two methods."""
    first = next((m for m in optima.methods if m.word == "baseline"), None)
    if first is None:
        return None
    its = {seed: loss for seed, (_, loss) in first.at_optimum.items()}
    return _seeds([{s: loss for s, (_, loss) in m.at_optimum.items()} for m in optima.methods if m is not first], its)


def seeds_for(metric: str, kept: Mapping[str, ConfigurationTrials], baseline: str) -> Seeds | None:
    """The same from any metric of an experiment's trials, training or not."""
    if baseline not in kept:
        return None
    return _seeds([k.by_block(metric) for c, k in kept.items() if c != baseline], kept[baseline].by_block(metric))


def _seeds(others: Sequence[Mapping[int, float]], its: Mapping[int, float]) -> Seeds | None:
    logs = [{s: math.log(v / its[s]) for s, v in by_seed.items() if s in its} for by_seed in others]
    logs = [by_seed for by_seed in logs if by_seed]
    spread = spread_of(logs)
    if spread is None:
        return None
    return Seeds(min(len(by_seed) for by_seed in logs), spread, len(logs))
