"""Numbers as people type them: read in one way, or asked about."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cli.main import build_parser
from workbench.typed_numbers import NotANumber, parse_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("-12", -12.0),
        ("\u221212", -12.0),
        (" 1.979 ", 1.979),
        ("0,30", 0.3),
        ("998,5", 998.5),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("1,2345", 1.2345),
        (",5", 0.5),
        ("1,002.5", 1002.5),
        ("1.002,5", 1002.5),
        ("1,234,567", 1_234_567.0),
        ("1.234.567", 1_234_567.0),
        ("1.234.567,8", 1_234_567.8),
        ("9.89e14", 9.89e14),
        ("1,5e3", 1500.0),
        ("1_979", 1979.0),
        ("1\u202f979,5", 1979.5),
    ],
)
def test_that_what_can_be_read_in_one_way_is(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("1,979", ("1979", "1.979")),
        ("12,000", ("12000", "12.000")),
        ("-999,999", ("-999999", "-999.999")),
        ("1,979e12", ("1979e12", "1.979e12")),
    ],
)
def test_that_a_comma_before_three_digits_is_never_guessed(text: str, readings: tuple[str, str]) -> None:
    with pytest.raises(NotANumber) as caught:
        parse_number(text)
    assert caught.value.readings == readings
    assert str(caught.value) == f"“{text}”: write {readings[0]} or {readings[1]}."
    assert [parse_number(reading) for reading in readings] == [parse_number(text, "."), parse_number(text, ",")]


@pytest.mark.parametrize(
    "text", ["", "-", ",", "lots", "nan", "inf", "1e999", "1,2,3", "1,23,456", "1.2.3", "1 979", "0x1f"]
)
def test_that_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(NotANumber, match="a number is needed") as caught:
        parse_number(text)
    assert not caught.value.readings


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_that_every_float_comes_back(value: float) -> None:
    assert parse_number(repr(value)) == value
    assert parse_number(repr(value), ".") == value


@given(value=st.integers(0, 10**12), decimals=st.integers(1, 6))
def test_that_a_figure_that_the_application_shows_is_never_another(value: int, decimals: int) -> None:
    whole, shown = f"{value:,}", f"{value:,.{decimals}f}"
    assert parse_number(shown) == value
    if whole.count(",") == 1:
        with pytest.raises(NotANumber) as caught:
            parse_number(whole)
        assert caught.value.readings[0] == str(value)
    else:
        assert parse_number(whole) == value


def test_that_the_command_line_refuses_what_it_would_have_to_guess(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser()
    assert parser.parse_args(["compare", "--margin", "0,05"]).margin == 0.05
    with pytest.raises(SystemExit):
        parser.parse_args(["compare", "--margin", "1,979"])
    assert "write 1979 or 1.979" in capsys.readouterr().err
