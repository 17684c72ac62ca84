"""Medians of values that may be infinite, and shares, against tables and simulation."""

from __future__ import annotations

import math

import pytest

from benchmarks.statistics_fairness import time_to_loss_coverage
from workbench.statistics.censored import median_of, share_interval
from workbench.statistics.intervals import Interval

INF = math.inf


@pytest.mark.parametrize(
    ("values", "median"),
    [([3.0], 3.0), ([1.0, 4.0], 2.0), ([1.0, 2.0, INF], 2.0), ([1.0, INF], INF), ([INF, INF, 1.0], INF), ([INF], INF)],
)
def test_the_median(values: list[float], median: float) -> None:
    found = median_of(values)
    assert found.value == pytest.approx(median)


def test_that_of_five_the_extremes_hold_the_median_and_say_how_surely() -> None:
    found = median_of([5.0, 1.0, 3.0, 2.0, 4.0])
    assert found.interval == Interval(1.0, 5.0)
    assert "93.8 %" in found.method


def test_that_an_infinite_value_leaves_the_high_end_open() -> None:
    found = median_of([1.0, 2.0, 3.0, 4.0, 5.0, INF])
    assert found.value == pytest.approx(math.sqrt(12))
    assert found.interval.high == INF
    assert math.isfinite(found.interval.low)


def test_that_few_values_have_an_interval_only_where_all_are_finite() -> None:
    assert median_of([]) is None
    for values in ([2.0], [1.0, 2.0, INF]):
        found = median_of(values)
        assert found.interval is None
    three = median_of([1.0, 2.0, 4.0])
    assert three.interval.low < 2.0 < three.interval.high


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 5, 0.0, 0.5218), (5, 5, 0.4782, 1.0), (3, 5, 0.1466, 0.9473), (1, 1, 0.025, 1.0)],
)
def test_the_exact_interval_of_a_share(hits: int, n: int, low: float, high: float) -> None:
    found = share_interval(hits, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (2, 1), (-1, 3)])
def test_that_a_share_of_no_trials_is_refused(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="trials"):
        share_interval(hits, n)


@pytest.mark.parametrize(("trials", "reaching"), [(3, 1.0), (5, 1.0), (5, 0.9), (8, 0.8), (10, 0.9)])
def test_that_intervals_of_the_time_to_a_loss_hold_as_promised(trials: int, reaching: float) -> None:
    """1,000 experiments: 93 to 97 %, give or take a standard error and a half."""
    assert 0.92 <= time_to_loss_coverage(trials, reaching, experiments=1000, seed=4) <= 0.98
