"""The machine's instruments, measured: its clock, the cost of a token's stamp, its sensors' rates.

Takes some seconds for each sensor and keeps a core busy meanwhile: run it in a process of its own
(`python -m engines instruments`), while no trial runs. Imports none of the engines' libraries.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engines.protocol.instruments import ClockFigures, Instruments
from engines.protocol.ring import RingWriter, create_ring
from engines.telemetry.rates import sensor_rates

BATCHES = 200
CALLS = 1000
_STEPS = 100_000
_CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


def instruments(seconds: float) -> Instruments:
    """`seconds`: how long each sensor is watched."""
    return Instruments(clock=clock_figures(), sources=sensor_rates(seconds))


def clock_figures() -> ClockFigures:
    """Of the clock that trials use, and of the ring that the timed loop writes. Half a second. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="llm-workbench-") as folder:
        path = Path(folder) / "ring"
        create_ring(path, BATCHES * CALLS)
        ring = RingWriter(path)
        ring.touch()
        try:
            stamp_ns = cost_ns(ring.stamp)
        finally:
            ring.close()
    return ClockFigures(
        name=_clock_source(),
        resolution_ns=time.get_clock_info("monotonic").resolution * 1e9,
        step_ns=smallest_step_ns(),
        read_ns=cost_ns(time.monotonic_ns),
        stamp_ns=stamp_ns,
    )


def cost_ns(call: Callable[[], object], batches: int = BATCHES, calls: int = CALLS) -> float:
    """One call as a loop pays it: median over batches, the turn of the loop included (some 10 ns)."""
    return statistics.median(_batch_ns(call, calls) for _ in range(batches)) / calls


def _batch_ns(call: Callable[[], object], calls: int) -> int:
    before = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return time.perf_counter_ns() - before


def smallest_step_ns(readings: int = _STEPS) -> int:
    """Between two readings of the monotonic clock that differ."""
    smallest = 0
    before = time.monotonic_ns()
    for _ in range(readings):
        now = time.monotonic_ns()
        if now != before:
            smallest = min(smallest or now - before, now - before)
        before = now
    return smallest


def _clock_source() -> str:
    try:
        return _CLOCK_SOURCE.read_text(encoding="ascii").strip()
    except OSError:
        return ""
