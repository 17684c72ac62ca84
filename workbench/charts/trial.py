"""The curves of one trial as charts, for exports: throughput, memory, power, utilisation, over its phases.

The Monitor page draws the same channels live; this is the picture of a trial at one moment. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.charts.readings import as_line
from workbench.charts.series import Channel, Floats, Phase, TrialData
from workbench.charts.stored import Band, Chart, ChartAxis, Series
from workbench.units import format_duration, format_value, scale
from workbench.version import version

_ENCLOSING = ("measure",)
"""Phases that hold others: their parts are drawn instead."""
_BROKEN = "A curve is broken where nothing was read."


@dataclass(frozen=True)
class _Curve:
    """A channel to draw: its key, or the end of it ("/power_watts"), and its name here."""

    key: str
    title: str


@dataclass(frozen=True)
class _Plan:
    id: str
    title: str
    base: str
    unit: str
    curves: tuple[_Curve, ...]
    style: Literal["line", "steps"] = "line"
    """Steps for levels that are read now and then: a value holds until the next reading."""
    sensor: str = ""
    """Quantity whose missing sensor explains an empty chart."""


_PLANS = (
    _Plan("throughput", "Throughput", "tokens/s", "tokens/s", (_Curve("throughput", "Throughput"),)),
    _Plan(
        "memory",
        "Memory",
        "B",
        "GiB",
        (
            _Curve("/memory_used_bytes", "Device memory in use"),
            # in the window's order: a curve has the same colour here
            _Curve("proc.tree/pss_bytes", "Proportional (PSS)"),
            _Curve("proc.tree/rss_bytes", "Resident (RSS)"),
        ),
        "steps",
        "rss_bytes",
    ),
    _Plan("power", "Power", "W", "W", (_Curve("/power_watts", "Power"),), sensor="power_watts"),
    _Plan(
        "utilisation",
        "Utilisation",
        "ratio",
        "%",
        (
            _Curve("/utilisation_ratio", "Device"),
            _Curve("proc.tree/cpu_utilisation_ratio", "Worker, of one core"),
            _Curve("proc.host/cpu_utilisation_ratio", "Machine"),
        ),
        sensor="cpu_utilisation_ratio",
    ),
)


def trial_charts(data: TrialData) -> tuple[Chart, ...]:
    """Throughput, memory, power and utilisation of one trial over seconds since its start; an empty one says why."""
    end = _end(data)
    bands = phase_bands(data.phases, end)
    return tuple(_chart(data, plan, bands, end) for plan in _PLANS)


def phase_bands(phases: Sequence[Phase], end_s: float) -> tuple[Band, ...]:
    """Bands that do not overlap: the outermost phases, except that the measurement is drawn as the prefill and decode
    of its requests. A phase that lasts ends at `end_s`."""
    spans = sorted(
        (
            Band(p.start_s, end_s if p.end_s is None else p.end_s, p.name)
            for p in phases
            if p.name not in _ENCLOSING and (p.end_s is None or p.end_s > p.start_s)
        ),
        key=lambda b: (b.start, -b.end),
    )
    bands: list[Band] = []
    for band in spans:
        start = max(band.start, bands[-1].end if bands else band.start)
        if band.end > start:
            bands.append(Band(start, band.end, band.phase))
    return tuple(bands)


def _chart(data: TrialData, plan: _Plan, bands: tuple[Band, ...], end: float) -> Chart:
    factor = scale(plan.base, plan.unit)
    found = [(curve, channel) for curve in plan.curves if (channel := _channel(data, curve.key)) is not None]
    series: list[Series] = []
    for place, (curve, channel) in enumerate(found):
        if not np.isfinite(channel.values).any():
            continue
        x, y = _line(channel)
        series.append(
            Series(
                key=channel.key,
                title=curve.title,
                x=x,
                y=y / factor,
                style=plan.style,
                color=data.color if not series else -min(place, 2),
            )
        )
    ranges = [
        f"{s.title} from {format_value(float(np.nanmin(s.y)), plan.unit, plan.unit)} "
        f"to {format_value(float(np.nanmax(s.y)), plan.unit, plan.unit)}."
        for s in series
    ]
    broken = [c for _, c in found if c.is_read and any(s.key == c.key and np.isnan(s.y).any() for s in series)]
    return Chart(
        id=f"trial:{plan.id}",
        title=plan.title,
        subtitle=data.title,
        x=ChartAxis("Time since start", "s", minimum=0.0),
        y=ChartAxis(plan.title, plan.unit, minimum=0.0),
        series=tuple(series),
        bands=bands,
        notes=(_BROKEN,) if broken else (),
        provenance=f"Trial {data.trial} · {data.title} · llm-workbench {version()}",
        summary=f"{plan.title} of {data.title} over {format_duration(end)}. {' '.join(ranges)}",
        empty="" if series else _why_empty(data, plan),
    )


def _line(channel: Channel) -> tuple[Floats, Floats]:
    """What a curve goes through (s, base unit), broken where a reading failed or none was made: as the window draws it.
    Corners of steps are left to whoever draws."""
    times, values = channel.times.copy(), channel.values.copy()
    return as_line(times, values, times, steps=False) if channel.is_read else (times, values)


def _channel(data: TrialData, key: str) -> Channel | None:
    """A channel by its key, or by the end of it where the source carries a device's id ("/power_watts")."""
    if not key.startswith("/"):
        return data.channels.get(key)
    devices = [k for k in data.channels if k.endswith(key) and not k.startswith("proc.")]
    return data.channels[devices[0]] if devices else None


def _why_empty(data: TrialData, plan: _Plan) -> str:
    if plan.sensor:
        absent = (s for s in data.sensors if s.quantity == plan.sensor and not s.available)
        reason = next((s.reason for s in absent if s.reason), "")
        return f"Not available on this machine: {reason}" if reason else f"{plan.title} was not read in this trial."
    if data.ended is not None and data.ended.outcome == "failed":
        return "The trial failed before it generated a token."
    return "No token yet." if data.ended is None else "The trial generated no token."


def _end(data: TrialData) -> float:
    ends = [p.end_s if p.end_s is not None else p.start_s for p in data.phases]
    ends += [float(c.times[-1]) for c in data.channels.values() if len(c)]
    return max(ends, default=0.0)
