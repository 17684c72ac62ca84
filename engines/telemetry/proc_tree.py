"""Memory and processor time of the worker and everything it started, from /proc. Runs in the sampler's thread.

Two sources of the same name: `ProcTree` at the trial's rate, `ProcTreeDetails` about once a second for what costs
more to read. Files stay open between readings; the tree itself is looked up once a second, so a child that lives
for less shows only in the processor time of the parent that waited for it.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engines.protocol.records import Sensor
from engines.telemetry.base import Reading, SharedPages, SourceEnded
from engines.telemetry.procfs import (
    TICKS_PER_SECOND,
    KeptFile,
    parse_involuntary_switches,
    parse_kilobytes,
    parse_pids,
    parse_process_stat,
    read_once,
)

NAME = "proc.tree"
PROC = Path("/proc")
_LOOK_UP_PERIOD_S = 1.0
_DETAILS_PERIOD_S = 1.0
_DETAILS_PERIOD_MAX_S = 4.0
"""A measured window of 5 s holds a reading even of the largest process."""
_DETAILS_SHARE = 0.003
"""What the details may cost, of one core, before they are read less often: walking a process's page tables takes
about 12 ms a GiB."""
_TWO_TICKS_S = 2 / TICKS_PER_SECOND

Clock = Callable[[], float]


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def processor_clock(pid: int) -> Clock | None:
    """A process's own processor time in seconds, to the nanosecond (clock_getcpuclockid(3)); None without one.

    /proc/PID/stat counts in ticks of 10 ms, a tenth of a reading at 10 Hz; this clock is exact and cheaper.
    """
    clock_id = ctypes.c_int()
    if _c_library().clock_getcpuclockid(pid, ctypes.byref(clock_id)) != 0:
        return None
    number = clock_id.value
    return lambda: time.clock_gettime(number)


@dataclass(slots=True)
class _Process:
    pid: int
    parent: int
    stat: KeptFile
    clock: Clock | None
    own_s: float = 0.0
    reaped_s: float = 0.0
    awaited_s: float = 0.0
    """Time of children that are gone and should now appear in `reaped_s`."""


class ProcTree:
    """Resident memory, processor time and threads of the worker's process tree."""

    name = NAME
    disturbs = False

    def __init__(
        self,
        worker_pid: int,
        period_s: float,
        *,
        proc: Path = PROC,
        processor_clock: Callable[[int], Clock | None] = processor_clock,
    ) -> None:
        """Raises `SourceEnded` when there is no such process."""
        self.period_s = period_s
        self._proc = proc
        self._clock_of = processor_clock
        self._worker = worker_pid
        self._members: dict[int, _Process] = {}
        self._departed_s = 0.0
        self._cpu_s = 0.0
        self._read_ns: int | None = None
        self._looked_up_ns = 0
        self._lists_children = (proc / str(worker_pid) / "task" / str(worker_pid) / "children").exists()
        if not self._add(worker_pid, parent=0):
            raise SourceEnded(f"process {worker_pid} is gone")

    @property
    def cpu_seconds(self) -> float:
        """Processor time (s) at the last reading."""
        return self._cpu_s

    @property
    def pids(self) -> tuple[int, ...]:
        """Living processes of the tree, the worker first, as of the last reading."""
        return tuple(self._members)

    def sensors(self) -> tuple[Sensor, ...]:
        return sensors_of_tree(1 / self.period_s, lists_children=self._lists_children)

    def read(self) -> Reading:
        now_ns = time.monotonic_ns()
        if self._lists_children and now_ns - self._looked_up_ns >= _LOOK_UP_PERIOD_S * 1e9:
            self._look_up()
            self._looked_up_ns = now_ns
        rss = threads = 0
        # Children before parents: the time of one that is gone is then already in what its parent has reaped.
        for process in reversed(tuple(self._members.values())):
            try:
                stat = parse_process_stat(process.stat.read())
                own_s = stat.own_s if process.clock is None else process.clock()
            except OSError:
                self._remove(process)
                continue
            if process.pid == self._worker:
                if stat.state in "ZX" or stat.ends:
                    raise SourceEnded("the worker has ended")
                if stat.rss_bytes == 0:  # between two programs: a plainly started worker becomes its interpreter
                    return {}
            rss += stat.rss_bytes
            threads += stat.threads
            self._settle(process, stat.reaped_s)
            process.own_s = own_s
        if self._worker not in self._members:
            raise SourceEnded("the worker has ended")
        return self._reading(rss, threads)

    def _reading(self, rss: int, threads: int) -> Reading:
        now_ns = time.monotonic_ns()
        before_s = self._cpu_s
        # A child reaped between two reads of one pass counts twice in it: the next pass is right and must not go back.
        self._cpu_s = max(before_s, self._departed_s + sum(p.own_s + p.reaped_s for p in self._members.values()))
        reading: Reading = {"rss_bytes": rss, "cpu_seconds": self._cpu_s, "threads_count": threads}
        if self._read_ns is not None and now_ns > self._read_ns:
            reading["cpu_utilisation_ratio"] = (self._cpu_s - before_s) / ((now_ns - self._read_ns) / 1e9)
        self._read_ns = now_ns
        return reading

    def _settle(self, process: _Process, reaped_s: float) -> None:
        """Take over what a process has reaped; time of its children that nobody waited for is kept apart."""
        if process.awaited_s:
            arrived_s = reaped_s - process.reaped_s
            if arrived_s + _TWO_TICKS_S < process.awaited_s:
                self._departed_s += process.awaited_s - arrived_s
            process.awaited_s = 0.0
        process.reaped_s = reaped_s

    def _remove(self, process: _Process) -> None:
        del self._members[process.pid]
        process.stat.close()
        total_s = process.own_s + process.reaped_s
        parent = self._members.get(process.parent)
        if parent is None:
            self._departed_s += total_s
        else:
            parent.awaited_s += total_s

    def _add(self, pid: int, parent: int) -> bool:
        try:
            stat = KeptFile(self._proc / str(pid) / "stat", 1024)
        except OSError:
            return False
        self._members[pid] = _Process(pid, parent, stat, self._clock_of(pid))
        return True

    def _look_up(self) -> None:
        """Find processes started since. Every thread keeps a list of the children that it started itself."""
        waiting = list(self._members)
        while waiting:
            pid = waiting.pop()
            for child in _children(self._proc, pid):
                if child not in self._members and self._add(child, pid):
                    waiting.append(child)

    def close(self) -> None:
        for process in self._members.values():
            process.stat.close()
        self._members.clear()


class ProcTreeDetails:
    """Proportional memory, swap and lost processor turns of a `ProcTree`, once a second or less often."""

    name = NAME
    disturbs = False

    def __init__(self, tree: ProcTree, *, shared: SharedPages | None = None, proc: Path = PROC) -> None:
        """`shared`: the template, for a forked worker. What its proportional share has lost since the fork counts as
        the worker's, so that a forked and a plainly started worker show the same memory."""
        self.period_s = _DETAILS_PERIOD_S
        self._shared = shared
        self._tree = tree
        self._proc = proc
        self._switches: dict[tuple[int, int], int] = {}
        self._reason = maps_obstacle(proc, tree.pids[0])

    def sensors(self) -> tuple[Sensor, ...]:
        return sensors_of_details(self._reason, forked=self._shared is not None)

    def read(self) -> Reading:
        started_s = time.thread_time()
        reading: Reading = {}
        pids = self._tree.pids
        if not pids:
            raise SourceEnded("the worker has ended")
        if not self._reason:
            reading.update(self._memory(pids))
        reading["involuntary_switches_count"] = self._involuntary(pids)
        cost_s = time.thread_time() - started_s
        self.period_s = min(_DETAILS_PERIOD_MAX_S, max(_DETAILS_PERIOD_S, cost_s / _DETAILS_SHARE))
        return reading

    def _memory(self, pids: Iterable[int]) -> Reading:
        pss = swap = 0
        seen = False
        for pid in pids:
            try:
                # Opened anew each time: an open smaps_rollup stays with the memory a process had before its exec.
                text = read_once(f"{self._proc}/{pid}/smaps_rollup")
            except OSError:  # it ended since the tree was read
                continue
            if not text:
                continue
            pss += parse_kilobytes(text, b"Pss", "smaps_rollup")
            swap += parse_kilobytes(text, b"Swap", "smaps_rollup")
            seen = True
        return {"pss_bytes": pss + self._lent_bytes(), "swap_bytes": swap} if seen else {}

    def _lent_bytes(self) -> int:
        """What the template's share has become less by since the fork; 0 once it is gone and shares nothing more."""
        if self._shared is None:
            return 0
        try:
            text = read_once(f"{self._proc}/{self._shared.pid}/smaps_rollup")
            return max(0, self._shared.pss_bytes - parse_kilobytes(text, b"Pss", "smaps_rollup"))
        except (OSError, ValueError):
            return 0

    def _involuntary(self, pids: Iterable[int]) -> int:
        """Sum over every thread ever seen: what a thread counted is not lost with the thread."""
        for pid in pids:
            for task in _threads(self._proc, pid):
                try:
                    text = read_once(f"{self._proc}/{pid}/task/{task}/status")
                except OSError:
                    continue
                self._switches[pid, int(task)] = parse_involuntary_switches(text)
        return sum(self._switches.values())

    def close(self) -> None:
        self._switches.clear()


def _threads(proc: Path, pid: int) -> list[str]:
    try:
        return os.listdir(f"{proc}/{pid}/task")  # noqa: PTH208 (names only; iterdir builds a Path for each)
    except OSError:
        return []


def _children(proc: Path, pid: int) -> Iterable[int]:
    for task in _threads(proc, pid):
        try:
            yield from parse_pids(read_once(f"{proc}/{pid}/task/{task}/children", 1 << 16))
        except OSError:
            continue


def maps_obstacle(proc: Path, pid: int) -> str:
    """Why the proportional set size of a process cannot be read, "" when it can."""
    try:
        (proc / str(pid) / "smaps_rollup").read_bytes()
    except FileNotFoundError:
        return "This kernel has no /proc/PID/smaps_rollup (it came with Linux 4.14)."
    except PermissionError:
        return "This system does not let one process read another's memory map."
    except OSError as error:
        return f"/proc/PID/smaps_rollup cannot be read: {error.strerror}."
    return ""


def sensors_of_tree(rate_hz: float, *, lists_children: bool = True) -> tuple[Sensor, ...]:
    whose = "the worker and all it started" if lists_children else "the worker alone: this kernel lists no children"

    def sensor(quantity: str, title: str, method: str) -> Sensor:
        return Sensor(source=NAME, quantity=quantity, title=title, method=f"{method}; {whose}", rate_hz=rate_hz)

    return (
        sensor("rss_bytes", "Resident memory", "/proc/PID/stat, pages in memory; shared pages count in every process"),
        sensor("cpu_utilisation_ratio", "Processor use", "processor time since the last reading, 1.0 = one core"),
        sensor("cpu_seconds", "Processor time", "CPU clock of each process (ns), plus reaped children (10 ms ticks)"),
        sensor("threads_count", "Threads", "/proc/PID/stat"),
    )


def sensors_of_details(reason: str, *, forked: bool = False) -> tuple[Sensor, ...]:
    """`reason`: why the memory map cannot be read, "" when it can. `forked`: from a template, whose pages count."""
    users = "shared pages divided by their users"
    if forked:
        users += "; those shared with the template process count as the worker's"

    def mapped(quantity: str, title: str, method: str) -> Sensor:
        return Sensor(
            source=NAME,
            quantity=quantity,
            title=title,
            method=f"{method}; for large processes less often, every {_DETAILS_PERIOD_MAX_S:g} s at the least",
            rate_hz=1 / _DETAILS_PERIOD_S,
            available=not reason,
            reason=reason,
            hint="Resident memory is still measured." if reason else "",
        )

    return (
        mapped("pss_bytes", "Proportional memory", f"/proc/PID/smaps_rollup, {users}"),
        mapped("swap_bytes", "Memory in swap", "/proc/PID/smaps_rollup"),
        Sensor(
            source=NAME,
            quantity="involuntary_switches_count",
            title="Involuntary context switches",
            method="/proc/PID/task/TID/status, all threads seen, since they started",
            rate_hz=1 / _DETAILS_PERIOD_S,
        ),
    )
