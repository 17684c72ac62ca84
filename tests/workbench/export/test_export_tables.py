"""Exported tables, read back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.workbench.synthetic import NO_POWER
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.cli.tables import print_comparison
from workbench.comparison.comparison import compare
from workbench.comparison.results import Comparison
from workbench.export import tables
from workbench.export.bundle import FORMATS, export_comparison, file_name, trade_off

DECODE = "decode_tokens_per_second"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(experiment_detail())


def read_csv(text: str) -> tuple[list[str], list[dict[str, str]]]:
    lines = text.splitlines()
    comments = [line for line in lines if line.startswith("# ")]
    return comments, list(csv.DictReader(io.StringIO("\n".join(lines[len(comments) :]))))


def test_that_the_csv_holds_full_precision_and_units(comparison: Comparison) -> None:
    comments, rows = read_csv(tables.comparison_csv(comparison))
    assert any("18 trials of configurations" in c for c in comments)
    for row in comparison.rows:
        for metric, cell in row.cells.items():
            found = next(r for r in rows if r["configuration"] == row.configuration and r["metric"] == metric)
            assert found["unit"] == cell.unit
            assert found["value"] == ("" if cell.value is None else repr(cell.value))
            if cell.interval is not None:
                assert float(found["low"]) == cell.interval.low
            assert found["verdict"] == cell.word
            assert found["label_precision"] == row.labels["precision"]


def test_that_what_is_not_available_is_blank_with_a_reason(comparison: Comparison) -> None:
    _, rows = read_csv(tables.comparison_csv(comparison))
    found = [r for r in rows if r["metric"] == "energy_per_token_joules"]
    assert len(found) == 4
    assert {(r["value"], r["reason"], r["unit"]) for r in found} == {("", NO_POWER, "J/token")}


def test_that_json_survives_a_round_trip_with_every_trial(comparison: Comparison) -> None:
    read = json.loads(json.dumps(tables.comparison_json(comparison)))
    assert read["baseline"] == "c-float32"
    int8 = next(c for c in read["configurations"] if c["labels"]["precision"] == "int8")
    assert int8["metrics"][DECODE]["n"] == len(int8["metrics"][DECODE]["trial_values"]) == 4
    assert int8["troubles"] == ["1 invalid: clock jump"]


def test_that_the_table_for_people_shows_ratio_interval_and_word(comparison: Comparison) -> None:
    header, rows = tables.comparison_table(comparison)
    assert header[:3] == ("precision", "trials", "Decode throughput\ntokens/s")
    assert rows[0][2].splitlines()[1] == "baseline"
    assert rows[1][2].splitlines() == ["26.6 [25.5, 27.8]", "faster 1.32× [1.22, 1.43]"]
    assert rows[3][1] == "4 of 5\n1 failed: out of memory"
    chosen, _ = tables.comparison_table(comparison, ("perplexity", "energy_per_token_joules"))
    assert chosen == ("precision", "trials", "Perplexity")


def test_that_the_terminal_says_each_note_once_in_the_words_of_the_window(
    comparison: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(comparison)
    lines = capsys.readouterr().out.splitlines()
    (same,) = (line for line in lines if line.startswith("The same for all: "))
    assert all(value in same for value in comparison.constant.values())
    (power,) = (line for line in lines if NO_POWER in line)
    assert "Power, mean" in power
    assert "_watts" not in power
    assert set(comparison.footnotes) <= set(lines)


def test_that_a_cell_without_value_is_a_dash() -> None:
    _, rows = tables.comparison_table(compare(experiment_detail(1, fail=True)))
    missing = [row for row in rows if row[0] == "float16"] or [()]
    assert set(missing[0][2:]) == {"–"}


def test_that_markdown_has_equal_columns_and_no_live_markup(comparison: Comparison) -> None:
    text = tables.comparison_markdown(comparison)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(comparison.rows)
    assert len({line.count("|") for line in table}) == 1
    assert "Q4\\_1" in text
    assert "18 trials" in text


def test_that_latex_escapes_its_specials_and_uses_booktabs() -> None:
    detail = experiment_detail(1)
    odd = msgspec.structs.replace(detail.experiment, name="50 % of a_b & {c} #1 ~ ^ \\ $")
    text = tables.comparison_latex(compare(msgspec.structs.replace(detail, experiment=odd)))
    assert r"50 \% of a\_b \& \{c\} \#1 \textasciitilde{} \textasciicircum{} \textbackslash{} \$" in text
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    columns = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert {line.count(" & ") for line in body} == {len(columns) - 1}
    assert all(ord(c) < 128 for line in body for c in line)


def test_that_parquet_holds_the_same_rows(comparison: Comparison, tmp_path: Path) -> None:
    table = pq.read_table(tables.write_parquet(comparison, tmp_path / "a.parquet"))
    assert table.to_pylist() == tables.long_rows(comparison)
    assert b"e-fake" in table.schema.metadata[b"source"]


def test_that_a_bundle_writes_every_format_and_only_what_can_be_drawn(comparison: Comparison, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    paths = export_comparison(comparison, folder, formats=FORMATS, metrics=(DECODE, "energy_joules"))
    assert [p.name for p in paths] == [
        "precision-of-smollm2.csv",
        "precision-of-smollm2.md",
        "precision-of-smollm2.tex",
        "precision-of-smollm2.json",
        "precision-of-smollm2.parquet",
        "precision-of-smollm2-decode-throughput.png",
        "precision-of-smollm2-decode-throughput.svg",
        "precision-of-smollm2-decode-throughput.pdf",
    ]
    assert all(p.stat().st_size > 200 for p in paths)


def test_that_without_a_choice_the_primary_metrics_and_a_trade_off_are_drawn(
    comparison: Comparison, tmp_path: Path
) -> None:
    paths = export_comparison(comparison, tmp_path, formats=("svg",))
    assert [p.stem.removeprefix("precision-of-smollm2-") for p in paths] == [
        "decode-throughput",
        "time-to-first-token",
        "memory-mean",
        "perplexity",
        "trade-off",
    ]
    assert trade_off(comparison) == (DECODE, "perplexity")


def test_that_an_unknown_format_is_refused_before_anything_is_written(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no format gif"):
        export_comparison(comparison, tmp_path / "x", formats=("csv", "gif"))
    assert not (tmp_path / "x").exists()


def test_that_file_names_are_plain() -> None:
    assert file_name("Precision of SmolLM2: a/b\\c?") == "precision-of-smollm2-a-b-c"
    assert file_name("…") == "comparison"
