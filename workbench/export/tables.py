"""A comparison as text: a table for people (Markdown, LaTeX, terminal) and one for programs (CSV, JSON, Parquet).

Tables for people carry practical units and sensible digits; tables for programs carry base units, full precision and
one row per configuration and metric. Each has its provenance. Pure but for `parquet`, which writes a file.

Not `tabulate`: its LaTeX has one line of header and escapes ASCII only, its Markdown escapes nothing. What is left for
it is a join of cells.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.comparison.results import Cell, Comparison, Row
from workbench.export.lengths import lengths_json
from workbench.export.provenance import Provenance, of_comparison
from workbench.export.spreadsheet import safe
from workbench.export.training import training_json
from workbench.metrics.registry import find, title_of
from workbench.statistics.outliers import MARK
from workbench.units import format_estimate, format_ratio, practical_unit, show

Strings = tuple[str, ...]

MISSING = "–"

COLUMNS = (
    "experiment",
    "configuration",
    "title",
    "metric",
    "unit",
    "value",
    "low",
    "high",
    "trials",
    "ratio",
    "ratio_low",
    "ratio_high",
    "blocks",
    "verdict",
    "baseline",
    "outlying",
    "method",
    "reason",
)
"""Columns of the long table, before those of the labels. `outlying` has the ids of trials that lie apart, with spaces
between. `value`, `low`, `high` are in `unit`; `ratio` is to the
baseline; `low` .. `high` and `ratio_low` .. `ratio_high` are 95 % intervals."""


def default_metrics(comparison: Comparison) -> Strings:
    """The primary metrics that have values, or all where none of them has."""
    primary = tuple(m for m in comparison.metrics if (known := find(m)) is not None and known.primary)
    return primary or comparison.metrics


def comparison_table(comparison: Comparison, metrics: Sequence[str] = ()) -> tuple[Strings, tuple[Strings, ...]]:
    """Header and rows for people. A cell has two lines: value with its interval, then ratio, interval and verdict.

    `metrics` picks the columns (default: the primary ones); those without any value are left out.
    """
    chosen = [m for m in (metrics or default_metrics(comparison)) if m in comparison.metrics]
    units = {m: column_unit(comparison, m) for m in chosen}
    labels = comparison.varying or ("configuration",)
    header = (*labels, "trials", *(_heading(m, units[m]) for m in chosen))
    rows = tuple(
        (
            *(row.labels.get(n, "") if comparison.varying else row.title for n in labels),
            _trials(row),
            *("\n".join(cell_lines(row.cells.get(m), units[m])) for m in chosen),
        )
        for row in comparison.rows
    )
    return header, rows


def column_unit(comparison: Comparison, metric: str) -> str:
    """One unit for a whole column: the metric's own practical one, or what suits its largest value."""
    known = find(metric)
    cells = [row.cells[metric] for row in comparison.rows if metric in row.cells]
    unit = next((c.unit for c in cells if c.unit), "")
    if known is not None and known.shown_unit and known.unit == unit:
        return known.shown_unit
    return practical_unit(max((abs(c.value) for c in cells if c.value is not None), default=0.0), unit)


def cell_lines(cell: Cell | None, unit: str) -> Strings:
    """ "24.1 [23.5, 24.7]" and "faster 1.19× [1.15, 1.23]"; a dash with the reason in brackets is for others to add."""
    if cell is None or cell.value is None:
        return ((cell.mark if cell is not None else "") or MISSING,)
    if cell.interval is not None:
        text = format_estimate(cell.value, cell.interval.low, cell.interval.high, cell.unit, unit)
    else:
        # four digits without an interval: deterministic figures differ in the fourth
        text = show(cell.value, cell.unit, unit, 4).text
    text = with_mark(with_error(text, cell, unit), cell)
    if cell.word == "baseline":
        return text, ", ".join(part for part in (cell.word, cell.mark) if part)
    if cell.mark:  # its ratio says nothing
        return text, cell.mark
    if cell.ratio is None:
        return (text,)
    ends = (cell.ratio_interval.low, cell.ratio_interval.high) if cell.ratio_interval is not None else ()
    return text, f"{cell.word} {format_ratio(cell.ratio, *ends)}".strip()


def with_error(text: str, cell: Cell, unit: str) -> str:
    """ "35.0 ± 7.6" where the figure has an error of its own."""
    return text if cell.error is None else f"{text} ± {show(cell.error, cell.unit, unit, 2).text}"


def with_mark(text: str, cell: Cell) -> str:
    """ "24.1 †" where a trial of the figure is outlying; the note under the table says which."""
    return f"{text} {MARK}" if cell.outliers else text


def _heading(metric: str, unit: str) -> str:
    title = title_of(metric)
    return f"{title}\n{unit}" if unit not in ("", "ratio") else title


def _trials(row: Row) -> str:
    count = str(row.trials) if row.counted == row.trials else f"{row.counted} of {row.trials}"
    return "\n".join((count, *map(str, row.failed)))


# --- for programs ---------------------------------------------------------------------------------


def long_rows(comparison: Comparison, metrics: Sequence[str] = ()) -> list[dict[str, object]]:
    """One row per configuration and metric, full precision, base units; None where there is no value."""
    rows: list[dict[str, object]] = []
    for row in comparison.rows:
        for metric in metrics or (*comparison.metrics, *comparison.unavailable):
            cell = row.cells.get(metric) or Cell(metric, None, reason=comparison.unavailable.get(metric, ""))
            known = find(metric)
            rows.append(
                {
                    "experiment": comparison.experiment,
                    "configuration": row.configuration,
                    "title": row.title,
                    "metric": metric,
                    "unit": cell.unit or (known.unit if known is not None else ""),
                    "value": cell.value,
                    "low": cell.interval.low if cell.interval else None,
                    "high": cell.interval.high if cell.interval else None,
                    "trials": cell.n,
                    "ratio": cell.ratio,
                    "ratio_low": cell.ratio_interval.low if cell.ratio_interval else None,
                    "ratio_high": cell.ratio_interval.high if cell.ratio_interval else None,
                    "blocks": cell.blocks,
                    "verdict": cell.word,
                    "baseline": row.is_baseline,
                    "outlying": " ".join(outlier.trial for outlier in cell.outliers),
                    "method": cell.method,
                    "reason": cell.reason,
                    **{f"label_{name.replace(' ', '_')}": value for name, value in row.labels.items()},
                }
            )
    return rows


def comparison_csv(comparison: Comparison, metrics: Sequence[str] = (), origin: Provenance | None = None) -> str:
    """The long table with comment lines ("# ...") of provenance and cautions before the header."""
    origin = origin or of_comparison(comparison)
    rows = long_rows(comparison, metrics)
    names = list(COLUMNS)
    for row in rows:
        names += [n for n in row if n not in names]
    out = io.StringIO()
    for line in (*origin.lines(), *comparison.footnotes):
        out.write(f"# {' '.join(line.split())}\n")
    writer = csv.DictWriter(out, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({name: "" if value is None else safe(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def comparison_json(comparison: Comparison, origin: Provenance | None = None) -> dict[str, object]:
    """Everything in the comparison as plain JSON values, trial values included."""
    origin = origin or of_comparison(comparison)
    return {
        "experiment": comparison.experiment,
        "name": comparison.name,
        "baseline": comparison.baseline,
        "confidence": comparison.confidence,
        "varying": list(comparison.varying),
        "constant": comparison.constant,
        "unavailable": comparison.unavailable,
        "training": training_json(comparison.training) if comparison.training is not None else None,
        "lengths": lengths_json(comparison),
        "footnotes": list(comparison.footnotes),
        "provenance": {"text": origin.text, "exported": origin.made},
        "configurations": [
            {
                "configuration": row.configuration,
                "title": row.title,
                "model": row.model,
                "labels": row.labels,
                "baseline": row.is_baseline,
                "trials": row.trials,
                "counted": row.counted,
                "troubles": list(map(str, row.failed)),
                "metrics": {m: _cell_json(cell) for m, cell in row.cells.items()},
            }
            for row in comparison.rows
        ],
    }


def _cell_json(cell: Cell) -> dict[str, object]:
    ends = cell.ratio_interval
    return {
        "value": cell.value,
        "unit": cell.unit,
        "interval": [cell.interval.low, cell.interval.high] if cell.interval else None,
        "n": cell.n,
        "trial_values": dict(cell.trial_values),
        "excluded": list(cell.excluded),
        "outliers": [{"trial": o.trial, "ratio": o.ratio, "share_of_width": o.share} for o in cell.outliers],
        "ratio": cell.ratio,
        "ratio_interval": [ends.low, ends.high] if ends else None,
        "blocks": cell.blocks,
        "verdict": cell.word,
        "good": cell.good,
        "error": cell.error,
        "mark": cell.mark,
        "scope": cell.scope,
        "method": cell.method,
        "reason": cell.reason,
    }


def write_parquet(comparison: Comparison, path: Path, metrics: Sequence[str] = ()) -> Path:
    """The long table as Parquet, provenance in the file's key-value metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    origin = of_comparison(comparison)
    table = pa.Table.from_pylist(long_rows(comparison, metrics))
    said = {"title": origin.title, "source": origin.text, "exported": origin.made}
    with path.open("wb") as file:  # pyarrow takes no name that is not UTF-8
        pq.write_table(table.replace_schema_metadata(said), file)
    return path


# --- for people -----------------------------------------------------------------------------------


def comparison_markdown(comparison: Comparison, metrics: Sequence[str] = (), origin: Provenance | None = None) -> str:
    origin = origin or of_comparison(comparison)
    header, rows = comparison_table(comparison, metrics)
    text = len(comparison.varying or ("configuration",))
    rule = ["---" if i < text else "--:" for i in range(len(header))]
    lines = [
        f"## {_markdown(origin.title)}",
        "",
        *(f"| {' | '.join(cells)} |" for cells in ([_markdown(h) for h in header], rule)),
        *(f"| {' | '.join(_markdown(c) for c in row)} |" for row in rows),
        "",
        *(f"- {_markdown(note)}" for note in _notes(comparison)),
        "",
        f"{_markdown(origin.text)} · exported {origin.made}",
        "",
    ]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    for special in "\\|*_<>`":
        text = text.replace(special, f"\\{special}")
    return text.replace("](", "]\\(").replace("\n", "<br>")  # a link; brackets alone are intervals


def comparison_latex(comparison: Comparison, metrics: Sequence[str] = (), origin: Provenance | None = None) -> str:
    r"""A `table` with booktabs rules: needs \usepackage{booktabs}."""
    origin = origin or of_comparison(comparison)
    header, rows = comparison_table(comparison, metrics)
    text = len(comparison.varying or ("configuration",))
    lines = [
        *(f"% {' '.join(line.split())}" for line in origin.lines()),
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_latex(' '.join((origin.title + '.', *_notes(comparison))))}}}",
        rf"  \begin{{tabular}}{{{'l' * text}{'r' * (len(header) - text)}}}",
        r"    \toprule",
        *_latex_rows(header),
        r"    \midrule",
        *(line for row in rows for line in _latex_rows(row)),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
        "",
    ]
    return "\n".join(lines)


def _latex_rows(cells: Sequence[str]) -> list[str]:
    """A row whose cells have several lines becomes as many rows."""
    split = [cell.split("\n") for cell in cells]
    depth = max(len(lines) for lines in split)
    rows = (" & ".join(_latex(lines[i]) if i < len(lines) else "" for lines in split) for i in range(depth))
    # "[" or "*" after the end of a row would be an argument of it
    return [f"    {'{}' if row.startswith(('[', '*')) else ''}{row} \\\\" for row in rows]


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "†": r"\textdagger{}",
    "±": r"$\pm$",
    "µ": r"\textmu{}",
    "−": r"$-$",
    "–": "--",
    "·": r"\textperiodcentered{}",
    "Σ": r"$\Sigma$",
    "∞": r"$\infty$",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)


def same_for_all(comparison: Comparison) -> list[str]:
    """What no configuration differs in, as a note; none where there is nothing."""
    same = ", ".join(f"{name} {value}" for name, value in comparison.constant.items() if value)
    return [f"The same for all: {same}."] if same else []


def absences(unavailable: Mapping[str, str]) -> list[str]:
    """A note for each reason, with the titles of the metrics that are not available for it."""
    missing: dict[str, list[str]] = {}
    for metric, reason in unavailable.items():
        missing.setdefault(reason, []).append(title_of(metric))
    return [f"Not available: {'; '.join(titles)}. {reason}" for reason, titles in missing.items()]


def _notes(comparison: Comparison) -> list[str]:
    return [*same_for_all(comparison), *comparison.footnotes, *absences(comparison.unavailable)]
