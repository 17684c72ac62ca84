"""Figures for people."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.units import (
    format_bytes,
    format_count,
    format_duration,
    format_estimate,
    format_range,
    format_ratio,
    format_value,
    scale,
    significant,
)


@pytest.mark.parametrize(
    ("value", "unit", "shown", "text"),
    [
        (1_063_004_406, "B", "", "1,014 MiB"),
        (1_063_004_406, "B", "GiB", "0.990 GiB"),
        (512, "B", "", "512 B"),
        (0, "B", "", "0 B"),
        (0.0417, "s", "", "41.7 ms"),
        (0.9999, "s", "", "1.00 s"),
        (0.0417, "s", "s", "0.0417 s"),
        (2131.4, "tokens/s", "", "2,131 tokens/s"),
        (0.985, "ratio", "%", "98.5 %"),
        (21.4, "ratio", "", "21.4"),
        (0.189, "J/token", "", "0.189 J/token"),
        (-0.5, "W", "W", "−0.500 W"),
        (3.2, "s/request", "", "3.20 s/request"),
    ],
)
def test_that_values_carry_practical_units(value: float, unit: str, shown: str, text: str) -> None:
    assert format_value(value, unit, shown) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9.999, "10.0"), (0.00012345, "0.000123"), (1e-5, "1.00e−05"), (2.5e9, "2.50e+09"), (123456, "123,456")],
)
def test_that_numbers_have_sensible_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_that_what_is_no_number_says_so() -> None:
    assert significant(math.nan) == "not a number"
    assert significant(math.inf) == "∞"


@given(st.floats(1e-4, 9e8), st.integers(2, 5))
def test_that_rounding_keeps_the_digits_it_promises(value: float, digits: int) -> None:
    read = float(significant(value, digits).replace(",", ""))
    assert read == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


@pytest.mark.parametrize(
    ("ratio", "low", "high", "text"),
    [
        (0.76, 0.74, 0.78, "0.76× [0.74, 0.78]"),
        (0.711, 0.7108, 0.7112, "0.711× [0.711, 0.711]"),
        (1.5, None, None, "1.50×"),
        (1.0019, None, None, "1.002×"),
        (1.0, None, None, "1.00×"),
        (123.4, 120.0, 126.0, "123.4× [120.0, 126.0]"),
    ],
)
def test_that_ratios_show_their_interval(ratio: float, low: float | None, high: float | None, text: str) -> None:
    assert format_ratio(ratio, low, high) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.01, "under 0.1 s"),
        (0.4, "0.4 s"),
        (9.96, "10 s"),
        (36.2, "36 s"),
        (59.7, "1 min"),
        (245, "4 min 5 s"),
        (1470, "24 min"),
        (3599, "1 h"),
        (5760, "1 h 36 min"),
        (3600 * 50, "2 days 2 h"),
        (math.nan, "unknown"),
        (-1, "unknown"),
    ],
)
def test_that_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_that_an_estimate_has_one_number_of_decimals() -> None:
    assert format_estimate(0.6249, 0.6248, 0.6251, "ratio") == "0.6249 [0.6248, 0.6251]"
    assert format_estimate(20.14, 19.5, 20.8, "tokens/s") == "20.1 [19.5, 20.8]"
    assert format_estimate(0.208, 0.198, 0.219, "s", "ms") == "208 [198, 219]"
    assert format_range(0.182, 0.197, "J/token") == "[0.182, 0.197]"


def test_counts_and_bytes() -> None:
    assert format_count(134_515_008) == "135 M"
    assert format_count(1_540_000_000) == "1.54 B"
    assert format_count(12_345) == "12,345"
    assert format_bytes(88.7 * 2**20) == "88.7 MiB"


def test_that_an_unknown_pair_of_units_is_refused() -> None:
    with pytest.raises(ValueError, match="no way from B to ms"):
        scale("B", "ms")


def test_that_a_count_is_written_out_without_a_unit() -> None:
    assert [format_value(value, "count") for value in (7.0, 2_442_240.0, 2.5)] == ["7", "2,442,240", "2.50"]
