"""How often each sensor can be read, how often its value really changes, and what a reading costs.

Every source of a trial is read as often as half a core allows, a thousand times a second at the most, while a process
of our own keeps a core busy and its memory moving. A rate is that of changes seen: a quantity whose value stays the
same may be updated more often than anybody can see. Runs in a process of its own, never in the runner.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from engines.protocol.instruments import QuantityRate, SourceRate
from engines.protocol.orders import ModelOrder, TrialOrder
from engines.telemetry import nvml
from engines.telemetry.base import Source, SourceEnded, SourceFailure
from engines.telemetry.nvml_devices import gpus
from engines.telemetry.nvml_library import NvmlLibrary, NvmlUnavailable, load_nvml, opened
from engines.telemetry.sources import open_sources

SHORTEST_PERIOD_S = 0.001
SHARE = 0.5
"""Of the time that reading may take: the machine must keep working while it is observed."""
EVERY_READING = 0.9
"""From this share of readings with a new value on, the sensor is faster than it was read."""
LEAST_CHANGES = 3
"""Fewer say nothing about a rate."""
_CALLS = 50
_BUSY = """
held = []
while True:
    held.append(bytearray(b"1") * 65536)
    if len(held) == 500:
        held.clear()
    sum(range(20000))
"""
"""A process that computes, and whose memory grows by 64 KiB at a time to 32 MiB and falls again."""

Clock = Callable[[], int]
LoadNvml = Callable[[], NvmlLibrary]


def sensor_rates(seconds: float, *, nvml_loader: LoadNvml = load_nvml) -> tuple[SourceRate, ...]:
    """Watch every source of this machine for some seconds each. A source that does not answer is left out: the probe
    says why."""
    found = []
    with _busy_process() as pid:
        sources, _ = open_sources(_order(), pid, nvml_loader=nvml_loader)
        try:
            for source in sources:
                if any(sensor.available for sensor in source.sensors()):
                    found += _watched(source, seconds)
        finally:
            for source in reversed(sources):
                source.close()
    return (*found, *_gpu_rates(seconds, nvml_loader))


def _gpu_rates(seconds: float, nvml_loader: LoadNvml) -> tuple[SourceRate, ...]:
    """Every GPU, its calls timed one by one as well."""
    found: list[SourceRate] = []
    library = nvml_loader()
    try:
        with opened(library):
            for gpu in gpus(library):
                try:
                    device = nvml.NvmlDevice(library, gpu.uuid, _order_period_s())
                except (NvmlUnavailable, SourceFailure):
                    continue
                try:
                    calls = {name: _call_us(read) for name, read in device.calls()}
                    found += _watched(device, seconds, calls)
                    found += _watched(nvml.NvmlProcesses(device, library, tuple), seconds)
                finally:
                    device.close()
    except (NvmlUnavailable, library.NVMLError):
        return tuple(found)
    return tuple(found)


def _watched(source: Source, seconds: float, calls: dict[str, float | None] | None = None) -> list[SourceRate]:
    rate = watch(source, seconds, calls or {})
    return [] if rate is None else [rate]


def watch(
    source: Source,
    seconds: float,
    calls: dict[str, float | None],
    *,
    now_ns: Clock = time.monotonic_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> SourceRate | None:
    """Read a source again and again; None where it does not answer. `calls`: microseconds of one reading of each
    quantity alone, where that is known."""
    names = {s.quantity: s.title for s in source.sensors() if s.available}
    values: dict[str, list[float]] = {name: [] for name in names}
    times: dict[str, list[int]] = {name: [] for name in names}
    costs: list[int] = []
    begun_ns = now_ns()
    last_ns = begun_ns
    while last_ns - begun_ns < seconds * 1e9:
        before_ns = now_ns()
        try:
            reading = source.read()
        except (SourceEnded, SourceFailure, OSError, ValueError):
            break
        last_ns = now_ns()
        costs.append(last_ns - before_ns)
        for name, value in reading.items():
            if value is not None and name in values:
                values[name].append(value)
                times[name].append((before_ns + last_ns) // 2)
        cost_s = costs[-1] / 1e9
        sleep(max(SHORTEST_PERIOD_S - cost_s, cost_s * (1 - SHARE) / SHARE))
    if len(costs) < 2:
        return None
    return SourceRate(
        source=source.name,
        period_s=source.period_s,
        reads=len(costs),
        span_s=(last_ns - begun_ns) / 1e9,
        read_us=statistics.median(costs) / 1e3,
        read_us_most=max(costs) / 1e3,
        quantities=tuple(
            rate_of(name, names[name], times[name], values[name], reads=len(costs), call_us=calls.get(name))
            for name in names
        ),
    )


def rate_of(
    quantity: str,
    title: str,
    times_ns: Sequence[int],
    values: Sequence[float],
    *,
    reads: int,
    call_us: float | None = None,
) -> QuantityRate:
    """The rate of changes in readings: from the first change seen to the last, so that the wait before the first one
    does not count. `reads`: how often the source was read, whether or not it gave this quantity each time."""
    changed = [
        t for t, (before, after) in zip(times_ns[1:], itertools.pairwise(values), strict=False) if before != after
    ]
    count = len(changed)
    hertz = None
    if count >= LEAST_CHANGES and changed[-1] > changed[0]:
        hertz = (count - 1) / ((changed[-1] - changed[0]) / 1e9)
    every = count >= LEAST_CHANGES and count >= EVERY_READING * (reads - 1)
    return QuantityRate(
        quantity=quantity, title=title, changes=count, updates_hz=hertz, at_least=every, call_us=call_us
    )


def _call_us(read: Callable[[], float]) -> float | None:
    """Median of some calls, None where the driver refuses one."""
    costs = []
    for _ in range(_CALLS):
        before_ns = time.perf_counter_ns()
        try:
            read()
        except Exception:  # noqa: BLE001  # NVML's errors have no common type that exists without the library
            return None
        costs.append(time.perf_counter_ns() - before_ns)
    return statistics.median(costs) / 1e3


@contextlib.contextmanager
def _busy_process() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _BUSY], stdin=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _order() -> TrialOrder:
    """What sources are opened with: only the device and the rate count."""
    return TrialOrder(
        trial="instruments",
        experiment="",
        store="",
        configuration="",
        title="",
        block=0,
        position=0,
        total=1,
        seed=0,
        experiment_title="",
        model=ModelOrder(ref="", title="", kind="random"),
    )


def _order_period_s() -> float:
    return 1 / _order().telemetry.rate_hz
