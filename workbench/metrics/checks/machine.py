"""Checks of the machine around a trial: busy, hot, throttled, swapping, sensors that failed. Pure.

All look at the measured window only, and all are warnings: the figures stand, with a caution.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from workbench.metrics.checks.reason import Reason
from workbench.metrics.energy.measured import COUNTER_TOLERANCE, MIN_ENERGY_WINDOW_S, counter_energy, curve_energy
from workbench.metrics.energy.wall import SOURCE as WALL_METER
from workbench.metrics.trial import Floats, Longs, TrialRecords
from workbench.metrics.window import NS, counter_change, device_source, inside, mean_over, on_gpu, power_source, series
from workbench.units import format_share

STEAL_LIMIT = 0.02
FOREIGN_CORES_LIMIT = 0.25
PRESSURE_CPU_LIMIT = 0.10
PRESSURE_MEMORY_LIMIT = 0.05
SWITCHES_PER_SECOND_LIMIT = 100.0
"""Involuntary switches a second and thread."""
SWAP_LIMIT_BYTES = 1 << 20
TEMPERATURE_DRIFT_LIMIT = 10.0
"""Kelvin between the first and the last fifth of the window."""
GAP_PERIODS = 5.0
"""A hole in the readings longer than this many of their periods."""

FOREIGN_FACT = "gpu.0.processes_foreign"
"""Environment fact with the numbers of others' processes on the trial's GPU at its start, or why there are none."""

THROTTLE_REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""NVML clocks event reasons that slow the device down; idle, application clocks and sync boost do not count
(https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html)."""


def _warn(code: str, text: str) -> Reason:
    return Reason(code, "warning", text)


def busy_machine(records: TrialRecords) -> tuple[Reason, ...]:
    """Someone else had the processor: stolen time, foreign cores, pressure, involuntary switches."""
    window = records.window()
    if window is None:
        return ()
    threads = max(1, records.started.threads if records.started is not None else 1)
    limits = (
        (
            "steal_ratio",
            STEAL_LIMIT,
            "{} of the processor time was stolen by the host",
            partial(format_share, decimals=1),
        ),
        ("foreign_cpu_ratio", FOREIGN_CORES_LIMIT, "other processes used {} cores", "{:.2f}".format),
        ("pressure_cpu_ratio", PRESSURE_CPU_LIMIT, "something waited for a processor {} of the time", format_share),
        ("pressure_memory_ratio", PRESSURE_MEMORY_LIMIT, "something waited for memory {} of the time", format_share),
    )
    found = []
    for quantity, limit, text, shown in limits:
        mean = mean_over(*series(records, "proc.host", quantity), *window)
        if mean is not None and mean > limit:
            found.append(text.format(shown(mean)))
    switches = counter_change(*series(records, "proc.tree", "involuntary_switches_count"), *window)
    if switches is not None and window[1] > window[0]:
        rate = switches / ((window[1] - window[0]) / NS) / threads
        if rate > SWITCHES_PER_SECOND_LIMIT:
            found.append(f"each worker thread was interrupted {rate:.0f} times a second")
    if not found:
        return ()
    return (_warn("busy_machine", f"The machine was busy: {'; '.join(found)}."),)


def foreign_process(records: TrialRecords) -> tuple[Reason, ...]:
    """Somebody else computes on the trial's GPU."""
    numbers = records.environment.get(FOREIGN_FACT, "").split()
    if not on_gpu(records) or not numbers or not all(number.isdecimal() for number in numbers):
        return ()
    what = "Another process was" if len(numbers) == 1 else "Other processes were"
    text = f"{what} on the GPU when the trial began ({', '.join(numbers)}): time, memory and energy may be theirs."
    return (_warn("foreign_process", text),)


def unwatched(records: TrialRecords) -> tuple[Reason, ...]:
    """No sensor was read in the whole trial: none of the other checks of the machine can say anything."""
    watched = any(source != WALL_METER for source, _ in records.samples)
    if records.window() is None or watched or records.lost_sensors:
        return ()
    text = "Nothing watched this trial: whether the machine was busy, hot or swapping is not known."
    return (_warn("unwatched", text),)


def swapping(records: TrialRecords) -> tuple[Reason, ...]:
    window = records.window()
    if window is None:
        return ()
    _, values = inside(*series(records, "proc.tree", "swap_bytes"), *window)
    if len(values) and float(np.max(values)) > SWAP_LIMIT_BYTES:
        text = f"{float(np.max(values)) / 2**20:.0f} MiB of the worker were swapped out during the measurement."
        return (_warn("swapping", text),)
    return ()


def throttled(records: TrialRecords) -> tuple[Reason, ...]:
    window = records.window()
    if window is None or not on_gpu(records):
        return ()
    _, values = inside(*series(records, device_source(records), "throttle_reasons_bits"), *window)
    bits = values.astype(np.int64)
    set_at = {name: (bits & bit) != 0 for bit, name in THROTTLE_REASONS.items()}
    names = [f"{name} {format_share(float(np.mean(at)))}" for name, at in set_at.items() if at.any()]
    if not names:
        return ()
    return (_warn("throttled", f"The device slowed itself down, share of the window: {', '.join(names)}."),)


def temperature_drift(records: TrialRecords) -> tuple[Reason, ...]:
    window = records.window()
    if window is None:
        return ()
    reasons = []
    for (source, quantity), _ in records.samples.items():
        if quantity != "temperature_celsius":
            continue
        _, values = inside(*series(records, source, quantity), *window)
        fifth = max(1, len(values) // 5)
        if len(values) < 4:
            continue
        drift = float(np.mean(values[-fifth:]) - np.mean(values[:fifth]))
        if abs(drift) > TEMPERATURE_DRIFT_LIMIT:
            begin, end = np.mean(values[:fifth]), np.mean(values[-fifth:])
            text = f"{source} went from {begin:.0f} to {end:.0f} °C in the measured window."
            reasons.append(_warn("temperature_drift", text))
    return tuple(reasons)


def sampling_gap(records: TrialRecords) -> tuple[Reason, ...]:
    """Holes in the readings, judged by each source's own rhythm: the median of its periods in this trial. Turns without
    telemetry are no holes."""
    window = records.window()
    if window is None or window[1] <= window[0]:
        return ()
    lost = {s.source for s in records.lost_sensors if not s.quantity}
    reasons = []
    for source, times in _reading_times(records).items():
        if source in lost or len(times) < 3:
            continue
        period = float(np.median(np.diff(times)))
        hole = max((_longest_hole(times, *part) for part in _watched(records, *window)), default=0.0)
        if hole > GAP_PERIODS * period:
            text = f"{source} was not read for {hole / NS:.1f} s of the measured window (period {period / NS:.2g} s)."
            reasons.append(_warn("sampling_gap", text))
    silent = {s.source for s in records.sensors if s.available} - {s for s, _ in records.samples} - lost
    reasons += [_warn("sampling_gap", f"{s} was announced but never read.") for s in sorted(silent)]
    return tuple(reasons)


def _reading_times(records: TrialRecords) -> dict[str, Longs]:
    """Times of the densest quantity of each source: what is read once a second beside it makes no holes."""
    densest: dict[str, Longs] = {}
    for (source, _), found in records.samples.items():
        if len(found.times_ns) > len(densest.get(source, ())):
            densest[source] = found.times_ns
    return densest


def _watched(records: TrialRecords, start: int, end: int) -> list[tuple[int, int]]:
    """The window without the turns in which telemetry was off on purpose: what lies between those."""
    off = [turn for turn in records.turns if not turn.on]
    begins = [start, *(turn.t_ns for turn in off)]
    ends = [*(min(turn.start_ns, end) for turn in off), end]
    return [(begin, stop) for begin, stop in zip(begins, ends, strict=True) if begin < stop]


def _longest_hole(times: Longs, start: int, end: int) -> float:
    edges: Floats = np.concatenate(([start], times[(times > start) & (times < end)], [end])) - np.float64(start)
    return float(np.max(np.diff(edges)))


def sensor_lost(records: TrialRecords) -> tuple[Reason, ...]:
    text = "{} was lost during the trial: {}"
    return tuple(_warn("sensor_lost", text.format(s.source, s.reason)) for s in records.lost_sensors)


def counter_against_curve(records: TrialRecords) -> tuple[Reason, ...]:
    window = records.window()
    if window is None or (window[1] - window[0]) / NS < MIN_ENERGY_WINDOW_S:
        return ()
    counter, curve = counter_energy(records), curve_energy(records)
    if counter is None:
        return ()
    source = power_source(records)
    if counter <= 0:
        return (_warn("counter_still", f"The energy counter of {source} did not change in the window."),)
    if curve is not None and abs(curve / counter - 1) > COUNTER_TOLERANCE:
        text = f"The power curve of {source} gives {curve:.0f} J, its energy counter {counter:.0f} J: "
        return (_warn("counter_against_integral", text + f"{format_share(curve / counter - 1, sign='+')}."),)
    return ()


MACHINE_CHECKS = (
    busy_machine,
    foreign_process,
    unwatched,
    swapping,
    throttled,
    temperature_drift,
    sampling_gap,
    sensor_lost,
    counter_against_curve,
)
