"""What the sensor list says, as plain rows: every quantity with its source, rate and newest value, and the missing ones
with their reason. No Qt."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engines.protocol.records import Sensor
from workbench.charts.curves import figure
from workbench.charts.readings import rate_hz
from workbench.charts.series import TrialData

_SOURCES = {"proc.tree": "worker", "proc.host": "host", "nvml": "NVML", "rapl": "RAPL", "hwmon": "hwmon"}
_LATELY = 3
"""A quantity has failed when this many readings running did."""
_SAME_RATE = 0.2
"""Differences under this are jitter."""
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True)
class SensorRow:
    title: str
    source: str
    rate: str
    value: str
    available: bool = True
    reason: str = ""
    """Where it is not available: why, and what can be done."""
    method: str = ""


def sensor_rows(data: TrialData) -> tuple[SensorRow, ...]:
    """Available quantities first, in the order their sources name them, then the missing ones."""
    rows = [
        SensorRow(s.title, _source(s), rate_text(true_rate(data, s)), latest_text(data, s), method=s.method)
        for s in data.sensors
        if s.available
    ]
    missing: dict[tuple[str, str], list[str]] = {}
    for sensor in data.sensors:
        lost = data.lost_sensors.get(sensor.source)
        if lost is not None or not sensor.available:
            reason = f"{sensor.reason} {sensor.hint}".strip()
            if lost is not None:
                reason = f"It stopped answering during the trial: {lost} Earlier readings are kept."
            missing.setdefault((_source(sensor), reason), []).append(sensor.title)
    rows += [
        SensorRow(", ".join(titles), source, "", "not available", False, reason)
        for (source, reason), titles in missing.items()
    ]
    return tuple(rows)


def _source(sensor: Sensor) -> str:
    """The source as people know it; how exactly it is read stands in the tooltip."""
    for start, name in _SOURCES.items():
        if sensor.source.startswith(start):
            return name
    return sensor.source


def true_rate(data: TrialData, sensor: Sensor) -> float:
    """Readings a second: as announced, or as they really come where that is another rate (the memory map of a large
    process is read less often)."""
    channel = data.channels.get(f"{sensor.source}/{sensor.quantity}")
    read = rate_hz(channel.times) if channel is not None and sensor.rate_hz > 0 else None
    return sensor.rate_hz if read is None or abs(read / sensor.rate_hz - 1) < _SAME_RATE else float(f"{read:.2g}")


def rate_text(hertz: float) -> str:
    """ "10 Hz", "at ends" for a counter that is read when a phase ends."""
    return f"{hertz:g} Hz" if hertz > 0 else "at ends"


def latest_text(data: TrialData, sensor: Sensor) -> str:
    """The newest reading of a quantity with its unit; "no reading yet", "failed" for a reading that failed."""
    channel = data.channels.get(f"{sensor.source}/{sensor.quantity}")
    if channel is None or not len(channel):
        return "no reading yet" if data.ended is None else "no reading"
    lately = channel.values[-_LATELY:]
    good = lately[np.isfinite(lately)]
    return quantity_text(sensor.quantity, float(good[-1])) if len(good) else "reading failed"


def quantity_text(quantity: str, value: float) -> str:
    """A value in base units as people read it; the unit is the end of the quantity's name."""
    unit = quantity.rpartition("_")[2]
    if unit == "bytes":
        place = min(int(math.log(abs(value), 1024)), len(_BINARY) - 1) if abs(value) >= 1 else 0
        return f"{figure(value / 1024**place)} {_BINARY[place]}"
    if unit == "ratio":
        return f"{figure(value * 100)} %"
    if unit == "watts":
        return f"{figure(value)} W"
    if unit == "joules":
        return f"{figure(value / 1000)} kJ" if abs(value) >= 1000 else f"{figure(value)} J"
    if unit == "celsius":
        return f"{value:.0f} °C"
    if unit == "hertz":
        return f"{value / 1e6:,.0f} MHz"
    if unit == "seconds":
        return f"{figure(value)} s"
    if unit == "bits":
        return "none" if value == 0 else f"0x{int(value):x}"
    return f"{value:,.0f}" if unit == "count" else figure(value)
