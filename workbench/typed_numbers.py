"""Numbers as people type them and as files of other programs hold them. Pure.

A point is decimal. A comma is decimal where nothing else is possible ("0,30", "998,5", "1.002,5") and groups thousands
where nothing else is ("1,234,567", "1,002.5"). "1,979" may be either: it is never guessed.
"""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"([-+]?)(\d[\d.,]*|[.,]\d+)([eE][-+]?\d+)?", re.ASCII)
_GROUPS = re.compile(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*")
_SPACES = re.compile(r"(?<=\d)[\u2009\u202f\u00a0_](?=\d{3}(?!\d))")


class NotANumber(ValueError):
    """A text that is no number; `readings` has two spellings where it could be either of two."""

    def __init__(self, text: str, readings: tuple[str, ...] = ()) -> None:
        way = f"write {' or '.join(readings)}" if readings else "a number is needed"
        super().__init__(f"“{text}”: {way}.")
        self.readings = readings


def parse_number(text: str, decimal: str = "") -> float:
    """The finite number that a text is. `decimal` is the decimal sign ("." or ",") where it is known. Raises
    `NotANumber`."""
    plain = without_spaces(text)
    found = _NUMBER.fullmatch(plain)
    if found is None:
        raise NotANumber(text.strip())
    sign, digits, exponent = found[1], found[2], found[3] or ""
    mark = decimal or decimal_sign(digits)
    if mark == "?":
        whole, fraction = digits.split(",")
        raise NotANumber(text.strip(), (f"{sign}{whole}{fraction}{exponent}", f"{sign}{whole}.{fraction}{exponent}"))
    other = "," if mark == "." else "."
    whole, point, fraction = digits.partition(mark)
    if other in whole and ((groups := _GROUPS.fullmatch(whole)) is None or groups[1] != other):
        raise NotANumber(text.strip())
    try:
        value = float(f"{sign}{whole.replace(other, '')}{'.' if point else ''}{fraction}{exponent}")
    except ValueError:  # a mark too many
        raise NotANumber(text.strip()) from None
    if not math.isfinite(value):
        raise NotANumber(text.strip())
    return value


def without_spaces(text: str) -> str:
    """A typed number without what only groups its digits (thin spaces, underscores), its minus as programs write it."""
    return _SPACES.sub("", text.strip().replace("\u2212", "-"))


def decimal_sign(digits: str) -> str:
    """Which of "." and "," is decimal in a number: "?" where a comma may be either, "." where there is neither."""
    commas, points = digits.count(","), digits.count(".")
    if commas and points:
        return max(",.", key=digits.rfind)
    if commas == 1:
        return "?" if _GROUPS.fullmatch(digits.lstrip("+-")) else ","
    return "," if points > 1 else "."
