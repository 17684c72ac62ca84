"""The curves of one trial as charts for exports, over its phases: those of `workbench.charts.curves`, which the Monitor
page draws live, at one moment. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.charts.curves import Curve, TrialChart, best_held_out, charts_of, figure, latest_place, latest_time
from workbench.charts.readings import as_line
from workbench.charts.series import Floats, Phase, TrialData
from workbench.charts.stored import Band, Chart, ChartAxis, Reference, Series
from workbench.charts.training_series import HELD_OUT
from workbench.charts.x_axis import TITLES, XAxis, is_whole, shown_unit
from workbench.units import format_duration, format_value
from workbench.version import version

_ENCLOSING = ("measure",)
"""Phases that hold others: their parts are drawn instead."""
_BROKEN = "A curve is broken where nothing was read."


def trial_charts(data: TrialData, x: XAxis = "time") -> tuple[Chart, ...]:
    """Every chart of one trial against one of its axes; an empty one says why."""
    bands = phase_bands(data.phases, latest_time(data)) if x == "time" else ()
    made = [(chart, right) for chart in charts_of(data, x) for right in _sides(chart)]
    return tuple(_chart(data, chart, x, bands, right=right) for chart, right in made)


def _sides(chart: TrialChart) -> tuple[bool, ...]:
    """A file has one axis of values: what the window draws against the right one is a chart of its own."""
    return tuple(side for side in (False, True) if not side or any(c.kind.right for c in chart.curves))


def phase_bands(phases: Sequence[Phase], end_s: float) -> tuple[Band, ...]:
    """Bands that do not overlap: the outermost phases, except that a measurement of requests is drawn as their
    prefill and decode. A phase that lasts ends at `end_s`."""
    parted = any(p.name in ("prefill", "decode") for p in phases)
    spans = sorted(
        (
            Band(p.start_s, end_s if p.end_s is None else p.end_s, p.name)
            for p in phases
            if not (parted and p.name in _ENCLOSING) and (p.end_s is None or p.end_s > p.start_s)
        ),
        key=lambda b: (b.start, -b.end),
    )
    bands: list[Band] = []
    for band in spans:
        start = max(band.start, bands[-1].end if bands else band.start)
        if band.end > start:
            bands.append(Band(start, band.end, band.phase))
    return tuple(bands)


def _chart(data: TrialData, chart: TrialChart, x: XAxis, bands: tuple[Band, ...], *, right: bool) -> Chart:
    kind = chart.kind
    drawn = [c for c in chart.curves if c.kind.style != "figure" and c.kind.right == right and np.isfinite(c.y).any()]
    unit, factor = shown_unit(x, latest_place(data, x))
    series = tuple(_series(data, curve, factor) for curve in drawn)
    title = drawn[0].channel.title if right and drawn else kind.title
    ranges = [
        f"{c.title} from {format_value(float(np.nanmin(s.y)), kind.unit, kind.unit)} "
        f"to {format_value(float(np.nanmax(s.y)), kind.unit, kind.unit)}."
        for c, s in zip(drawn, series, strict=True)
    ]
    broken = any(curve.is_read and np.isnan(s.y).any() for s, curve in zip(series, drawn, strict=True))
    about = (f"{kind.about[:1].upper()}{kind.about[1:]}.",) if kind.about and not right else ()
    return Chart(
        id=f"trial:{kind.id}{':right' if right else ''}:{x}",
        title=title,
        subtitle=data.title,
        x=ChartAxis(TITLES[x], unit, minimum=0.0, whole=is_whole(x, factor)),
        y=ChartAxis(title, kind.unit, minimum=0.0 if kind.from_zero else None),
        series=series,
        bands=bands,
        references=_best(data) if any(c.channel.key == HELD_OUT for c in drawn) else (),
        notes=(*about, *((_BROKEN,) if broken else ())),
        provenance=f"Trial {data.trial} · {data.title} · llm-workbench {version()}",
        summary=f"{title} of {data.title} over {format_duration(latest_time(data))}. {' '.join(ranges)}",
        empty="" if series else _why_empty(data, chart),
    )


def _series(data: TrialData, curve: Curve, factor: float) -> Series:
    x, y = _line(curve)
    area = curve.kind.style == "area"
    return Series(
        key=curve.channel.key,
        title=curve.title,
        x=x / factor,
        y=y,
        style={"steps": "steps", "points": "points", "area": "area"}.get(curve.kind.style, "line"),  # type: ignore[arg-type]
        color=-curve.neutral if curve.neutral else data.color,
        y_low=np.full(len(y), curve.below) if area else None,
        y_high=y if area else None,
        token=curve.kind.color,
    )


def _best(data: TrialData) -> tuple[Reference, ...]:
    best = best_held_out(data)
    if best is None:
        return ()
    so_far = "best" if data.ended is not None else "best so far"
    return (Reference(best[2], f"{so_far} {figure(best[2])}, step {best[1]}", "horizontal"),)


def _line(curve: Curve) -> tuple[Floats, Floats]:
    """What a curve goes through, broken where a reading failed or none was made: as the window draws it. Corners of
    steps are left to whoever draws."""
    x, y = curve.x.copy(), curve.y
    return as_line(x, y, x, steps=False) if curve.is_read else (x, y)


def _why_empty(data: TrialData, chart: TrialChart) -> str:
    if chart.kind.sensed:
        title = chart.kind.title
        return f"{title}: not available. {chart.missing}" if chart.missing else f"{title} was not read in this trial."
    if data.trains:
        return "No training step yet." if data.ended is None else "The trial made no training step."
    if data.ended is not None and data.ended.outcome == "failed":
        return "The trial failed before it generated a token."
    return "No token yet." if data.ended is None else "The trial generated no token."
