"""Cost against length for programs: a row for each metric, curve and length, or JSON; in base units. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from workbench.comparison.architecture.costs import Curve, LengthCost, Pair, sentences
from workbench.comparison.results import Comparison
from workbench.export.provenance import Provenance, of_comparison
from workbench.export.spreadsheet import safe
from workbench.metrics.registry import metric
from workbench.statistics.intervals import Interval
from workbench.statistics.power_law import PowerLaw, Refusal

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


def lengths_json(comparison: Comparison) -> list[dict[str, object]]:
    """Of each metric the curves with their power laws, and where they cross; why where there is none."""
    return [
        {
            "metric": cost.metric,
            "length": cost.length,
            "against": cost.against,
            "curves": [_curve(curve) for curve in cost.curves],
            "crossings": [_pair(pair) for pair in cost.pairs],
        }
        for cost in comparison.costs
    ]


def _curve(curve: Curve) -> dict[str, object]:
    points = [{"length": n, "value": p.value, **_ends(p.interval), "trials": p.n} for n, p in curve.points.items()]
    said: dict[str, object] = {"title": curve.title, "reference_implementation": curve.reference, "points": points}
    if isinstance(curve.law, Refusal):
        return said | {"power_law": None, "reason": curve.law.reason}
    law = {"exponent": curve.law.exponent, **_ends(curve.law.interval), "shape": curve.law.shape}
    return said | {"power_law": law | {"departure": curve.law.departure, "method": curve.law.method}}


def _pair(pair: Pair) -> dict[str, object]:
    said: dict[str, object] = {"first": pair.first, "second": pair.second}
    if isinstance(pair.found, Refusal):
        return said | {"crossings": None, "reason": pair.found.reason}
    places = [{"at": p.at, **_ends(p.interval), "lower_from_there": p.then} for p in pair.found.places]
    measured = {"low": pair.found.low, "high": pair.found.high}
    return said | {
        "crossings": places,
        "lower_at_first": pair.found.lower,
        "no_difference_at": list(pair.found.undecided),
        "measured": measured,
        "method": pair.found.method,
    }


def _ends(interval: Interval | None) -> dict[str, float | None]:
    return {"low": interval.low, "high": interval.high} if interval is not None else {"low": None, "high": None}
