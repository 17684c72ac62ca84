"""Which charts a trial has, and which of its channels stand in each: the window draws them live, exports as files.

Plain values, no Qt. To add a chart is one entry of `CHARTS`. A chart whose every channel is missing is not drawn: it
says why, in the words of the sensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from workbench.charts.channel import Channel, Floats
from workbench.charts.readings import in_gap
from workbench.charts.series import STEP, TrialData
from workbench.units import scale

XAxis = Literal["time", "step"]


@dataclass(frozen=True)
class CurveKind:
    """A curve of a chart: the channels whose key matches `pattern`."""

    pattern: str
    title: str
    help: str = ""
    """What exactly it is, for the tooltip."""
    steps: bool = False
    """A level: the value of a reading holds until the next one."""
    per_thread: bool = False
    """The channel counts cores; divided by the worker's threads it says how much of its share is used."""


@dataclass(frozen=True)
class ChartKind:
    """A chart: channels come in the unit `base` and are shown in `unit`."""

    id: str
    title: str
    base: str
    unit: str
    curves: tuple[CurveKind, ...]
    x: XAxis = "time"
    """What the curves are drawn against: seconds since the trial's start, or training steps."""
    from_zero: bool = True
    """Zero stays in view."""
    least_span: float = 0.0
    """Where it does not: the axis spans at least so much (in `unit`), so that small changes look small."""
    optional: bool = False
    """Left out silently where nothing was read."""
    sensed: bool = True
    """Read from sensors, which say why they are missing."""


_PSS = "Memory of the worker's processes, shared pages divided among those that share them"
_RSS = "Resident memory of the worker's processes, shared pages counted once for each"
_DEVICE = "Memory of the device in use, by everybody"
_OWN = "Memory of the device in use by the worker's processes"
_WORKER = "Processor time of the worker's processes, in % of the threads it may use"
_HOST = "Processor time of the whole machine, in % of all its processors"


def _of_steps(key: str, title: str, unit: str = "", *, x: XAxis = "time") -> ChartKind:
    """A scalar of each training step; other trials do not have it."""
    id = key if x == "time" else f"{key}_by_step"
    curves = (CurveKind(key, title),)
    return ChartKind(
        id, title, unit, unit, curves, x=x, from_zero=key != "loss", least_span=0.5, optional=True, sensed=False
    )


CHARTS = (
    ChartKind(
        "throughput",
        "Throughput",
        "tokens/s",
        "tokens/s",
        (CurveKind("throughput", "Generated"), CurveKind("training_throughput", "Trained")),
        sensed=False,
    ),
    _of_steps("loss", "Loss", "nats/token"),
    _of_steps("loss", "Loss by step", "nats/token", x="step"),
    _of_steps("learning_rate", "Learning rate"),
    _of_steps("gradient_norm", "Gradient norm"),
    ChartKind(
        "memory",
        "Memory",
        "B",
        "GiB",
        (
            CurveKind("nvml.*/memory_used_bytes", "Device", _DEVICE, steps=True),
            CurveKind("nvml.*/process_memory_bytes", "Device, own", _OWN, steps=True),
            CurveKind("*/allocator_bytes", "Allocator", steps=True),
            CurveKind("proc.tree/pss_bytes", "Process PSS", _PSS, steps=True),
            CurveKind("proc.tree/rss_bytes", "Process RSS", _RSS, steps=True),
        ),
    ),
    ChartKind(
        "power",
        "Power",
        "W",
        "W",
        (CurveKind("nvml.*/power_watts", "GPU"), CurveKind("rapl*/power_watts", "CPU package")),
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
    channel: Channel
    factor: float
    help: str = ""
    steps: bool = False
    over: Channel | None = None
    """The channel of steps that it is drawn against; None: against time."""

    @property
    def is_read(self) -> bool:
        return self.channel.is_read

    @property
    def x(self) -> Floats:
        """Seconds since the trial's start, or the step that each value belongs to; shape (n,)."""
        if self.over is None:
            return self.channel.times
        places = np.searchsorted(self.over.times, self.channel.times, side="right") - 1
        found: Floats = np.where(places < 0, np.nan, self.over.values[places])
        return found

    @property
    def y(self) -> Floats:
        """In the chart's unit, shape (n,)."""
        return self.channel.values * self.factor

    def value_at(self, time: float) -> float:
        """The last reading at or before `time` (s) in the chart's unit; NaN before the first, and where nothing was
        read."""
        if self.is_read and in_gap(self.channel.times, time):
            return float("nan")
        place = int(np.searchsorted(self.channel.times, time, side="right")) - 1
        return float(self.channel.values[place]) * self.factor if place >= 0 else float("nan")

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


def charts_of(data: TrialData, *axes: XAxis) -> tuple[TrialChart, ...]:
    """The charts of a trial as far as its records tell: all, or those drawn against one of `axes`."""
    found = []
    for kind in (k for k in CHARTS if not axes or k.x in axes):
        curves = tuple(curve for k in kind.curves for curve in _curves(data, kind, k))
        if curves or not kind.optional:
            found.append(TrialChart(kind, curves, "" if curves else _reason(data, kind)))
    return tuple(found)


def _curves(data: TrialData, chart: ChartKind, kind: CurveKind) -> list[Curve]:
    over = data.channels.get(STEP) if chart.x == "step" else None
    if chart.x == "step" and over is None:
        return []
    matches = [c for key, c in data.channels.items() if fnmatchcase(key, kind.pattern)]
    threads = data.started.threads if data.started is not None and kind.per_thread else 0
    factor = 1 / scale(chart.base, chart.unit) / max(threads, 1)
    title = f"{kind.title}, one core" if kind.per_thread and not threads else kind.title
    numbers = [""] if len(matches) == 1 else [f" {i}" for i in range(len(matches))]
    return [
        Curve(title + number, channel, factor, kind.help, kind.steps, over)
        for number, channel in zip(numbers, matches, strict=True)
    ]


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


def latest_time(data: TrialData) -> float:
    """Seconds from the trial's start to its newest sample or phase."""
    ends = [float(c.times[-1]) for c in data.channels.values() if len(c)]
    ends += [p.start_s if p.end_s is None else p.end_s for p in data.phases[-4:]]
    return max(ends, default=0.0)


def figure(value: float) -> str:
    """A value as people read it: four significant digits at the most, "–" for none."""
    if not np.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"
