"""The curves of one trial as charts for exports, over its phases: those of `workbench.charts.curves`, which the Monitor
page draws live, at one moment. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.charts.curves import Curve, TrialChart, charts_of, latest_time
from workbench.charts.readings import as_line
from workbench.charts.series import Floats, Phase, TrialData
from workbench.charts.stored import Band, Chart, ChartAxis, Series
from workbench.units import format_duration, format_value
from workbench.version import version

_ENCLOSING = ("measure",)
"""Phases that hold others: their parts are drawn instead."""
_BROKEN = "A curve is broken where nothing was read."
_X = {"time": ChartAxis("Time since start", "s", minimum=0.0), "step": ChartAxis("Step", minimum=0.0)}


def trial_charts(data: TrialData) -> tuple[Chart, ...]:
    """Every chart of one trial; an empty one says why."""
    end = latest_time(data)
    bands = phase_bands(data.phases, end)
    return tuple(_chart(data, chart, bands, end) for chart in charts_of(data))


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


def _chart(data: TrialData, chart: TrialChart, bands: tuple[Band, ...], end: float) -> Chart:
    kind = chart.kind
    drawn = [(place, curve) for place, curve in enumerate(chart.curves) if np.isfinite(curve.channel.values).any()]
    series = tuple(
        Series(
            key=curve.channel.key,
            title=curve.title,
            x=(line := _line(curve))[0],
            y=line[1],
            style="steps" if curve.steps else "line",
            color=-place if place else data.color,
        )
        for place, curve in drawn
    )
    ranges = [
        f"{s.title} from {format_value(float(np.nanmin(s.y)), kind.unit, kind.unit)} "
        f"to {format_value(float(np.nanmax(s.y)), kind.unit, kind.unit)}."
        for s in series
    ]
    broken = any(curve.is_read and np.isnan(s.y).any() for s, (_, curve) in zip(series, drawn, strict=True))
    return Chart(
        id=f"trial:{kind.id}",
        title=kind.title,
        subtitle=data.title,
        x=_X[kind.x],
        y=ChartAxis(kind.title, kind.unit, minimum=0.0 if kind.from_zero else None),
        series=series,
        bands=bands if kind.x == "time" else (),
        notes=(_BROKEN,) if broken else (),
        provenance=f"Trial {data.trial} · {data.title} · llm-workbench {version()}",
        summary=f"{kind.title} of {data.title} over {format_duration(end)}. {' '.join(ranges)}",
        empty="" if series else _why_empty(data, chart),
    )


def _line(curve: Curve) -> tuple[Floats, Floats]:
    """What a curve goes through, broken where a reading failed or none was made: as the window draws it. Corners of
    steps are left to whoever draws."""
    x, y = curve.x.copy(), curve.y
    return as_line(x, y, x, steps=False) if curve.is_read and curve.over is None else (x, y)


def _why_empty(data: TrialData, chart: TrialChart) -> str:
    if chart.kind.sensed:
        title = chart.kind.title
        return f"{title}: not available. {chart.missing}" if chart.missing else f"{title} was not read in this trial."
    if data.ended is not None and data.ended.outcome == "failed":
        return "The trial failed before it generated a token."
    return "No token yet." if data.ended is None else "The trial generated no token."
