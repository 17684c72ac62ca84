"""Readings over a window: time-weighted means, counter changes, and whose they are. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.metrics.model import NotAvailable
from workbench.metrics.trial import Floats, Longs, TrialRecords

NS = 1e9
SEVERAL = "worker.devices"
"""Fact of a trial that held more than one device: their ids."""
MAX_EDGE_PERIODS = 5.0
"""A window is covered only if readings stand within this many periods of both of its ends, or outside it."""


def on_gpu(records: TrialRecords) -> bool:
    """Whether the trial's model ran on a GPU."""
    return records.model is not None and records.model.device.startswith("cuda")


def device_source(records: TrialRecords) -> str | None:
    """The NVML source of the trial's own GPU: matched by UUID, or the only one there is. None where it held several:
    readings of one would not be the trial's."""
    if SEVERAL in records.environment:
        return None
    sources = sorted(
        {s for s, _ in records.samples if s.startswith("nvml")}
        | {s.source for s in records.sensors if s.source.startswith("nvml.")}
    )
    if records.model is not None:
        wanted = records.model.device.removeprefix("cuda:")
        for source in sources:
            if source.removeprefix("nvml.") == wanted:
                return source
    return sources[0] if len(sources) == 1 else None


def power_source(records: TrialRecords) -> str:
    """What measures the trial's device: its NVML source on a GPU, "rapl" on a CPU. A GPU that is merely in the
    machine says nothing about a trial on the CPU."""
    return (device_source(records) or "nvml") if on_gpu(records) else "rapl"


def series(records: TrialRecords, source: str | None, quantity: str) -> tuple[Longs, Floats]:
    """Times (ns) and values of the readings that succeeded; empty arrays where there are none."""
    found = records.samples.get((source or "", quantity))
    if found is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    good = np.isfinite(found.values)
    return found.times_ns[good], found.values[good]


def read_by(records: TrialRecords, source: str | None, quantity: str) -> str:
    """ " (/proc/PID/smaps_rollup; read every 1 s)": the sensor behind a quantity and its true period, for the method of
    a figure; "" where nothing is known of it."""
    methods = [s.method for s in records.sensors if (s.source, s.quantity) == (source, quantity) and s.available]
    times, _ = series(records, source, quantity)
    if len(times) > 1:
        methods.append(f"read every {_period(times) / NS:.2g} s")
    known = "; ".join(part for part in methods if part)
    return f" ({known})" if known else ""


def why_missing(records: TrialRecords, source: str, quantity: str, what: str) -> NotAvailable:
    """The reason a quantity was not read, in a sentence: the sensor's own where it gave one."""
    if source == "nvml" and SEVERAL in records.environment:
        count = len(records.environment[SEVERAL].split())
        return NotAvailable(f"The trial held {count} GPUs, whose readings are not added up.")
    for sensor in records.sensors:
        if sensor.source.startswith(source) and sensor.quantity == quantity and not sensor.available and sensor.reason:
            return NotAvailable(sensor.reason)
    reason = records.sensors_missing.get(quantity)
    if reason:
        return NotAvailable(reason)
    lost = next((s for s in records.lost_sensors if s.source.startswith(source) and s.quantity in ("", quantity)), None)
    if lost is not None:
        return NotAvailable(f"{what} was lost during the trial: {lost.reason}")
    return NotAvailable(f"{what} was not read in this trial.")


def no_window(records: TrialRecords) -> NotAvailable:
    """Why there is no measured window."""
    if records.ended is not None and records.ended.outcome == "failed":
        return NotAvailable("The trial failed before a measured request was finished.")
    return NotAvailable("No measured request was finished.")


def inside(times: Longs, values: Floats, start: int, end: int) -> tuple[Longs, Floats]:
    """The readings with start <= time <= end."""
    among = (times >= start) & (times <= end)
    return times[among], values[among]


def integral(times: Longs, values: Floats, start: int, end: int) -> float:
    """∫ value dt (value's unit x s) from `start` to `end` (ns): trapezoids between readings, interpolated at the
    window's ends, the nearest reading held where the window reaches beyond them. Needs at least one reading."""
    own = (times > start) & (times < end)
    grid = np.concatenate(([start], times[own], [end])).astype(np.int64)
    # relative to the start: float64 does not hold 64-bit nanoseconds exactly
    at = (grid - start) / NS
    return float(np.trapezoid(np.interp(at, (times - start) / NS, values), at))


def mean_over(times: Longs, values: Floats, start: int, end: int) -> float | None:
    """(1/T) ∫ value dt over the window, from its own readings alone: before and after it other phases run, and what
    they need is none of its. The nearest reading is held at the ends. None where no reading speaks for the window."""
    own, among = inside(times, values, start, end)
    if end <= start or not covers(own, start, end, _period(times)):
        return None
    return integral(own, among, start, end) / ((end - start) / NS)


Stretches = Sequence[tuple[int, int]]
"""Parts of the measured window (ns) that a figure is taken over, see `TrialRecords.stretches`."""


def length_s(stretches: Stretches) -> float:
    return sum(end - start for start, end in stretches) / NS


def mean_over_all(times: Longs, values: Floats, stretches: Stretches) -> float | None:
    """`mean_over` of several stretches, each weighing by its length. Those without a reading of their own are left
    out; None where they are more than half of the time."""
    means = [(mean_over(times, values, start, end), end - start) for start, end in stretches]
    known = [(mean, length) for mean, length in means if mean is not None]
    read = sum(length for _, length in known)
    if not known or 2 * read < sum(length for _, length in means):
        return None
    return sum(mean * length for mean, length in known) / read


def change_over_all(times: Longs, values: Floats, stretches: Stretches) -> float | None:
    """`counter_change` of several stretches together; None where one of them is not known."""
    changes = [counter_change(times, values, start, end) for start, end in stretches]
    known = [change for change in changes if change is not None]
    return sum(known) if known and len(known) == len(changes) else None


def covers(times: Longs, start: int, end: int, period: float | None = None) -> bool:
    """Whether readings reach both ends of the window, give or take `MAX_EDGE_PERIODS` of their period (ns), their own
    unless it is given."""
    if len(times) == 0:
        return False
    slack = MAX_EDGE_PERIODS * (_period(times) if period is None else period)
    return bool(times[0] <= start + slack and times[-1] >= end - slack and times[0] <= end and times[-1] >= start)


def _period(times: Longs) -> float:
    """Between readings (ns), the median; a second where there is one reading."""
    return float(np.median(np.diff(times))) if len(times) > 1 else NS


def counter_change(times: Longs, values: Floats, start: int, end: int) -> float | None:
    """What a rising counter gained between the window's ends, interpolated between readings. None where the readings
    do not reach both ends. Wrap-around is the source's affair."""
    if len(times) < 2 or not (times[0] <= start and times[-1] >= end):
        return None
    at = (times - start) / NS
    low, high = np.interp([0.0, (end - start) / NS], at, values)
    return float(high - low)
