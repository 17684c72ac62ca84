"""A folder with the table and the charts of a comparison. Loads matplotlib when it draws: call it late, off the
window's main thread."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from workbench.charts.courses import TITLES, loss_chart
from workbench.charts.lengths import length_chart
from workbench.charts.rates import rate_chart
from workbench.charts.stored import Chart, bar_chart, scatter_chart
from workbench.comparison.courses import Read
from workbench.comparison.results import Comparison
from workbench.export import tables
from workbench.export.courses import courses_csv
from workbench.export.lengths import lengths_csv
from workbench.export.look import ThemeName
from workbench.metrics.registry import title_of

CHART_FORMATS = ("png", "svg", "pdf")
_TABLES: dict[str, Callable[[Comparison, Sequence[str]], str]] = {
    "csv": tables.comparison_csv,
    "md": tables.comparison_markdown,
    "tex": tables.comparison_latex,
    "json": lambda comparison, _metrics: json.dumps(tables.comparison_json(comparison), indent=2) + "\n",
}
FORMATS = (*CHART_FORMATS, *_TABLES, "parquet")


def export_comparison(
    comparison: Comparison,
    folder: Path,
    *,
    formats: Sequence[str] = ("png", "svg", "csv"),
    metrics: Sequence[str] = (),
    theme: ThemeName = "light",
    read: Read | None = None,
) -> tuple[Path, ...]:
    """Write a table and charts into `folder` (made where missing), replacing files of the same names.

    Charts are a bar chart of every one of `metrics` (default: the primary ones with values) and, without a choice of
    metrics, the trade-off of quality, or memory, against throughput; cost against length where that was swept, with a
    CSV of its own; of training the loss against the learning rate, where it was swept, and with `read` against steps,
    tokens, time and energy; a CSV then has each step beside it.
    Nothing is drawn where there is nothing to draw.
    -> the files written. Raises `OSError`, `ValueError` for a format that is not one of `FORMATS`.
    """
    unknown = [f for f in formats if f not in FORMATS]
    if unknown:
        raise ValueError(f"no format {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(comparison.name)
    written: list[Path] = []
    for format in formats:
        path = folder / f"{name}.{format}"
        if format in _TABLES:
            path.write_text(_TABLES[format](comparison, metrics), encoding="utf-8")
            written.append(path)
            if format == "csv" and read is not None:
                path = folder / f"{name}-courses.csv"
                path.write_text(courses_csv(comparison, read), encoding="utf-8")
                written.append(path)
            if format == "csv" and comparison.costs:
                path = folder / f"{name}-lengths.csv"
                path.write_text(lengths_csv(comparison), encoding="utf-8")
                written.append(path)
        elif format == "parquet":
            written.append(tables.write_parquet(comparison, path, metrics))
    drawn = [f for f in formats if f in CHART_FORMATS]
    for part, chart in _charts(comparison, metrics, read) if drawn else ():
        if not chart.empty:
            written += _draw(chart, folder / f"{name}-{file_name(part)}", drawn, theme)
    return tuple(written)


def _charts(comparison: Comparison, metrics: Sequence[str], read: Read | None) -> Iterator[tuple[str, Chart]]:
    """With how the name of its file ends."""
    for metric in metrics or tables.default_metrics(comparison):
        yield title_of(metric), bar_chart(comparison, metric)
    for cost in comparison.costs:
        if not metrics or cost.metric in metrics:
            chart = length_chart(comparison, cost)
            yield chart.title, chart
    training = comparison.training
    if not metrics and training is not None and not training.optima.one_rate:
        yield "learning rate", rate_chart(comparison)
    if read is not None and not metrics:
        for axis, against in TITLES.items():
            yield f"loss against {against}", loss_chart(comparison, read.kept, read.courses, axis)
    pair = trade_off(comparison)
    if not metrics and pair is not None:
        yield "trade-off", scatter_chart(comparison, *pair)


def trade_off(comparison: Comparison) -> tuple[str, str] | None:
    """The pair of metrics that a first scatter shows: throughput against quality, or against memory; of training, loss
    against memory. None without."""

    def first(*wanted: str) -> str | None:
        return next((m for m in wanted if m in comparison.metrics), None)

    loss = first("test_loss", "held_out_loss")
    cost = first("training_peak_bytes", "memory_mean_bytes", "trained_parameters", "training_tokens_per_second")
    if loss and cost:
        return cost, loss
    speed = first("decode_tokens_per_second", "throughput_tokens_per_second")
    other = first("perplexity", "memory_mean_bytes")
    return (speed, other) if speed and other else None


def _draw(chart: Chart, path: Path, formats: Sequence[str], theme: ThemeName) -> list[Path]:
    """`path`: without the ending."""
    from workbench.export import figures

    return [figures.save(chart, path.with_name(f"{path.name}.{format}"), theme=theme) for format in formats]


def file_name(text: str) -> str:
    """A name that every file system takes: "Precision of SmolLM2" -> "precision-of-smollm2"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "comparison"
