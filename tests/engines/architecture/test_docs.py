"""The documentation names every architecture and every setting of its own."""

from __future__ import annotations

import pytest

from engines.techniques import Technique, techniques
from tests.house import ROOT

ALL = tuple(t for axis in ("attention", "positions", "feedforward") for t in techniques(axis))


def part() -> str:
    text = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")
    return text[text.index("## Architectures") :]


@pytest.mark.parametrize("technique", ALL, ids=lambda t: t.id)
def test_that_a_row_names_it_with_its_settings(technique: Technique) -> None:
    rows = [row for row in part().splitlines() if row.startswith(f"| `{technique.axis}.")]
    row = next(row for row in rows if f"`{technique.id}`" in row or f"`{technique.short}`" in row.split("|")[1])
    assert all(f"`{setting.name}`" in row for setting in technique.parameters)


@pytest.mark.parametrize("technique", ALL, ids=lambda t: t.id)
def test_that_an_entry_says_where_it_comes_from(technique: Technique) -> None:
    assert "https://" in technique.source
    assert technique.sentence.endswith(".")
    assert all(s.help and s.default is not None and s.minimum is not None for s in technique.parameters)
