"""Cost against length on log axes: a curve for each architecture, marks where it crosses the one it is held against.
Pure."""

from __future__ import annotations

import numpy as np

from workbench.charts.stored import Chart, ChartAxis, Series, provenance_line
from workbench.comparison.architecture.costs import TITLES, Curve, LengthCost, about, exponent, sentences
from workbench.comparison.results import Comparison
from workbench.metrics.registry import metric
from workbench.statistics.crossing import Crossing
from workbench.statistics.power_law import PowerLaw
from workbench.units import practical_unit, scale

_RING = "ring"


def length_chart(comparison: Comparison, cost: LengthCost, hidden: frozenset[str] = frozenset()) -> Chart:
    """A curve is left out where all of its configurations are hidden."""
    known = metric(cost.metric)
    shown = [c for c in cost.curves if not hidden.issuperset(c.configurations.values())]
    largest = max((s.value for c in shown for s in c.points.values()), default=0.0)
    unit = known.shown_unit or practical_unit(largest, known.unit)
    factor = scale(known.unit, unit)
    curves = tuple(_curve(c, factor) for c in shown)
    rings = tuple(ring for pair in cost.pairs for ring in _rings(pair.first, pair.found, cost, shown, factor))
    trials = sorted({s.n for c in shown for s in c.points.values()})
    notes = ["Circle: mean of the trials; band: its 95 % interval."] if trials and trials[-1] > 1 else []
    notes += [f"Open marks: crossings with {cost.against}, 95 % intervals in brackets."] if rings else []
    notes += ["Cost of a reference implementation is that of its code."] if any(c.reference for c in shown) else []
    rows = [r for r in comparison.rows if r.configuration not in hidden]
    return Chart(
        id=f"length:{cost.metric}",
        title=f"{known.title} against length",
        subtitle=f"n = {trials[0]}" if len(trials) == 1 else "",
        x=ChartAxis(TITLES[cost.length], "tokens", log=True),
        y=ChartAxis(known.title, unit, log=True, note="" if known.better == "neither" else f"{known.better} is better"),
        series=(*curves, *rings),
        notes=tuple(notes),
        provenance=provenance_line(comparison, rows),
        summary=" ".join(sentences(cost)),
        empty="" if curves else "No trial has a result yet.",
    )


def _curve(curve: Curve, factor: float) -> Series:
    lengths, points = list(curve.points), list(curve.points.values())
    ends = [(p.interval.low, p.interval.high) if p.interval is not None else (p.value, p.value) for p in points]
    band = any(p.interval is not None for p in points)
    return Series(
        key=curve.title,
        title=_title(curve),
        x=np.array(lengths),
        y=np.array([p.value for p in points]) / factor,
        color=curve.color,
        style="points",
        y_low=np.array([low for low, _ in ends]) / factor if band else None,
        y_high=np.array([high for _, high in ends]) / factor if band else None,
    )


def _title(curve: Curve) -> str:
    """ "MLA, ^1.00 [0.99, 1.01]": with the exponent where a straight line describes it."""
    if curve.reference:
        return f"{curve.title} (reference code)"
    if isinstance(curve.law, PowerLaw) and curve.law.shape == "straight":
        return f"{curve.title}, exponent {exponent(curve.law.exponent, curve.law.interval)}"
    return curve.title


def _rings(title: str, found: object, cost: LengthCost, shown: list[Curve], factor: float) -> list[Series]:
    curve = next((c for c in shown if c.title == title), None)
    if curve is None or not isinstance(found, Crossing) or cost.against not in {c.title for c in shown}:
        return []
    lengths = np.log(list(curve.points))
    values = np.log([p.value for p in curve.points.values()])
    return [
        Series(
            key=f"{_RING}:{title}:{place.at:.0f}",
            title=f"{title} crosses {cost.against}",
            x=np.array([place.at]),
            y=np.exp(np.interp(np.log([place.at]), lengths, values)) / factor,
            color=curve.color,
            style="markers",
            x_low=np.array([place.interval.low]),
            x_high=np.array([place.interval.high]),
            labels=(f"{title} {about(place.at)} [{about(place.interval.low)}, {about(place.interval.high)}]",),
            hollow=True,
        )
        for place in found.places
    ]
