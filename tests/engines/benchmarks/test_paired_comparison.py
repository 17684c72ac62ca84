"""The pair comparison of benchmarks/: its arithmetic, its verdicts and its error rates."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from benchmarks.paired_comparison import Ratio, compare, interval, looks, quiet_quarter


def measuring(source: random.Random, ratio: float, noise: float, drift: list[float]) -> tuple[object, object]:
    def one(level: float) -> float:
        drift[0] *= 1.01
        return level * drift[0] * math.exp(source.gauss(0, noise))

    return (lambda: one(ratio)), (lambda: one(1.0))


def test_that_the_interval_is_the_paired_t_interval_on_logarithms() -> None:
    pairs = [(10.0, 9.0), (11.0, 10.5), (9.7, 9.9), (10.2, 9.1)]
    logs = np.log([a / b for a, b in pairs])
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    found = interval(pairs, 0.03, 0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.ratio == pytest.approx(math.exp(logs.mean()))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.98, 1.02, "inside"), (0.95, 1.02, "inconclusive"), (1.04, 1.09, "outside"), (0.80, 0.96, "outside")],
)
def test_that_the_verdict_is_read_off_the_interval(low: float, high: float, verdict: str) -> None:
    ratio = Ratio(first=1, second=1, ratio=1, low=low, high=high, pairs=9, margin=0.03)
    assert ratio.verdict == verdict


def test_that_the_line_has_figure_reference_ratio_and_number() -> None:
    ratio = Ratio(first=14.913, second=15.02, ratio=0.9929, low=0.981, high=1.005, pairs=18, margin=0.03)
    assert ratio.line("ours", "bare", "tokens/s") == (
        "ours 14.91 tokens/s / bare 15.02 tokens/s / ratio 0.9929 [0.9810, 1.0050] n=18: inside ±3 % (half-width 1.2 %)"
    )


def test_that_it_stops_early_when_the_interval_decides() -> None:
    first, second = measuring(random.Random(1), 1.0, 0.001, [1.0])
    state = compare(first, second)  # type: ignore[arg-type]
    assert state.verdict == "inside"
    assert state.pairs < 60


def test_that_noise_is_inconclusive_and_not_a_pass() -> None:
    first, second = measuring(random.Random(2), 1.0, 0.5, [1.0])
    state = compare(first, second, most=15)  # type: ignore[arg-type]
    assert state.pairs == 15
    assert state.verdict == "inconclusive"
    assert state.half_width > 0.03


def test_that_looks_grow_by_half_to_the_cap() -> None:
    assert looks(6, 60) == [6, 9, 14, 21, 32, 48, 60]
    with pytest.raises(ValueError, match="at least two"):
        looks(1, 5)


def test_that_a_ratio_on_the_margin_is_rarely_called_inside_though_it_is_looked_at_often() -> None:
    wrong = 0
    runs = 400
    for seed in range(runs):
        source = random.Random(seed)
        state = compare(
            lambda s=source: 1.03 * math.exp(s.gauss(0, 0.02)),  # type: ignore[misc]
            lambda s=source: math.exp(s.gauss(0, 0.02)),  # type: ignore[misc]
            seed=seed,
        )
        wrong += state.verdict == "inside"
    assert wrong / runs <= 0.05


def disturbed(ratio: float, n: int, seed: int) -> list[tuple[float, float]]:
    """Rates of two loops whose true ratio is `ratio`, where others slow down four measurements in ten by up to half."""
    draw = random.Random(seed)

    def rate(true: float) -> float:
        return true * draw.gauss(1, 0.004) / (1 + (draw.random() < 0.4) * draw.random() / 2)

    return [(rate(100 * ratio), rate(100)) for _ in range(n)]


def test_that_the_quiet_quarter_finds_a_loop_that_is_slower_and_passes_over_what_others_took() -> None:
    assert quiet_quarter(disturbed(1.0, 150, 1), 0.01, 0.95).verdict == "inside"
    assert quiet_quarter(disturbed(0.97, 150, 2), 0.01, 0.95).verdict == "outside"
    assert interval(disturbed(1.0, 150, 1), 0.01, 0.95).verdict == "inconclusive"


def test_that_the_quiet_quarters_interval_covers_the_ratio_it_states() -> None:
    found = [quiet_quarter(disturbed(0.99, 40, seed), 0.01, 0.95) for seed in range(120)]
    assert sum(r.low <= 0.99 <= r.high for r in found) >= 0.88 * len(found)
