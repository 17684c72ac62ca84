"""Which charts a trial has while it runs, and which of its channels stand in each. Plain values, no Qt.

A chart whose every channel is missing is not drawn: it says why, in the words of the sensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt

from workbench.charts.readings import in_gap
from workbench.charts.series import Channel, TrialData

GIB = 1024.0**3
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """A series of a chart: the channels whose key matches `pattern`, multiplied by `scale`."""

    pattern: str
    title: str
    scale: float = 1.0
    right: bool = False
    help: str = ""
    """What exactly it is, for the tooltip."""
    steps: bool = False
    """A level: the value of a reading holds until the next one."""
    per_thread: bool = False
    """The channel counts cores; divided by the worker's threads it says how much of its share is used."""


@dataclass(frozen=True)
class ChartKind:
    """A chart of the stack: `from_zero` keeps zero in view; an `optional` one is left out silently."""

    title: str
    unit: str
    kinds: tuple[Kind, ...]
    from_zero: bool = True
    optional: bool = False


_PSS = "Memory of the worker's processes, shared pages divided among those that share them"
_RSS = "Resident memory of the worker's processes, shared pages counted once for each"
_DEVICE = "Memory of the device in use, by everybody"
_OWN = "Memory of the device in use by the worker's processes"
_WORKER = "Processor time of the worker's processes, in % of the threads it may use"
_HOST = "Processor time of the whole machine, in % of all its processors"

CHARTS = (
    ChartKind("Throughput", "tokens/s", (Kind("throughput", "Generated"),)),
    ChartKind(
        "Memory",
        "GiB",
        (
            Kind("nvml.*/memory_used_bytes", "Device", 1 / GIB, help=_DEVICE, steps=True),
            Kind("nvml.*/process_memory_bytes", "Device, own", 1 / GIB, help=_OWN, steps=True),
            Kind("*/allocator_bytes", "Allocator", 1 / GIB, steps=True),
            Kind("proc.tree/pss_bytes", "Process PSS", 1 / GIB, help=_PSS, steps=True),
            Kind("proc.tree/rss_bytes", "Process RSS", 1 / GIB, help=_RSS, steps=True),
        ),
    ),
    ChartKind("Power", "W", (Kind("nvml.*/power_watts", "GPU"), Kind("rapl*/power_watts", "CPU package"))),
    ChartKind(
        "Utilisation",
        "%",
        (
            Kind("nvml.*/utilisation_ratio", "GPU", 100.0),
            Kind("proc.tree/cpu_utilisation_ratio", "Worker CPU", 100.0, per_thread=True, help=_WORKER),
            Kind("proc.host/cpu_utilisation_ratio", "Host CPU", 100.0, help=_HOST),
        ),
    ),
    ChartKind(
        "Temperature and clock",
        "°C left, MHz right",
        (
            Kind("nvml.*/temperature_celsius", "GPU, °C"),
            Kind("hwmon*/temperature_celsius", "Processor, °C"),
            Kind("nvml.*/sm_clock_hertz", "SM clock, MHz", 1e-6, right=True),
        ),
        from_zero=False,
        optional=True,
    ),
)


@dataclass(frozen=True)
class LiveSeries:
    """One curve: `scale` turns the channel's base unit into the chart's."""

    title: str
    channel: Channel
    scale: float
    right: bool = False
    help: str = ""
    steps: bool = False

    @property
    def is_read(self) -> bool:
        return self.channel.is_read

    def value_at(self, time: float) -> float:
        """The last reading at or before `time` (s) in the chart's unit; NaN before the first, and where nothing was
        read."""
        if self.is_read and in_gap(self.channel.times, time):
            return float("nan")
        place = int(np.searchsorted(self.channel.times, time, side="right")) - 1
        return float(self.channel.values[place]) * self.scale if place >= 0 else float("nan")

    def mean(self, start: float, end: float) -> float:
        """Mean of the readings in [start, end] (s), failed ones left out; NaN where there is none."""
        first = int(np.searchsorted(self.channel.times, start, side="left"))
        last = int(np.searchsorted(self.channel.times, end, side="right"))
        values = self.channel.values[first:last]
        good = values[np.isfinite(values)]
        return float(good.mean()) * self.scale if len(good) else float("nan")


@dataclass(frozen=True)
class LiveChart:
    """A chart of one trial: its curves, or the reason why there is none."""

    kind: ChartKind
    series: tuple[LiveSeries, ...]
    missing: str = ""


def charts_of(data: TrialData, threads: int = 0) -> tuple[LiveChart, ...]:
    """The charts of a trial as far as its records tell. `threads` of the worker, 0 where not known."""
    found = []
    for kind in CHARTS:
        series = tuple(s for k in kind.kinds for s in _series(data, k, threads))
        missing = "" if series else _reason(data, kind)
        if missing and kind.optional:
            continue
        if not series and kind.optional and not data.sensors:
            continue
        found.append(LiveChart(kind, series, missing))
    return tuple(found)


def _series(data: TrialData, kind: Kind, threads: int) -> list[LiveSeries]:
    matches = [c for key, c in data.channels.items() if fnmatchcase(key, kind.pattern)]
    scale = kind.scale / max(threads, 1) if kind.per_thread else kind.scale
    title = "Worker CPU, one core" if kind.per_thread and threads == 0 else kind.title
    if len(matches) == 1:
        return [LiveSeries(title, matches[0], scale, kind.right, kind.help, kind.steps)]
    return [
        LiveSeries(f"{title} {i}", channel, scale, kind.right, kind.help, kind.steps)
        for i, channel in enumerate(matches)
    ]


def _reason(data: TrialData, kind: ChartKind) -> str:
    """Why no channel of a chart exists, "" while that cannot be said yet."""
    if kind.title == "Throughput":
        return ""
    if not data.sensors:
        return "no reading was recorded" if data.ended is not None else ""
    told = [s for s in data.sensors if any(fnmatchcase(f"{s.source}/{s.quantity}", k.pattern) for k in kind.kinds)]
    if any(s.available for s in told):
        return "no reading was recorded" if data.ended is not None else ""
    # other sources may measure the same quantity under a name of their own
    names = {k.pattern.rpartition("/")[2] for k in kind.kinds}
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
