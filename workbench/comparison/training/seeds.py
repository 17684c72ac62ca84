"""What can be seen with the seeds of a comparison, and how many a difference needs, from its own spread. Pure."""

from __future__ import annotations

from workbench.comparison.training.optima import Optima
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
