"""Seeds that a difference needs, against simulated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.statistics.intervals import ratios_to_baseline
from workbench.statistics.seeds import POWER, Spread, power_of, seeds_needed, share, spread_of, visible


def test_that_the_spread_is_pooled_within_methods_and_has_a_bound() -> None:
    found = spread_of([{0: 0.0, 1: 0.02}, {0: 1.0, 1: 1.04, 2: 1.02}, {0: 5.0}])
    assert found.value == pytest.approx(math.sqrt((2e-4 + 8e-4) / 3))
    assert found.freedom == 2
    assert found.upper == pytest.approx(found.value * math.sqrt(2 / 0.2107), rel=1e-3)  # chi-squared table: 0.211
    assert spread_of([]) is None
    assert spread_of([{0: 0.1}]) is None
    assert spread_of([{0: 0.1, 1: 0.1}]) is None


def test_that_seeds_and_differences_answer_each_other() -> None:
    spread = Spread(0.01, 0.02, 4)
    needed = seeds_needed(math.expm1(0.01), spread)
    assert needed.seeds == 10  # a textbook's: effect 1.0, paired, 5 %, 80 %
    assert needed.at_most is not None
    assert needed.at_most > needed.seeds
    seen = visible(0.01, 10)
    assert seen is not None
    assert 0.009 < seen < 0.0101
    assert power_of(seen, 0.01, 10) == pytest.approx(POWER, abs=1e-6)


def test_the_boundaries() -> None:
    assert visible(0.01, 1) is None
    assert visible(0.01, 0) is None
    assert power_of(0.5, 0.01, 1) == 0.0
    assert seeds_needed(1e-6, Spread(0.1, 0.1, 4)).seeds is None
    assert seeds_needed(10.0, Spread(0.001, 0.001, 4)).seeds == 2
    assert seeds_needed(-0.01, Spread(0.01, 0.01, 4)).seeds in (10, 11)
    with pytest.raises(ValueError, match="difference"):
        seeds_needed(0.0, Spread(0.1, 0.1, 4))


def test_that_more_methods_need_more_seeds() -> None:
    one, six = (seeds_needed(0.01, Spread(0.01, 0.01, 4), k).seeds for k in (1, 6))
    assert one is not None
    assert six is not None
    assert six > one


@pytest.mark.parametrize("comparisons", [1, 4])
def test_that_the_difference_that_can_be_seen_shows_in_four_of_five_experiments(comparisons: int) -> None:
    """With the verdict's own test: methods share the baseline's noise, so that their log ratios correlate by a half."""
    rng, spread, seeds = np.random.default_rng(8), 0.01, 6
    seen = visible(spread, seeds, comparisons)
    assert seen is not None
    shown, experiments = 0, 300
    for _ in range(experiments):
        noise = rng.normal(0, spread / math.sqrt(2), (comparisons + 1, seeds))
        base = {s: math.exp(v) for s, v in enumerate(noise[0])}
        others = {f"{i}": {s: (1 + seen) * math.exp(v) for s, v in enumerate(row)} for i, row in enumerate(noise[1:])}
        interval = ratios_to_baseline(base, others)["0"].interval
        shown += interval is not None and interval.low > 1
    assert 0.72 <= shown / experiments <= 0.88


@pytest.mark.parametrize(("value", "said"), [(0.0083, "0.83 %"), (0.12, "12 %"), (0.999, "100 %"), (4.9, "490 %")])
def test_that_a_share_is_written_plainly(value: float, said: str) -> None:
    assert share(value) == said
