"""Cells that a spreadsheet opens as text: names in a table come from files and other machines, and what looks like a
formula must not become one. Pure. JSON and Parquet keep every text exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPACES = str.maketrans("\t\r\n", "   ")


def safe(value: object) -> object:
    """The value; a text that would be a formula comes behind an apostrophe, which makes it text. Numbers stay."""
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def tab_separated(rows: Iterable[Sequence[str]]) -> str:
    """Lines for a clipboard; what would end a cell becomes a space."""
    cells = ((str(safe(cell.translate(_SPACES))) for cell in row) for row in rows)
    return "".join("\t".join(row) + "\n" for row in cells)
