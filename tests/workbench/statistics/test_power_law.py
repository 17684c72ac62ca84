"""Power laws and crossings of measured curves: worked examples, what they refuse, and whether their intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.statistics_curves import crossing_coverage, exponent_coverage, false_crossings
from workbench.statistics.crossing import Crossing, crossing
from workbench.statistics.power_law import PowerLaw, Refusal, fit

LENGTHS = (512, 1024, 2048, 4096)


def law(values: dict[float, list[float]], *, exact: bool = False) -> PowerLaw:
    found = fit({n: dict(enumerate(v)) for n, v in values.items()}, exact=exact)
    assert isinstance(found, PowerLaw)
    return found


def cross(first: dict[float, list[float]], second: dict[float, list[float]], *, exact: bool = False) -> Crossing:
    found = crossing(
        {n: dict(enumerate(v)) for n, v in first.items()},
        {n: dict(enumerate(v)) for n, v in second.items()},
        exact=exact,
    )
    assert isinstance(found, Crossing)
    return found


# --- power laws -----------------------------------------------------------------------------------


def test_that_counted_values_on_a_line_have_an_exponent_without_an_interval() -> None:
    found = law({n: [576.0 * n] for n in LENGTHS}, exact=True)
    assert found.exponent == pytest.approx(1)
    assert (found.interval, found.shape, found.departure) == (None, "straight", 0)
    assert found.value(300) == pytest.approx(576 * 300)


def test_the_worked_example_of_an_interval() -> None:
    """Three lengths an e-fold apart, logs 0 ± 1, 2 ± 1, 4 ± 1 of two trials each. Slope 2; weights −1/2, 0, 1/2; each
    mean has variance 2/2 = 1, so the slope's is 1/2 and its degrees of freedom (1/2)² / (2 · (1/4)²) = 2: t = 4.303."""
    found = law({math.e**k: [math.exp(2 * k - 1), math.exp(2 * k + 1)] for k in (1, 2, 3)})
    assert found.exponent == pytest.approx(2)
    assert found.interval.high - 2 == pytest.approx(4.3027 * math.sqrt(0.5), rel=1e-4)


def test_that_a_fixed_part_bends_the_line_and_its_steps_say_how() -> None:
    """10 MB and 1 kB a token: flat at first, in proportion at the end."""
    found = law({n: [1e7 + 1e3 * n] for n in (512, 4096, 32768, 262144)}, exact=True)
    assert found.shape == "bent"
    assert found.departure > 0.4
    exponents = [s.exponent for s in found.steps]
    assert exponents == sorted(exponents)
    assert exponents[0] < 0.2 < 0.8 < exponents[-1]


def test_that_scatter_is_not_called_a_bend() -> None:
    noisy = {1.0: [1.0, 3.0], 2.0: [3.0, 9.0], 4.0: [2.5, 7.0]}
    assert law(noisy).shape == "unclear"
    assert law({n: [v[0]] for n, v in noisy.items()}).shape == "unclear", "one trial each: their scatter is not known"
    assert law({n: [v[0]] for n, v in noisy.items()}, exact=True).shape == "bent"


def test_that_it_takes_three_lengths() -> None:
    for lengths in ((), (512,), (512, 1024)):
        assert isinstance(fit({n: {0: 1.0, 1: 2.0} for n in lengths}), Refusal)
    assert isinstance(fit({512: {0: 1.0}, 1024: {0: 2.0}, 2048: {0: 0.0}}), Refusal), "0 has no logarithm"


# --- crossings ------------------------------------------------------------------------------------


def test_that_counted_curves_cross_between_two_lengths() -> None:
    """1 MB at any length against 1 kB a token: at 1,000 tokens."""
    found = cross({n: [1e6] for n in LENGTHS}, {n: [1e3 * n] for n in LENGTHS}, exact=True)
    (place,) = found.places
    assert place.at == pytest.approx(1000)
    assert (place.interval.low, place.interval.high) == (pytest.approx(512), pytest.approx(1024))
    assert (place.then, found.lower) == ("first", "second")


def test_that_curves_equal_at_a_length_cross_there() -> None:
    found = cross({n: [1024e3] for n in LENGTHS}, {n: [1e3 * n] for n in LENGTHS}, exact=True)
    (place,) = found.places
    assert place.at == pytest.approx(1024)
    assert (place.interval.low, place.interval.high) == (pytest.approx(512), pytest.approx(2048))
    assert found.undecided == (1024,)


def test_that_curves_that_do_not_cross_say_so() -> None:
    lower = {n: [1.0 * n, 1.02 * n, 0.99 * n] for n in LENGTHS}
    found = cross(lower, {n: [2.0 * n, 2.01 * n, 2.0 * n] for n in LENGTHS})
    assert (found.places, found.lower, found.undecided) == ((), "first", ())
    assert (found.low, found.high) == (512, 4096)


def test_that_equal_noisy_curves_show_nothing() -> None:
    rng = np.random.default_rng(2)
    first, second = ({n: (n * np.exp(rng.normal(0, 0.05, 3))).tolist() for n in LENGTHS} for _ in range(2))
    found = cross(first, second)
    assert (found.places, found.lower, found.undecided) == ((), None, LENGTHS)


def test_that_a_change_of_the_mean_within_the_scatter_is_no_crossing() -> None:
    """Clearly lower at 512, higher by a hair at 4096."""
    first = {512: [1.0, 1.01, 0.99], 1024: [1.5, 1.52, 1.49], 4096: [4.0, 4.3, 3.9]}
    second = {512: [2.0, 2.02, 1.99], 1024: [2.1, 2.12, 2.09], 4096: [3.9, 4.0, 4.2]}
    found = cross(first, second)
    assert (found.places, found.lower, found.undecided) == ((), "first", (4096,))


def test_that_one_block_is_refused_unless_values_are_counted() -> None:
    once = {n: {0: float(n)} for n in LENGTHS}
    flat = {n: {0: 1000.0} for n in LENGTHS}
    assert isinstance(crossing(once, flat), Refusal)
    assert isinstance(crossing(once, flat, exact=True), Crossing)
    assert isinstance(crossing({512: {0: 1.0, 1: 1.0}}, {512: {0: 1.0, 1: 1.0}}), Refusal)


def test_that_only_blocks_and_lengths_of_both_count() -> None:
    first = {512: {0: 1.0, 1: 1.1, 7: 50.0}, 1024: {0: 4.0, 1: 4.1}, 9999: {0: 1.0}}
    second = {512: {0: 2.0, 1: 2.2, 8: 1.0}, 1024: {0: 2.0, 1: 2.05}}
    found = crossing(first, second)
    assert isinstance(found, Crossing)
    assert found.high == 1024
    assert len(found.places) == 1


# --- whether they keep their promises -------------------------------------------------------------


def test_that_the_intervals_hold() -> None:
    """A small run of `python -m benchmarks.statistics_curves`; 95 % promised."""
    assert exponent_coverage(400, blocks=3).value > 0.93
    assert crossing_coverage(400, blocks=3).value > 0.93
    assert false_crossings(400, blocks=3).value < 0.05
