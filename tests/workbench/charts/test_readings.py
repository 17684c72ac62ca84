"""Readings as a line: steps, gaps, and sensors that change their period."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.charts.readings import as_line, in_gap, rate_hz

NAN = float("nan")


def line(times: list[float], values: list[float], *, steps: bool, least_s: float = 0.0) -> list[tuple[float, float]]:
    x, y = as_line(
        np.array(times, float), np.array(values, float), np.array(times, float), steps=steps, least_s=least_s
    )
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def test_that_a_value_holds_until_the_next_reading() -> None:
    assert line([0, 1, 2], [1, 2, 5], steps=True) == [(0, 1), (1, 1), (1, 2), (2, 2), (2, 5)]


def test_that_a_value_is_not_drawn_for_longer_than_two_seconds_after_it_was_read() -> None:
    """Process memory every 4 s: flat for 4 s would say that it was measured all the while."""
    drawn = line([0, 4, 8], [1, 2, 5], steps=True)
    assert [p for p in drawn if not np.isnan(p[1])] == [(0, 1), (2, 1), (4, 2), (6, 2), (8, 5)]
    assert [p[0] for p in drawn if np.isnan(p[1])] == [2, 6]
    times = np.array([0.0, 4.0, 8.0])
    assert [in_gap(times, t) for t in (0.0, 2.0, 2.1, 3.9, 4.0, 6.1)] == [0, 0, 1, 1, 0, 1]
    assert line([0, 2, 4], [1, 2, 5], steps=True) == [(0, 1), (2, 1), (2, 2), (4, 2), (4, 5)]


def test_that_the_rate_of_readings_is_the_one_at_which_they_come_now() -> None:
    assert rate_hz(np.array([])) is rate_hz(np.array([1.0])) is rate_hz(np.array([1.0, 1.0])) is None
    assert rate_hz(np.array([0.0, 0.1])) == pytest.approx(10.0)
    slowed = np.concatenate((np.arange(0, 20, 1.0), np.arange(20, 80, 4.0)))
    assert rate_hz(slowed) == pytest.approx(0.25)


def test_that_regular_readings_are_joined_as_they_are() -> None:
    assert line([0, 1, 2, 3], [1, 2, 5, 4], steps=False) == [(0, 1), (1, 2), (2, 5), (3, 4)]


@pytest.mark.parametrize("steps", [False, True])
def test_that_nothing_is_drawn_across_a_stretch_in_which_nothing_was_read(steps: bool) -> None:
    times = [*range(8), *range(30, 38)]
    found = line([float(t) for t in times], [5.0] * 16, steps=steps)
    at = next(i for i, (_, y) in enumerate(found) if np.isnan(y))
    assert found[at - 1] == (8, 5)  # the last reading holds for one period
    assert found[at][0] == 8
    assert found[at + 1] == (30, 5)
    assert sum(np.isnan(y) for _, y in found) == 1


def test_that_a_gap_is_one_also_when_only_its_edges_are_in_view() -> None:
    times = np.array([*range(8), *range(30, 38)], dtype=float)
    view = slice(7, 9)
    x, y = as_line(times[view], np.ones(2), times, steps=False)
    assert np.isnan(y).sum() == 1
    assert list(x) == [7, 8, 8, 30]


def test_that_a_sensor_that_slows_down_has_no_gap() -> None:
    times = [*(i / 10 for i in range(20)), *(2.0 + 1.5 * i for i in range(20))]
    assert not any(np.isnan(y) for _, y in line(times, [1.0] * 40, steps=True))


def test_that_pixel_columns_apart_are_no_gap_of_a_reduced_series() -> None:
    times = np.arange(0, 1000, 0.1)
    drawn = np.array([0.0, 2.0, 3.9, 4.1, 6.0, 7.9])
    _, y = as_line(drawn, np.ones(6), times, steps=False, least_s=3.0)
    assert not np.isnan(y).any()


def test_that_a_failed_reading_stays_one() -> None:
    assert np.isnan(line([0, 1, 2], [1, NAN, 3], steps=True)[3][1])


def test_that_a_time_at_which_nothing_was_read_is_told() -> None:
    times = np.array([*range(8), *range(30, 38)], dtype=float)
    assert [in_gap(times, t) for t in (-1.0, 3.5, 7.9, 8.5, 29.9, 30.0, 99.0)] == [0, 0, 0, 1, 1, 0, 0]
    assert not in_gap(np.empty(0), 1.0)
    assert not in_gap(np.array([1.0]), 1.5)


def test_that_one_reading_and_none_are_what_they_are() -> None:
    assert line([], [], steps=True) == []
    assert line([3], [1], steps=True) == [(3, 1)]


@given(st.lists(st.floats(0, 1e6), min_size=0, max_size=60, unique=True), st.booleans())
def test_that_every_reading_is_drawn_and_time_never_runs_back(times: list[float], steps: bool) -> None:
    x = np.array(sorted(times))
    y = np.arange(len(x), dtype=float)
    line_x, line_y = as_line(x, y, x, steps=steps)
    assert (np.diff(line_x) >= 0).all()
    assert set(zip(x, y, strict=True)) <= set(zip(line_x, line_y, strict=True))
