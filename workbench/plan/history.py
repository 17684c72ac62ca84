"""What trials of this machine say about a plan's estimates of time and memory. Pure; any thread.

An estimate's doubt is a factor; it counts as one more trial, so that the first few narrow it little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

import msgspec

from workbench.plan.types import Configuration, MemoryEstimate

_MEMORY_DOUBT = 1.1
"""By formula, of training: how far it was off at most where it was tried (benchmarks/finetune_memory.py)."""
_TIME_DOUBT = 3.0
"""By round figures of ordinary hardware."""


@dataclass(frozen=True)
class History:
    durations: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Seconds of completed trials by configuration hash."""
    memory: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """What completed training trials needed, as multiples of what the formulas expected, by kind of device."""
    losses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Test losses (held-out ones where there is none) of valid training trials, by configuration hash and seed: a seed
    is a block of one experiment."""


NOTHING_KNOWN = History()


@dataclass(frozen=True)
class Range:
    """Multiples of an estimate."""

    low: float
    middle: float
    high: float


def range_of(ratios: Sequence[float], doubt: float) -> Range:
    """All ratios seen, and the middle one with the doubt that is left: its root of one more than there are trials."""
    middle = median(ratios) if ratios else 1.0
    left = doubt ** (1 / (1 + len(ratios)))
    return Range(min((*ratios, middle / left)), middle, max((*ratios, middle * left)))


def with_memory_learned(estimate: MemoryEstimate, ratios: Sequence[float]) -> MemoryEstimate:
    """Weights, gradients and optimiser states are counted: what trials needed beyond or below the formula is given to
    activations and overhead."""
    found, total = range_of(ratios, _MEMORY_DOUBT), estimate.needed
    uncertain = estimate.cache_or_activations + estimate.overhead
    factor = max(0.0, 1 + (found.middle - 1) * total / uncertain) if uncertain else 1.0
    return msgspec.structs.replace(
        estimate,
        cache_or_activations=round(estimate.cache_or_activations * factor),
        overhead=round(estimate.overhead * factor),
        by_formula=total,
        low=round(total * found.low),
        high=round(total * found.high),
        trials=len(ratios),
    )


def with_times_learned(
    cells: tuple[Configuration, ...], durations: Mapping[str, Sequence[float]]
) -> tuple[Configuration, ...]:
    """Known times in place of estimates; the other estimates scaled by how wrong those were on this machine."""
    known = [c for c in cells if c.hash in durations and c.expected_s > 0]
    ratios = [mean(durations[c.hash]) / c.expected_s for c in known]
    trials = sum(len(durations[c.hash]) for c in known)
    return tuple(_timed(c, durations.get(c.hash, ()), range_of(ratios, _TIME_DOUBT), trials) for c in cells)


def _timed(cell: Configuration, own: Sequence[float], others: Range, trials: int) -> Configuration:
    once = cell.once_s * others.middle
    if own:
        expected = mean(own)
        furthest = max(abs(seconds - expected) for seconds in own)
        return msgspec.structs.replace(
            cell,
            expected_s=expected,
            low_s=expected - furthest,
            high_s=expected + furthest,
            once_s=once,
            time_trials=len(own),
            time_is_own=True,
        )
    return msgspec.structs.replace(
        cell,
        expected_s=cell.expected_s * others.middle,
        low_s=cell.expected_s * others.low,
        high_s=cell.expected_s * others.high,
        once_s=once,
        time_trials=trials,
    )
