"""How busy the whole machine is, and who else uses it, from /proc. Runs in the sampler's thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from engines.protocol.records import Sensor
from engines.telemetry.base import Reading
from engines.telemetry.procfs import HostTimes, KeptFile, parse_host_stat, parse_kilobytes, parse_pressure

NAME = "proc.host"
PROC = Path("/proc")
_FOREIGN_WINDOW_NS = 1_000_000_000
"""Others' use is a small difference of counters with 10 ms steps: taken over the last second, not over 100 ms."""
_FOREIGN_LEAST_NS = 400_000_000

LEAST_PERIOD_S = 0.5
"""The kernel counts this in steps of 10 ms: over half a second a core's use is known to 2 %, over a tenth to 10 %."""
DETAILS_PERIOD_S = 1.0

_PRESSURE = {"pressure_cpu_ratio": "cpu", "pressure_memory_ratio": "memory"}


class ProcHost:
    """Machine-wide processor use, steal, and the cores that others use."""

    name = NAME
    disturbs = False

    def __init__(
        self,
        period_s: float,
        *,
        tree_seconds: Callable[[], float] = lambda: 0.0,
        own_seconds: Callable[[], float] = time.process_time,
        proc: Path = PROC,
    ) -> None:
        """`period_s`: of the fastest source, of which this one takes a multiple (`period_of`). `tree_seconds` and
        `own_seconds` are the processor time (s) so far of the worker's tree and of this process: neither is foreign.
        Raises `OSError` where there is no /proc/stat."""
        self.period_s = period_of(period_s)
        self._tree_seconds = tree_seconds
        self._own_seconds = own_seconds
        self._stat = KeptFile(proc / "stat", 512)
        self._times: HostTimes | None = None
        self._history: deque[tuple[int, float]] = deque()

    def sensors(self) -> tuple[Sensor, ...]:
        return sensors_of_use(1 / self.period_s)

    def read(self) -> Reading:
        now_ns = time.monotonic_ns()
        times = parse_host_stat(self._stat.read())
        reading: Reading = {}
        before, self._times = self._times, times
        if before is not None and times.total_s > before.total_s:
            span_s = times.total_s - before.total_s
            reading["cpu_utilisation_ratio"] = _share(times.busy_s - before.busy_s, span_s)
            reading["steal_ratio"] = _share(times.steal_s - before.steal_s, span_s)
        foreign = self._foreign_cores(now_ns, times.busy_s)
        if foreign is not None:
            reading["foreign_cpu_ratio"] = foreign
        return reading

    def _foreign_cores(self, now_ns: int, busy_s: float) -> float | None:
        """Cores in use by neither the worker nor us over the last second; None until two fifths of one are known."""
        others_s = busy_s - self._tree_seconds() - self._own_seconds()
        self._history.append((now_ns, others_s))
        while len(self._history) > 2 and now_ns - self._history[1][0] >= _FOREIGN_WINDOW_NS:
            self._history.popleft()
        first_ns, first_s = self._history[0]
        if now_ns - first_ns < _FOREIGN_LEAST_NS:
            return None
        return max(0.0, (others_s - first_s) / ((now_ns - first_ns) / 1e9))

    def close(self) -> None:
        self._stat.close()


class ProcHostDetails:
    """Memory left and pressure, once a second: every file costs 0.08 ms to read when the processor has slept before."""

    name = NAME
    disturbs = False

    def __init__(self, *, proc: Path = PROC) -> None:
        """Raises `OSError` where there is no /proc/meminfo."""
        self.period_s = DETAILS_PERIOD_S
        self._meminfo = KeptFile(proc / "meminfo")
        self._sensors = sensors_of_details(proc)
        self._pressure = {
            sensor.quantity: KeptFile(proc / "pressure" / _PRESSURE[sensor.quantity], 256)
            for sensor in self._sensors
            if sensor.available and sensor.quantity in _PRESSURE
        }
        self._stalled: dict[str, tuple[int, float]] = {}

    def sensors(self) -> tuple[Sensor, ...]:
        return self._sensors

    def read(self) -> Reading:
        reading: Reading = {
            "memory_available_bytes": parse_kilobytes(self._meminfo.read(), b"MemAvailable", "/proc/meminfo"),
        }
        for quantity, file in self._pressure.items():
            stalled_s = parse_pressure(file.read())
            earlier = self._stalled.get(quantity)
            at_ns = time.monotonic_ns()
            self._stalled[quantity] = (at_ns, stalled_s)
            if earlier is not None and at_ns > earlier[0]:
                reading[quantity] = _share(stalled_s - earlier[1], (at_ns - earlier[0]) / 1e9)
        return reading

    def close(self) -> None:
        for file in (self._meminfo, *self._pressure.values()):
            file.close()


def period_of(fastest_s: float) -> float:
    """Seconds between readings: half a second or more, on the grid of the fastest source, so that nothing wakes up for
    this one alone."""
    return fastest_s * max(1, round(LEAST_PERIOD_S / fastest_s))


def _share(part: float, whole: float) -> float:
    """Within 0..1: the kernel's counters of idle and steal may step back by a tick."""
    return min(1.0, max(0.0, part / whole))


def _pressure_obstacle(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            parse_pressure(stream.read(256))
    except FileNotFoundError:
        return "This kernel does not measure pressure (no /proc/pressure)."
    except OSError as error:
        return f"Pressure is switched off or closed to this user ({error.strerror})."
    except ValueError as error:
        return f"{error}."
    return ""


def sensors_of_use(rate_hz: float) -> tuple[Sensor, ...]:
    """What `ProcHost` reads."""

    def sensor(quantity: str, title: str, method: str) -> Sensor:
        return Sensor(source=NAME, quantity=quantity, title=title, method=method, rate_hz=rate_hz)

    return (
        sensor("cpu_utilisation_ratio", "Processor use of the machine", "/proc/stat, 1.0 = all cores busy"),
        sensor("steal_ratio", "Stolen processor time", "/proc/stat, share of all cores' time"),
        sensor(
            "foreign_cpu_ratio",
            "Cores used by others",
            "busy time of the machine less the worker's tree and the runner, over the last second, 1.0 = one core",
        ),
    )


def sensors_of_details(proc: Path = PROC) -> tuple[Sensor, ...]:
    """What `ProcHostDetails` reads."""
    rate_hz = 1 / DETAILS_PERIOD_S

    def pressure(quantity: str, title: str) -> Sensor:
        reason = _pressure_obstacle(proc / "pressure" / _PRESSURE[quantity])
        return Sensor(
            source=NAME,
            quantity=quantity,
            title=title,
            method=f"/proc/pressure/{_PRESSURE[quantity]}, share of time in which some task waited",
            rate_hz=rate_hz,
            available=not reason,
            reason=reason,
            hint="Start Linux with psi=1 (kernel 4.20 or newer)." if reason else "",
        )

    return (
        Sensor(
            source=NAME,
            quantity="memory_available_bytes",
            title="Memory left",
            method="/proc/meminfo MemAvailable, of the whole machine",
            rate_hz=rate_hz,
        ),
        pressure("pressure_cpu_ratio", "Waiting for a processor"),
        pressure("pressure_memory_ratio", "Waiting for memory"),
    )
