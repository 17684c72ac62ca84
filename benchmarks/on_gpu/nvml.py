"""Part 1: what NVML tells while the GPU idles, works and idles again, beside what its documentation says.

One recording at up to a thousand readings a second holds everything; steps of power show which field is a moving
average, and the energy counter is compared with the integral of each. Then memory: what the driver counts for this
process against what torch holds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.on_gpu.notes import Notes
from benchmarks.on_gpu.setting import Setting, torch_on
from engines.telemetry.nvml import NvmlDevice, field_number
from engines.telemetry.nvml_library import NvmlLibrary
from engines.telemetry.rates import SHORTEST_PERIOD_S, rate_of
from workbench.metrics.checks.machine import THROTTLE_REASONS

_PLAIN, _AVERAGE = "power usage", "power, average field"
_NVML_FI_DEV_POWER_AVERAGE = 185
"""nvml.h: the power averaged over one second; 186 is the instantaneous one, which the telemetry reads."""
_INSTANT, _ENERGY = "power_watts", "energy_joules"
_DOCUMENTED = {
    _INSTANT: "the field the telemetry reads",
    _AVERAGE: "documented as an average of 1 s",
    _PLAIN: "documented as an average of 1 s on most GPUs since Ampere",
}
_SETTLED_S = 0.5
_RISEN = 0.9
_HELD_BYTES = 2 << 30
_KEPT_POINTS = 2000
_MEBI = 2**20


@dataclass
class Curve:
    """Readings of one quantity: times (s, monotonic) and values."""

    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    costs_us: list[float] = field(default_factory=list)

    def between(self, start: float, end: float) -> Curve:
        inside = [(t, v) for t, v in zip(self.times, self.values, strict=True) if start <= t <= end]
        return Curve([t for t, _ in inside], [v for _, v in inside])

    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None


@dataclass(frozen=True)
class Steps:
    """Times (s, monotonic) of the recording: idle until `on`, busy until `off`, idle until `end`."""

    on: float
    off: float
    end: float


def run(setting: Setting, notes: Notes) -> None:
    library = setting.load_nvml()
    device = NvmlDevice(library, setting.uuid, 0.1)
    try:
        for sensor in device.sensors():
            notes.add(f"{sensor.title}: read by", sensor.method or None, note=sensor.reason)
        reads = {**dict(device.calls()), **_more_power(library, device)}
        before = _memory(device)
        idle = record(reads, min(setting.lengths.idle_s, notes.left_s() / 8))
        _idle(notes, "no context on the GPU", idle)
        torch_on(setting)
        context = record(reads, min(setting.lengths.idle_s, notes.left_s() / 8))
        _idle(notes, "context alive", context)
        notes.add("memory of a context", _less(_memory(device), before), "MiB", "of the whole device, before and after")
        busy_s = min(setting.lengths.busy_s, notes.left_s() / 3)
        curves, steps = _stepped(setting, reads, busy_s)
        notes.keep("curves", {name: _thinned(curve, steps.on) for name, curve in curves.items()})
        powers(notes, curves, steps)
        rates(notes, curves)
        _busy(notes, library, device, curves, steps)
        _process_memory(setting, notes, library, device)
    finally:
        device.close()


def record(
    reads: dict[str, Callable[[], float]], seconds: float, clock: Callable[[], float] = time.monotonic
) -> dict[str, Curve]:
    """Read everything in turn until the time is over; a reading that fails is left out."""
    curves = {name: Curve() for name in reads}
    end = clock() + seconds
    while clock() < end:
        begun = clock()
        for name, read in reads.items():
            before = clock()
            try:
                value = float(read())
            except Exception:  # noqa: BLE001  # NVML's errors have no common type that exists without the library
                continue
            after = clock()
            curve = curves[name]
            curve.times.append((before + after) / 2)
            curve.values.append(value)
            curve.costs_us.append((after - before) * 1e6)
        time.sleep(max(SHORTEST_PERIOD_S - (clock() - begun), 1e-4))
    return curves


def energy_over_integral(energy: Curve, power: Curve, start: float, end: float) -> float | None:
    """Change of the counter over the integral of a power curve (trapezoids), from the counter's first change within
    the span to its last one. None for fewer than three changes or readings."""
    changes = [
        (t, after)
        for t, before, after in zip(energy.times[1:], energy.values, energy.values[1:], strict=False)
        if after != before and start <= t <= end
    ]
    if len(changes) < 3:
        return None
    (first, least), (last, most) = changes[0], changes[-1]
    inside = power.between(first, last)
    if len(inside.times) < 3:
        return None
    points = list(zip(inside.times, inside.values, strict=True))
    points = [(first, points[0][1]), *points, (last, points[-1][1])]
    integral = sum((b - a) * (x + y) / 2 for (a, x), (b, y) in itertools.pairwise(points))
    return (most - least) / integral if integral > 0 else None


def rise_s(power: Curve, steps: Steps) -> float | None:
    """From the beginning of the work to the first reading at nine tenths of the step; None without a step."""
    idle = power.between(steps.on - 60, steps.on).median()
    busy = power.between((steps.on + steps.off) / 2, steps.off).median()
    if idle is None or busy is None or busy <= idle:
        return None
    wanted = idle + _RISEN * (busy - idle)
    return next(
        (t - steps.on for t, v in zip(power.times, power.values, strict=True) if t > steps.on and v >= wanted), None
    )


def powers(notes: Notes, curves: dict[str, Curve], steps: Steps) -> None:
    """Which field follows a step at once, and which agrees with the counter."""
    energy = curves.get(_ENERGY, Curve())
    for name in (_INSTANT, _AVERAGE, _PLAIN):
        curve = curves.get(name, Curve())
        if not curve.values:
            notes.add(f"{name}: rise to 90 % of a step", None, note="the device does not give it")
            continue
        notes.add(f"{name}: rise to 90 % of a step", rise_s(curve, steps), "s", _DOCUMENTED[name])
        for span, start, end in (
            ("while busy", steps.on + _SETTLED_S, steps.off),
            ("idle, busy, idle", 0.0, steps.end),
        ):
            ratio = energy_over_integral(energy, curve, start, end)
            note = "" if ratio is None else "within 5 %" if abs(ratio - 1) <= 0.05 else "MORE THAN 5 % APART"
            notes.add(
                f"energy counter / integral of {name}, {span}", ratio, note=note or "the counter changed too seldom"
            )


def rates(notes: Notes, curves: dict[str, Curve]) -> None:
    """How often values change, and what reading them costs."""
    rows: list[tuple[str, ...]] = []
    for name, curve in curves.items():
        if len(curve.values) < 2:
            rows.append((name, "not available", "", ""))
            continue
        times_ns = [round(t * 1e9) for t in curve.times]
        found = rate_of(name, name, times_ns, curve.values, reads=len(curve.values))
        hertz = "changed too seldom" if found.updates_hz is None else f"{found.updates_hz:.1f} Hz"
        cost = f"{statistics.median(curve.costs_us):.0f} / {max(curve.costs_us):.0f} µs"
        rows.append((name, ("at least " if found.at_least else "") + hertz, str(found.changes), cost))
    notes.table(
        "How often each value changes, over idle, busy, idle",
        ("quantity", "changes a second", "changes seen", "one reading, median / longest"),
        rows,
    )


def _more_power(library: NvmlLibrary, device: NvmlDevice) -> dict[str, Callable[[], float]]:
    """The power fields that the telemetry does not read where it has the instantaneous one."""

    def average() -> float:
        (value,) = library.nvmlDeviceGetFieldValues(device.handle, [_NVML_FI_DEV_POWER_AVERAGE])
        return field_number(library, value) / 1000

    return {_PLAIN: lambda: library.nvmlDeviceGetPowerUsage(device.handle) / 1000, _AVERAGE: average}


def _stepped(setting: Setting, reads: dict[str, Callable[[], float]], busy_s: float) -> tuple[dict[str, Curve], Steps]:
    """One recording over idle, busy, idle."""
    idle_s = busy_s / 3
    parts = [record(reads, idle_s)]
    on = time.monotonic()
    with setting.busy():
        parts.append(record(reads, busy_s))
        off = time.monotonic()
    parts.append(record(reads, idle_s))
    joined = {
        name: Curve(*(list(itertools.chain.from_iterable(getattr(p[name], part) for p in parts)) for part in _PARTS))
        for name in reads
    }
    return joined, Steps(on, off, time.monotonic())


_PARTS = ("times", "values", "costs_us")


def _idle(notes: Notes, when: str, curves: dict[str, Curve]) -> None:
    for name, unit, scale in ((_INSTANT, "W", 1.0), ("utilisation_ratio", "", 1.0), ("sm_clock_hertz", "MHz", 1e6)):
        level = curves.get(name, Curve()).median()
        notes.add(f"idle, {when}: {name}", None if level is None else level / scale, unit, "median")


def _busy(notes: Notes, library: NvmlLibrary, device: NvmlDevice, curves: dict[str, Curve], steps: Steps) -> None:
    middle = (steps.on + steps.off) / 2
    busy = {name: curve.between(middle, steps.off) for name, curve in curves.items()}
    for name, unit, scale in (
        (_INSTANT, "W", 1.0),
        ("utilisation_ratio", "", 1.0),
        ("memory_utilisation_ratio", "", 1.0),
        ("sm_clock_hertz", "MHz", 1e6),
        ("memory_clock_hertz", "MHz", 1e6),
        ("temperature_celsius", "°C", 1.0),
    ):
        level = busy.get(name, Curve()).median()
        notes.add(f"busy: {name}", None if level is None else level / scale, unit, "median of the second half")
    try:
        most = library.nvmlDeviceGetMaxClockInfo(device.handle, library.NVML_CLOCK_SM)
        notes.add("highest clock of the multiprocessors", float(most), "MHz", "nvmlDeviceGetMaxClockInfo")
    except library.NVMLError as error:
        notes.add("highest clock of the multiprocessors", None, note=str(error))
    bits = [int(v) for v in busy.get("throttle_reasons_bits", Curve()).values]
    seen = [text for bit, text in THROTTLE_REASONS.items() if any(b & bit for b in bits)]
    raw = ", ".join(sorted({f"{b:#x}" for b in bits}))
    notes.add("busy: reasons for lowered clocks", ", ".join(seen) or "none", note=f"bits seen: {raw or 'none'}")


def _process_memory(setting: Setting, notes: Notes, library: NvmlLibrary, device: NvmlDevice) -> None:
    """Two GiB taken through torch: what the device and the process's entry show of them."""
    torch = torch_on(setting)
    held = _MEBI if setting.rehearsal else _HELD_BYTES
    if not setting.rehearsal:
        torch.cuda.empty_cache()
    before = _memory(device)
    tensor = torch.empty(held, dtype=torch.uint8, device=setting.torch_device)
    if not setting.rehearsal:
        torch.cuda.synchronize()
        notes.add("torch: memory reserved", torch.cuda.memory_reserved() / _MEBI, "MiB", "allocator of this process")
    notes.add("taken through torch", held / _MEBI, "MiB")
    notes.add("device memory in use rose by", _less(_memory(device), before), "MiB")
    try:
        listed = library.nvmlDeviceGetComputeRunningProcesses_v3(device.handle)
    except library.NVMLError as error:
        notes.add("memory of this process, by the driver", None, note=str(error))
    else:
        ours = [p.usedGpuMemory for p in listed if p.pid == os.getpid()]
        value = None if not ours or ours[0] is None else ours[0] / _MEBI
        note = f"{len(listed)} processes listed" + ("" if ours else "; this one is not: it has another number outside")
        notes.add("memory of this process, by the driver", value, "MiB", note)
    del tensor


def _memory(device: NvmlDevice) -> float | None:
    """Of the whole device, MiB."""
    value = device.read().get("memory_used_bytes")
    return None if value is None else value / _MEBI


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _thinned(curve: Curve, zero: float) -> list[tuple[float, float]]:
    """Seconds from the beginning of the work, and value: where the value changed, and few enough to carry."""
    points = list(zip(curve.times, curve.values, strict=True))
    changed = [p for before, p in zip([None, *points], points, strict=False) if before is None or before[1] != p[1]]
    every = max(1, len(changed) // _KEPT_POINTS)
    return [(round(t - zero, 5), v) for t, v in _every(changed, every)]


def _every(points: Sequence[tuple[float, float]], step: int) -> Sequence[tuple[float, float]]:
    return points[::step]
