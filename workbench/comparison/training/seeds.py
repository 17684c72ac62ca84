"""What can be seen with the seeds of a comparison, and how many a difference needs, from its own spread. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.comparison.training.optima import Optima
from workbench.comparison.trials import ConfigurationTrials
from workbench.statistics.seeds import Seeds, seeds_between


def seeds_of(optima: Optima) -> Seeds | None:
    """From test losses at the methods' optima; None where fewer than two seeds pair two methods."""
    first = next((m for m in optima.methods if m.word == "baseline"), None)
    if first is None:
        return None
    its = {seed: loss for seed, (_, loss) in first.at_optimum.items()}
    return seeds_between(
        [{s: loss for s, (_, loss) in m.at_optimum.items()} for m in optima.methods if m is not first], its
    )


def seeds_for(metric: str, kept: Mapping[str, ConfigurationTrials], baseline: str) -> Seeds | None:
    """The same from any metric of an experiment's trials, training or not."""
    if baseline not in kept:
        return None
    return seeds_between(
        [k.by_block(metric) for c, k in kept.items() if c != baseline], kept[baseline].by_block(metric)
    )
