"""Text of /proc and /sys to numbers, and files kept open between readings. Pure parsers; any thread.

Parsers take the bytes as the kernel wrote them and raise `ValueError` with the name of the file on anything else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class KeptFile:
    """A file of /proc or /sys read again and again from its start: opened once, one system call a reading."""

    def __init__(self, path: Path, size: int = 4096) -> None:
        """`size` bounds what is read (bytes). Raises `OSError`."""
        self._size = size
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        """Raises `OSError`; `ProcessLookupError` when the process behind the file is gone."""
        return os.pread(self._descriptor, self._size, 0)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_once(path: str, size: int = 4096) -> bytes:
    """The first `size` bytes of a file that is not kept open: a third of the cost of `Path.read_bytes`. `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


_EXITING = 0x4
"""PF_EXITING of the kernel's include/linux/sched.h, in the field `flags`."""


class ProcessStat(NamedTuple):
    """What is used of /proc/PID/stat. Times in seconds, with the resolution of a clock tick (10 ms)."""

    state: str
    parent: int
    own_s: float
    """User and system time of the process."""
    reaped_s: float
    """The same of its children that ended and were waited for."""
    threads: int
    start_ticks: int
    rss_bytes: int
    """0 also for the moment in which a process becomes another program (exec)."""
    ends: bool
    """It is being torn down (the kernel's PF_EXITING): its memory is going or gone, and it will run no more."""


def parse_process_stat(text: bytes) -> ProcessStat:
    """The command name is in parentheses and may hold spaces, parentheses and line breaks: cut at the last one."""
    end = text.rfind(b")")
    fields = text[end + 1 :].split(None, 22)
    if end < 0 or len(fields) < 22:
        raise ValueError("/proc/PID/stat is cut short")
    return ProcessStat(
        state=fields[0].decode("ascii", "replace"),
        parent=int(fields[1]),
        own_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND,
        reaped_s=(int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND,
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        rss_bytes=int(fields[21]) * PAGE_BYTES,
        ends=bool(int(fields[6]) & _EXITING),
    )


class HostTimes(NamedTuple):
    """First line of /proc/stat: seconds since boot, summed over the processors."""

    busy_s: float
    """user + nice + system + irq + softirq; guests are part of user and nice."""
    idle_s: float
    """idle + iowait."""
    steal_s: float
    """Time another virtual machine had the processor while this one wanted it."""

    @property
    def total_s(self) -> float:
        return self.busy_s + self.idle_s + self.steal_s


def parse_host_stat(text: bytes) -> HostTimes:
    end = text.find(b"\n")
    fields = text[: end if end >= 0 else len(text)].split(None, 9)
    if len(fields) < 9 or fields[0] != b"cpu":
        raise ValueError("/proc/stat does not begin with the line of all processors")
    user, nice, system, idle, iowait, irq, softirq, steal = (int(f) for f in fields[1:9])
    return HostTimes(
        busy_s=(user + nice + system + irq + softirq) / TICKS_PER_SECOND,
        idle_s=(idle + iowait) / TICKS_PER_SECOND,
        steal_s=steal / TICKS_PER_SECOND,
    )


def parse_kilobytes(text: bytes, label: bytes, file: str) -> int:
    """Bytes of the line `label: N kB` in meminfo, smaps_rollup or status."""
    key = label + b":"
    start = 0 if text.startswith(key) else text.find(b"\n" + key) + 1
    if start == 0 and not text.startswith(key):
        raise ValueError(f"{file} has no line {label.decode()}")
    fields = text[start + len(key) :].split(None, 2)
    if len(fields) < 2 or fields[1] != b"kB":
        raise ValueError(f"{file}: the line {label.decode()} is not in kB")
    return int(fields[0]) * 1024


def parse_pressure(text: bytes) -> float:
    """Seconds in which some task waited, since boot, from a file of /proc/pressure."""
    line = text.partition(b"\n")[0]
    head, _, total = line.rpartition(b"total=")
    if not head.startswith(b"some "):
        raise ValueError("/proc/pressure does not begin with its line 'some'")
    return int(total) / 1e6


_INVOLUNTARY = b"\nnonvoluntary_ctxt_switches:"


def parse_involuntary_switches(text: bytes) -> int:
    """Times the scheduler took the processor away from one thread, from /proc/PID/task/TID/status."""
    start = text.find(_INVOLUNTARY)
    words = text[start + len(_INVOLUNTARY) :].split(None, 1)
    if start < 0 or not words:
        raise ValueError("/proc/PID/task/TID/status has no line nonvoluntary_ctxt_switches")
    return int(words[0])


def parse_pids(text: bytes) -> tuple[int, ...]:
    """Process numbers of /proc/PID/task/TID/children."""
    return tuple(int(field) for field in text.split())
