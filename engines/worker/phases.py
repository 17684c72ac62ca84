"""Named spans of a trial, with the memory peak and the processor time of each. Main thread of the worker process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engines.protocol.records import MemoryPeak, PhaseEnded, PhaseName, PhaseStarted
from engines.telemetry.procfs import parse_kilobytes
from engines.worker.record_writer import RecordWriter

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""
_RESET_PEAK = "5"
"""Written to clear_refs: resets the high-water mark of the resident set (proc(5)) without touching any page."""


def reset_resident_peak() -> bool:
    """Start a new high-water mark of this process's resident set; False where the kernel does not let us, and the
    mark is then one of the whole life."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def resident_peak_bytes() -> int:
    """High-water mark of this process's resident set (bytes), as `reset_resident_peak` resets it. getrusage's figure is
    no substitute where it can be helped: Linux lets it keep, across an exec, what the starting process had taken."""
    with contextlib.suppress(OSError, ValueError):
        return parse_kilobytes(_STATUS.read_bytes(), b"VmHWM", str(_STATUS))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def memory_given_back() -> Iterator[None]:
    """What the body frees goes back to the system: before it ends, and without leaving holes.

    glibc serves blocks of up to 32 MiB from its heap once a block of that size was freed. A 135M model that is loaded
    in float32 and quantised layer by layer leaves holes of 120 to 520 MiB, by chance, which later requests fill or do
    not: memory then differs by 20 % between trials. Within the body large blocks have pages of their own; after it the
    limits are those that glibc comes to by itself, so that a request's blocks are reused and not fetched anew.
    """
    library = ctypes.CDLL(None)
    adjust, trim = getattr(library, "mallopt", None), getattr(library, "malloc_trim", None)  # glibc's; others keep less
    if adjust is None or trim is None:
        yield
        return
    adjust(_M_MMAP_THRESHOLD, 1 << 20)
    try:
        yield
    finally:
        gc.collect()
        adjust(_M_MMAP_THRESHOLD, 32 << 20)
        adjust(_M_TRIM_THRESHOLD, 64 << 20)
        trim(0)


class AllocatorPeaks:
    """A device allocator's peak; this one has none. An engine on a GPU gives its own."""

    def reset(self) -> None:
        """Start a new peak."""

    def peak_bytes(self) -> int | None:
        """Peak since `reset` (bytes), or None without such an allocator."""
        return None


class Phases:
    """Opens and closes spans. `allocator` may be replaced once an engine with a device allocator is there."""

    def __init__(self, channel: RecordWriter, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._channel = channel
        self._now_ns = now_ns
        self.allocator = AllocatorPeaks()

    @contextmanager
    def phase(self, name: PhaseName, start_ns: int | None = None, index: int = 0) -> Iterator[None]:
        """A span around the body, closed also when the body raises. `start_ns` dates it back."""
        start = self._now_ns() if start_ns is None else start_ns
        self._channel.send(PhaseStarted(t_ns=start, name=name, index=index))
        reset_resident_peak()
        self.allocator.reset()
        before_ns = time.process_time_ns()
        try:
            yield
        finally:
            spent_ns = time.process_time_ns() - before_ns
            end = self._now_ns()
            self._channel.send(MemoryPeak(t_ns=end, phase=name, source="rusage", peak_bytes=resident_peak_bytes()))
            allocated = self.allocator.peak_bytes()
            if allocated is not None:
                self._channel.send(MemoryPeak(t_ns=end, phase=name, source="allocator", peak_bytes=allocated))
            self._channel.send(PhaseEnded(t_ns=end, name=name, index=index, start_ns=start, cpu_seconds=spent_ns / 1e9))

    def span(self, name: PhaseName, index: int, start_ns: int, end_ns: int) -> None:
        """A span that is already over: told after a timed loop, never within it."""
        self._channel.send(PhaseStarted(t_ns=start_ns, name=name, index=index))
        self._channel.send(PhaseEnded(t_ns=end_ns, name=name, index=index, start_ns=start_ns))


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No garbage collection but the calls to `collect_between`: what exists is set aside, so that those are short."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def collect_between() -> None:
    """Free the cycles of the last request (a cache may hang in one), between requests and never within one."""
    gc.collect()
