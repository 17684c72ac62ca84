"""The decimation of curves against a plain loop over the same samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.charts.decimation import Pyramid, Reduced

numbers = st.one_of(st.floats(-100, 100), st.integers(-3, 3).map(float), st.just(math.nan))
samples = st.lists(st.tuples(st.floats(0, 5).map(lambda x: round(x, 2)), numbers), min_size=0, max_size=400)


def series(steps: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    times = np.cumsum(np.array([step for step, _ in steps], dtype=float))
    return times, np.array([value for _, value in steps], dtype=float)


def built(times: np.ndarray, values: np.ndarray, cuts: list[int]) -> Pyramid:
    """A pyramid fed in pieces, each time with arrays that were allocated anew, as a growing channel does."""
    pyramid = Pyramid()
    for cut in [*sorted(min(c, len(times)) for c in cuts), len(times)]:
        pyramid.sync(times[:cut].copy(), values[:cut].copy())
    return pyramid


def brute(times: np.ndarray, values: np.ndarray, start: float, end: float, columns: int) -> list[int]:
    """Places that should be drawn, found by a loop."""
    inside = [i for i, t in enumerate(times) if start <= t <= end]
    first = int(np.searchsorted(times, start, side="left"))
    last = int(np.searchsorted(times, end, side="right"))
    outside_left, outside_right = [first - 1] if first else [], [last] if last < len(times) else []
    if len(inside) <= 2 * columns:
        return outside_left + inside + outside_right
    width = (end - start) / columns
    edges = (np.floor(start / width) + np.arange(1, columns + 1)) * width
    drawn: list[int] = []
    for column in range(columns + 1):
        low = edges[column - 1] if column else -math.inf
        high = edges[column] if column < columns else math.inf
        members = [i for i in inside if low <= times[i] < high]
        finite = [i for i in members if not math.isnan(values[i])] or members[:1]
        if finite:
            drawn += sorted({min(finite, key=lambda i: (values[i], i)), min(finite, key=lambda i: (-values[i], i))})
    return outside_left + drawn + outside_right


@settings(max_examples=100, deadline=None)
@given(samples, st.lists(st.integers(0, 400), max_size=6), st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_that_the_pyramid_draws_the_same_samples_as_a_plain_loop(
    steps: list[tuple[float, float]], cuts: list[int], columns: int, a: float, b: float
) -> None:
    times, values = series(steps)
    span = float(times[-1]) if len(times) else 1.0
    start, end = min(a, b) * span, max(a, b) * span
    if end - start < 1e-6:
        end = start + 1.0
    drawn = built(times, values, cuts).reduce(start, end, columns)
    expected = brute(times, values, start, end, columns)
    np.testing.assert_array_equal(drawn.x, times[expected])
    np.testing.assert_array_equal(drawn.y, values[expected])


@settings(max_examples=50, deadline=None)
@given(samples, st.lists(st.integers(0, 400), max_size=6), st.integers(1, 20))
def test_that_extremes_and_order_survive_and_no_pixel_gets_more_than_two_points(
    steps: list[tuple[float, float]], cuts: list[int], columns: int
) -> None:
    times, values = series(steps)
    span = max(float(times[-1]), 1.0) if len(times) else 1.0
    drawn = built(times, values, cuts).reduce(0.0, span, columns)
    assert len(drawn.x) <= 2 * (columns + 1)
    assert np.all(np.diff(drawn.x) >= 0)
    assert np.isnan(drawn.y).all() == np.isnan(values).all()
    if not np.isnan(values).all():
        assert np.nanmin(drawn.y) == np.nanmin(values)
        assert np.nanmax(drawn.y) == np.nanmax(values)


@settings(max_examples=50, deadline=None)
@given(samples, st.lists(st.integers(0, 400), min_size=2, max_size=8), st.integers(1, 20))
def test_that_asking_the_same_range_of_a_growing_series_again_draws_what_a_fresh_pyramid_draws(
    steps: list[tuple[float, float]], cuts: list[int], columns: int
) -> None:
    times, values = series(steps)
    span = max(float(times[-1]), 1.0) if len(times) else 1.0
    growing = Pyramid()
    for cut in sorted(cuts):
        growing.sync(times[:cut].copy(), values[:cut].copy())
        again, fresh = growing.reduce(0, span, columns), built(times[:cut], values[:cut], []).reduce(0, span, columns)
        np.testing.assert_array_equal(again.x, fresh.x)
        np.testing.assert_array_equal(again.y, fresh.y)


def test_that_long_columns_are_found_by_the_tree_as_by_a_loop() -> None:
    rng = np.random.default_rng(5)
    times, values = np.arange(36_000.0), rng.normal(size=36_000)
    drawn = built(times, values, [7_000, 7_001, 15_003]).reduce(100, 35_000, 12)
    expected = brute(times, values, 100, 35_000, 12)
    np.testing.assert_array_equal(drawn.x, times[expected])


def test_that_a_gap_wider_than_a_pixel_stays_a_gap() -> None:
    values = np.sin(np.arange(10_000) / 50)
    values[4_000:6_000] = np.nan
    drawn = built(np.arange(10_000.0), values, []).reduce(0, 9_999, 100)
    gap = (drawn.x > 4_150) & (drawn.x < 5_850)
    assert np.isnan(drawn.y[gap]).all()
    assert np.isfinite(drawn.y[~gap]).sum() > 150


def test_that_a_burst_of_samples_does_not_thin_out_the_quiet_part() -> None:
    times = np.concatenate((np.arange(90.0), 90 + np.arange(100_000) / 10_000))
    drawn = built(times, np.arange(len(times), dtype=float), []).reduce(0, 100, 200)
    assert np.count_nonzero(drawn.x < 90) == 90
    assert drawn.decimated


def test_that_few_samples_are_drawn_as_they_are() -> None:
    drawn = built(np.arange(50.0), np.arange(50.0), []).reduce(10, 20, 400)
    assert not drawn.decimated
    assert drawn.x.tolist() == [float(t) for t in range(9, 22)]
    assert drawn.samples == 11


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_that_tiny_series_are_no_special_case(count: int) -> None:
    drawn = built(np.arange(float(count)), np.ones(count), []).reduce(0, 10, 1)
    assert isinstance(drawn, Reduced)
    assert drawn.samples == count


def test_that_a_replaced_shorter_series_starts_the_pyramid_anew() -> None:
    pyramid = built(np.arange(1_000.0), np.full(1_000, 9.0), [])
    pyramid.sync(np.arange(100.0), np.full(100, 1.0))
    assert pyramid.reduce(0, 100, 10).y.max() == 1.0
