"""Which charts a trial has, and which of its channels stand in each: the window draws them live, exports as files.

Plain values, no Qt. To add a chart is one entry of `CHARTS`; each can be drawn against any axis its trial has
(`workbench.charts.x_axis`). A chart whose every channel is missing is not drawn: it says why, in the words of the
sensors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from workbench.charts.channel import Channel, Floats
from workbench.charts.readings import in_gap
from workbench.charts.series import TrialData
from workbench.charts.training_series import ENERGY, HELD_OUT, PARTS, TEST
from workbench.charts.x_axis import Axis, Points, XAxis, position_text
from workbench.units import format_value, scale

CurveStyle = Literal["line", "steps", "points", "area", "figure"]
"""`steps`: the value of a reading holds until the next one. `points`: few and far between, circles joined by a line.
`area`: stacked on the areas before it; it does not change while the trial lasts. `figure`: not drawn, only read."""


@dataclass(frozen=True)
class CurveKind:
    """A curve of a chart: the channels whose key matches `pattern`."""

    pattern: str
    title: str
    help: str = ""
    """What exactly it is, for the tooltip."""
    style: CurveStyle = "line"
    right: bool = False
    """Its values belong to the axis on the right."""
    per_thread: bool = False
    """The channel counts cores; divided by the worker's threads it says how much of its share is used."""
    base: str = ""
    """The channel's unit where it is not the chart's: the value is then written with it."""
    color: str = ""
    """Token of an area's colour."""


@dataclass(frozen=True)
class ChartKind:
    """A chart: channels come in the unit `base` and are shown in `unit`."""

    id: str
    title: str
    base: str
    unit: str
    curves: tuple[CurveKind, ...]
    about: str = ""
    """What its values are, beside the title; the unit where it says nothing."""
    from_zero: bool = True
    """Zero stays in view."""
    least_span: float = 0.0
    """Where it does not: the axis spans at least so much (in `unit`), so that small changes look small."""
    optional: bool = False
    """Left out silently where nothing was read."""
    of_training: bool = False
    """There from the beginning while a model is trained, elsewhere not at all."""
    sensed: bool = True
    """Read from sensors, which say why they are missing."""
    needs: str = ""
    """Only where this channel exists."""
    instead_of: str = ""
    """The chart that it replaces then."""
    weight: int = 2
    """Its share of the height."""

    @property
    def said(self) -> str:
        return self.about or self.unit


_PSS = "Memory of the worker's processes, shared pages divided among those that share them"
_RSS = "Resident memory of the worker's processes, shared pages counted once for each"
_DEVICE = "Memory of the device in use, by everybody"
_OWN = "Memory of the device in use by the worker's processes"
_WORKER = "Processor time of the worker's processes, in % of the threads it may use"
_HOST = "Processor time of the whole machine, in % of all its processors"


_PROCESS = (
    CurveKind("proc.tree/pss_bytes", "Process PSS", _PSS, "steps"),
    CurveKind("proc.tree/rss_bytes", "Process RSS", _RSS, "steps"),
)
_READ_MEMORY = (
    CurveKind("nvml.*/memory_used_bytes", "Device", _DEVICE, "steps"),
    CurveKind("nvml.*/process_memory_bytes", "Device, own", _OWN, "steps"),
    CurveKind("*/allocator_bytes", "Allocator", style="steps"),
)
_PART_COLORS = tuple(f"memory.{c}" for c in ("weights", "gradients", "optimiser", "cache_or_activations", "overhead"))
_PARTS = tuple(
    CurveKind(f"part:{part}", part.capitalize(), "At the peak of one untimed step", "area", color=color)
    for part, color in zip(PARTS, _PART_COLORS, strict=True)
)


CHARTS = (
    ChartKind(
        "loss",
        "Loss",
        "nats/token",
        "nats/token",
        (
            CurveKind("loss", "Training", "Of each step's own batch, before the step changed the weights"),
            CurveKind(HELD_OUT, "Held-out", "Of text that training does not see", "points"),
            CurveKind(TEST, "Test", "Of text that neither training nor any choice has seen", "points"),
        ),
        from_zero=False,
        least_span=0.5,
        of_training=True,
        sensed=False,
        weight=3,
    ),
    ChartKind(
        "gradient_norm",
        "Gradient norm and learning rate",
        "",
        "",
        (
            CurveKind("gradient_norm", "Norm", "Of all trained parameters together, before clipping"),
            CurveKind("learning_rate", "Rate", right=True),
        ),
        about="norm left, rate right",
        of_training=True,
        sensed=False,
    ),
    ChartKind(
        "throughput",
        "Throughput",
        "tokens/s",
        "tokens/s",
        (
            CurveKind("throughput", "Generated"),
            CurveKind("training_throughput", "Trained on"),
            CurveKind("data_share", "data waits", "Share of the time spent on making batches", "figure", base="ratio"),
        ),
        sensed=False,
    ),
    ChartKind(
        "memory_parts",
        "Memory by part",
        "B",
        "GiB",
        # beside names of parts there is little room
        (*_PARTS, *_READ_MEMORY, *(replace(kind, title=kind.title.removeprefix("Process ")) for kind in _PROCESS)),
        about="GiB, parts of one untimed step",
        needs="part:weights",
        instead_of="memory",
    ),
    ChartKind("memory", "Memory", "B", "GiB", (*_READ_MEMORY, *_PROCESS)),
    ChartKind(
        "power",
        "Power",
        "W",
        "W",
        (
            CurveKind("nvml.*/power_watts", "GPU"),
            CurveKind("rapl*/power_watts", "CPU package"),
            CurveKind(ENERGY, "energy of the steps", "Without loading and evaluating", "figure", base="J"),
        ),
    ),
    ChartKind(
        "utilisation",
        "Utilisation",
        "ratio",
        "%",
        (
            CurveKind("nvml.*/utilisation_ratio", "GPU"),
            CurveKind("proc.tree/cpu_utilisation_ratio", "Worker CPU", _WORKER, per_thread=True),
            CurveKind("proc.host/cpu_utilisation_ratio", "Host CPU", _HOST),
        ),
    ),
    ChartKind(
        "temperature",
        "Temperature",
        "°C",
        "°C",
        (CurveKind("nvml.*/temperature_celsius", "GPU"), CurveKind("hwmon*/temperature_celsius", "Processor")),
        from_zero=False,
        least_span=20.0,
        optional=True,
    ),
    ChartKind("clock", "Clock", "Hz", "MHz", (CurveKind("nvml.*/sm_clock_hertz", "SM clock"),), optional=True),
)


@dataclass(frozen=True)
class Curve:
    """One curve: `factor` turns the channel's base unit into the chart's."""

    title: str
    kind: CurveKind
    points: Points
    factor: float
    below: float = 0.0
    """Where an area begins, in the chart's unit."""
    neutral: int = 0
    """0: in the trial's colour; 1, 2, ...: the second, third, ... line of the chart."""

    @property
    def channel(self) -> Channel:
        return self.points.channel

    @property
    def steps(self) -> bool:
        return self.kind.style == "steps"

    @property
    def is_read(self) -> bool:
        """Drawn with a gap where nothing was read: against time only."""
        return self.channel.is_read and self.points.axis.kind == "time"

    @property
    def x(self) -> Floats:
        """Places on the axis, shape (n,)."""
        return self.points.x

    @property
    def y(self) -> Floats:
        """In the chart's unit, shape (n,)."""
        return self.points.y * self.factor + self.below

    def value_at(self, time: float) -> float:
        """The last reading at or before `time` (s) in the chart's unit; NaN before the first, and where nothing was
        read."""
        if self.channel.is_read and in_gap(self.channel.times, time):
            return float("nan")
        place = self._place(time)
        return float(self.channel.values[place]) * self.factor if place >= 0 else float("nan")

    def text_at(self, time: float) -> str:
        """The same as people read it; with the unit where that is not the chart's."""
        value, base = self.value_at(time), self.kind.base
        if not base or not np.isfinite(value):
            return figure(value)
        return format_value(value, base, "%" if base == "ratio" else "")

    def title_at(self, time: float, steps: Axis) -> str:
        """ "Held-out, step 120": a value that is measured now and then names the step it is of."""
        place = self._place(time)
        if self.kind.style != "points" or place < 0:
            return self.title
        return f"{self.title}, {position_text('step', steps.at(float(self.channel.times[place])))}"

    def _place(self, time: float) -> int:
        return int(np.searchsorted(self.channel.times, time, side="right")) - 1

    def mean(self, start: float, end: float) -> float:
        """Mean of the readings in [start, end] (s), failed ones left out; NaN where there is none."""
        first = int(np.searchsorted(self.channel.times, start, side="left"))
        last = int(np.searchsorted(self.channel.times, end, side="right"))
        values = self.channel.values[first:last]
        good = values[np.isfinite(values)]
        return float(good.mean()) * self.factor if len(good) else float("nan")


@dataclass(frozen=True)
class TrialChart:
    """A chart of one trial: its curves, or the reason why there is none."""

    kind: ChartKind
    curves: tuple[Curve, ...]
    missing: str = ""


def charts_of(data: TrialData, x: XAxis = "time") -> tuple[TrialChart, ...]:
    """The charts of a trial as far as its records tell, against one of its axes."""
    there = [k for k in CHARTS if (not k.needs or k.needs in data.channels) and (data.trains or not k.of_training)]
    replaced = {k.instead_of for k in there}
    found = []
    for kind in (k for k in there if k.id not in replaced):
        curves = _curves(data, kind, x)
        if any(c.kind.style != "figure" for c in curves):
            found.append(TrialChart(kind, curves))
        elif not kind.optional:
            found.append(TrialChart(kind, (), _reason(data, kind)))
    return tuple(found)


def _curves(data: TrialData, chart: ChartKind, x: XAxis) -> tuple[Curve, ...]:
    found: list[Curve] = []
    below, lines = 0.0, 0
    threads = data.started.threads if data.started is not None else 0
    for kind in chart.curves:
        matches = [key for key in data.channels if fnmatchcase(key, kind.pattern)]
        if kind.style == "area":
            matches = [key for key in matches if data.channels[key].values[-1:].any()]
        base, unit = (kind.base, kind.base) if kind.base else (chart.base, chart.unit)
        factor = 1 / scale(base, unit) / (max(threads, 1) if kind.per_thread else 1)
        title = f"{kind.title}, one core" if kind.per_thread and not threads else kind.title
        for number, key in enumerate(matches):
            named = title if len(matches) == 1 else f"{title} {number}"
            points = data.points(key, x, held=kind.style == "points")
            # losses between steps are in the second colour also while no step has ended
            place = max(lines, 1) if kind.style == "points" else lines
            found.append(Curve(named, kind, points, factor, below if kind.style == "area" else 0.0, place))
            if kind.style == "area" and len(points.channel):
                below += float(points.channel.values[-1]) * factor
            lines += kind.style in ("line", "steps", "points")
    return tuple(found)


def best_held_out(data: TrialData) -> tuple[float, int, float] | None:
    """Time (s), step and value (nats/token) of the lowest held-out loss so far; None before the second, which can be
    better than the first."""
    held_out, steps = data.channels.get(HELD_OUT), data.axis("step")
    if held_out is None or len(held_out) < 2 or not np.isfinite(held_out.values).any():
        return None
    place = int(np.nanargmin(held_out.values))
    time = float(held_out.times[place])
    return time, round(steps.at(time)), float(held_out.values[place])


def why_no_axis(data: TrialData, x: XAxis) -> str:
    """Why a training trial cannot be drawn against an axis, "" where it can."""
    if x != "energy" or ENERGY in data.channels:
        return ""
    power = next(k for k in CHARTS if k.id == "power")
    return _reason(data, power) or "no step with a reading of energy has ended yet"


def _reason(data: TrialData, kind: ChartKind) -> str:
    """Why no channel of a chart exists, "" while that cannot be said yet."""
    if not kind.sensed:
        return ""
    if not data.sensors:
        return "no reading was recorded" if data.ended is not None else ""
    told = [s for s in data.sensors if any(fnmatchcase(f"{s.source}/{s.quantity}", k.pattern) for k in kind.curves)]
    if any(s.available for s in told):
        return "no reading was recorded" if data.ended is not None else ""
    # other sources may measure the same quantity under a name of their own
    names = {k.pattern.rpartition("/")[2] for k in kind.curves}
    told = told or [s for s in data.sensors if s.quantity in names and not s.available]
    reasons = list(dict.fromkeys(s.reason for s in told if s.reason))
    return " ".join(reasons) or "no sensor for it was found"


def latest_place(data: TrialData, x: XAxis) -> float:
    """How far the trial has come on an axis."""
    return latest_time(data) if x == "time" else data.axis(x).latest


def latest_time(data: TrialData) -> float:
    """Seconds from the trial's start to its newest sample or phase."""
    ends = [float(c.times[-1]) for c in data.channels.values() if len(c)]
    ends += [p.start_s if p.end_s is None else p.end_s for p in data.phases[-4:]]
    return max(ends, default=0.0)


def figure(value: float) -> str:
    """A value as people read it: four significant digits at the most, "2.99e-4" under a thousandth, "–" for none."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.2e}".replace("e-0", "e-")
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"
