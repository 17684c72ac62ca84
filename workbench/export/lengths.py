"""Cost against length as a table for programs: a row for each metric, curve and length, in base units. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from workbench.comparison.architecture.costs import LengthCost, sentences
from workbench.comparison.results import Comparison
from workbench.export.provenance import Provenance, of_comparison
from workbench.export.spreadsheet import safe
from workbench.metrics.registry import metric
from workbench.statistics.power_law import PowerLaw

COLUMNS = (
    "experiment",
    "metric",
    "unit",
    "curve",
    "length_tokens",
    "value",
    "low",
    "high",
    "trials",
    "line",
    "exponent",
    "exponent_low",
    "exponent_high",
    "shape",
)
"""`low` .. `high` are 95 % intervals; `line` is the power law at that length, which describes the curve where `shape`
is "straight"; blank: not available."""


def lengths_csv(comparison: Comparison, origin: Provenance | None = None) -> str:
    """With provenance, exponents and crossings in words as comment lines before the header."""
    origin = origin or of_comparison(comparison)
    out = io.StringIO()
    for line in (*origin.lines(), *(line for cost in comparison.costs for line in sentences(cost))):
        out.write(f"# {' '.join(line.split())}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([safe(value) for value in row] for cost in comparison.costs for row in _rows(comparison, cost))
    return out.getvalue()


def _rows(comparison: Comparison, cost: LengthCost) -> Iterator[tuple[object, ...]]:
    for curve in cost.curves:
        law = curve.law if isinstance(curve.law, PowerLaw) else None
        ends = (law.interval.low, law.interval.high) if law is not None and law.interval is not None else ("", "")
        for length, point in curve.points.items():
            inner = point.interval
            yield (
                *(comparison.experiment, cost.metric, metric(cost.metric).unit, curve.title, int(length), point.value),
                *((inner.low, inner.high) if inner is not None else ("", "")),
                *(point.n, "" if law is None else law.value(length), "" if law is None else law.exponent, *ends),
                "" if law is None else law.shape,
            )
