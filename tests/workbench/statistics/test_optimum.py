"""The best of a sweep: where it lies, how wide it is, and whether a verdict at it keeps its promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.statistics_fairness import shown_between_equals
from workbench.statistics.optimum import Curve, Sweep, against, curve_of, judged, optimum_of


def at(losses: dict[float, float]) -> Curve:
    found = curve_of({setting: {0: loss} for setting, loss in losses.items()})
    assert found is not None
    return found


def test_that_the_optimum_is_the_lowest_mean_over_the_seeds_that_all_rates_have() -> None:
    curve = curve_of({1e-3: {0: 2.0, 1: 4.0}, 1e-4: {0: 2.5, 1: 2.5, 2: 0.1}})
    assert curve == Curve((1e-4, 1e-3), (2.5, 3.0), (0, 1))
    best = optimum_of(curve)
    assert (best.setting, best.edge, best.next_setting) == (1e-4, "low", pytest.approx(1e-5))


@pytest.mark.parametrize(
    ("losses", "edge", "following"),
    [
        ({1e-4: 2.0}, "only", None),
        ({1e-5: 3.0, 1e-4: 2.0, 1e-3: 2.5}, "", None),
        ({1e-5: 3.0, 1e-4: 2.5, 3e-4: 2.0}, "high", 9e-4),
        ({1e-5: 2.0, 1e-4: 2.5}, "low", 1e-6),
        ({1e-5: 3.0, 1e-4: 2.0, 1e-2: math.inf}, "high", 1e-3),  # diverged beside the best: try between them
    ],
)
def test_that_an_optimum_at_an_edge_names_the_next_rate(
    losses: dict[float, float], edge: str, following: float | None
) -> None:
    best = optimum_of(at(losses))
    assert best.edge == edge
    assert best.next_setting == (following if following is None else pytest.approx(following))


def test_that_no_optimum_is_made_of_nothing_or_of_what_diverged() -> None:
    assert curve_of({}) is None
    assert curve_of({1e-3: {}}) is None
    assert optimum_of(at({1e-3: math.inf, 1e-2: math.inf})) is None


def test_that_the_tolerance_is_read_off_straight_lines_in_the_logarithm() -> None:
    """From 2.00 at 1e-4 to 2.04 a decade away: 1 % (2.02) lies half a decade away. Beyond the other end it is open."""
    best = optimum_of(at({1e-5: 2.01, 1e-4: 2.0, 1e-3: 2.04}))
    assert best.high == pytest.approx(10**-3.5)
    assert (best.low, best.open_low, best.open_high) == (1e-5, True, False)


def test_that_a_parabola_is_found_between_rates_and_not_at_one() -> None:
    def loss(log: float) -> float:
        return 2.0 * (1 + 0.1 * (log + 3.25) ** 2)

    grid = [-4.5, -4.0, -3.5, -3.0, -2.5, -2.0]
    best = optimum_of(at({10**x: loss(x) for x in grid}))
    assert best.gain == pytest.approx(1 - 2.0 / loss(-3.0), rel=1e-6)
    on_it = optimum_of(at({10**x: loss(x - 0.25) for x in grid}))
    assert on_it.gain == pytest.approx(0.0, abs=1e-12)


def test_that_a_seed_is_judged_at_the_rate_that_the_others_choose() -> None:
    validation = {1e-4: {0: 1.0, 1: 3.0, 2: 3.0}, 1e-3: {0: 2.0, 1: 2.0, 2: 2.0}}
    test = {1e-4: {0: 1.1, 1: 3.1, 2: 3.1}, 1e-3: {0: 2.1, 1: 2.1}}
    # without seed 0 the higher rate is better; without 1 (or 2) both are 2.0, and the lower comes first
    assert judged(validation, test) == {0: (1e-3, 2.1), 1: (1e-4, 3.1), 2: (1e-4, 3.1)}
    assert judged({1e-4: {0: 1.0}}, {1e-4: {0: 1.0}}) == {}


def test_that_one_rate_for_each_is_the_plain_paired_interval() -> None:
    rng = np.random.default_rng(3)
    a, b = ({1e-3: {s: float(v) for s, v in enumerate(rng.normal(2.0, 0.02, 5))}} for _ in range(2))
    found = against(Sweep(a, a), {"b": Sweep(b, b)})["b"]
    assert found.blocks == 5
    assert found.method == "log ratios within 5 blocks, 95 % paired t interval"
    assert found.interval is not None
    logs = np.log([b[1e-3][s] / a[1e-3][s] for s in range(5)])
    half = 2.7764 * logs.std(ddof=1) / math.sqrt(5)
    assert math.log(found.interval.low) == pytest.approx(logs.mean() - half, rel=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_that_identical_methods_with_shifted_optima_end_in_no_difference(seeds: int, shift: float) -> None:
    """5 % promised; 7.5 % is over two standard errors of 500 experiments more."""
    assert shown_between_equals(seeds=seeds, shift=shift, experiments=500, seed=5) <= 0.075


def test_that_a_real_difference_at_the_optima_shows() -> None:
    assert shown_between_equals(seeds=5, shift=0.5, experiments=200, seed=6, better=0.05) >= 0.95
