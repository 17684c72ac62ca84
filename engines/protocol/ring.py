"""The memory-mapped ring of token stamps: what the worker's timed loop writes and the runner reads from outside.

A file of a 64-byte header (eight int64: magic, version, capacity, stamps written, four spare) and `capacity` int64
stamps (monotonic nanoseconds). The runner creates it, the worker maps and writes it, the runner maps and reads it; the
pages belong to the file, so the stamps survive a killed worker and a killed runner. The space is reserved when the file
is made: on a full disk `create_ring` fails, instead of the worker dying of SIGBUS in the timed loop.

A full ring is counted, not fatal: stamps beyond the capacity are not kept, `written` still rises, and `lost` says how
many. One writer, any number of readers. The stamp is stored before the count; a reader also stops at a stamp that is
still zero, so that a processor which reorders stores cannot hand out a time that was never taken.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from time import monotonic_ns

from engines.protocol.orders import Inference, TrialOrder

MAGIC = int.from_bytes(b"LLMWRING", "little")
VERSION = 1
HEADER_BYTES = 64
STAMP_BYTES = 8

_MAGIC, _VERSION, _CAPACITY, _WRITTEN = range(4)
_HEADER_WORDS = HEADER_BYTES // STAMP_BYTES
_LEAST = 1 << 16
_MOST = 1 << 23
_FASTEST_STEPS_PER_S = 5_000
"""Decode steps a second that no model we run exceeds; sizes the ring for windows given in seconds."""


class BadRing(ValueError):
    """The file is not a ring, or was cut short."""


def capacity_for(order: TrialOrder) -> int:
    """Stamps that a trial of this order can need: warm-up and measured requests, or its window at a very fast rate."""
    workload = order.workload
    if not isinstance(workload, Inference):
        return _LEAST  # steps stamp nothing: each has a record
    requests = (workload.requests + workload.warmup_requests) * workload.new_tokens
    return min(_MOST, max(_LEAST, 2 * requests + int(workload.window_s * _FASTEST_STEPS_PER_S)))


def create_ring(path: Path, capacity: int) -> None:
    """Make an empty ring file of `capacity` stamps, its space reserved. Raises OSError (ENOSPC on a full disk)."""
    if capacity < 1:
        raise ValueError(f"a ring holds at least one stamp, not {capacity}")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, HEADER_BYTES + capacity * STAMP_BYTES)
        header = (MAGIC, VERSION, capacity, 0, 0, 0, 0, 0)
        os.pwrite(fd, b"".join(word.to_bytes(STAMP_BYTES, "little") for word in header), 0)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


class _Mapped:
    """A ring file in memory. Raises `BadRing`, OSError."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_size < HEADER_BYTES:
                raise BadRing(f"{path.name} is no ring: shorter than its header")
            self._map = mmap.mmap(fd, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        finally:
            os.close(fd)
        self._words = memoryview(self._map).cast("q")
        self.capacity = self._words[_CAPACITY]
        if self._words[_MAGIC] != MAGIC or self._words[_VERSION] != VERSION:
            self._unmap()
            raise BadRing(f"{path.name} is no ring of version {VERSION}")
        if not 0 < self.capacity <= len(self._words) - _HEADER_WORDS:
            self._unmap()
            raise BadRing(f"{path.name} was cut short")
        self._stamps = self._words[_HEADER_WORDS : _HEADER_WORDS + self.capacity]

    def _unmap(self) -> None:
        self._words.release()
        self._map.close()

    def close(self) -> None:
        """Unmap; the file stays. Closing twice does nothing."""
        if not self._map.closed:
            self._stamps.release()
            self._unmap()

    @property
    def lost(self) -> int:
        """Stamps that found the ring full."""
        return max(0, self._words[_WRITTEN] - self.capacity)


class RingWriter(_Mapped):
    """The worker's end. `stamp()` is all that the timed loop calls: a clock reading and two stores."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, writable=True)
        self.written = self._words[_WRITTEN]
        """Stamps so far, those that found the ring full included; the index the next stamp will have."""

    def stamp(self) -> None:
        """Note the time now. Allocates nothing that outlives the call."""
        now = monotonic_ns()
        written = self.written
        if written < self.capacity:
            self._stamps[written] = now
        self.written = written = written + 1
        self._words[_WRITTEN] = written

    def times(self, first: int, count: int) -> list[int]:
        """Stamps `first` .. `first + count - 1`, as far as they were written and kept."""
        return self._stamps[first : min(first + count, self.written, self.capacity)].tolist()

    def correct(self, first: int, times_ns: Sequence[int]) -> None:
        """Replace the stamps from `first` on with truer times (device events, resolved after the timed loop).
        Raises `ValueError` for stamps that were never written."""
        if first < 0 or first + len(times_ns) > min(self.written, self.capacity):
            raise ValueError(f"stamps {first} to {first + len(times_ns) - 1} were never written")
        for index, time_ns in enumerate(times_ns, first):
            self._stamps[index] = time_ns

    def touch(self) -> None:
        """Bring the unwritten part into memory before the timed loop, so that no stamp takes a page fault."""
        step = mmap.PAGESIZE // STAMP_BYTES
        for index in range(self.written, self.capacity, step):
            self._stamps[index] = 0


class RingReader(_Mapped):
    """The runner's end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, writable=False)

    @property
    def written(self) -> int:
        """Stamps the worker has made, those beyond the capacity included."""
        return self._words[_WRITTEN]

    def read(self, first: int) -> list[int]:
        """Stamps `first`, `first + 1`, ... that have been written since; [] when there are none."""
        end = min(self._words[_WRITTEN], self.capacity)
        if first >= end:
            return []
        times = self._stamps[first:end].tolist()
        return times[: times.index(0)] if 0 in times else times
