"""Processor time of a process as the kernel counts it, in nanoseconds over all of its threads. Linux; any thread."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")


def processor_seconds(pid: int, proc: Path = PROC) -> float:
    """Of every thread that lives, so far (/proc/PID/task/TID/schedstat). Raises OSError where there is no such process.

    A thread that ends takes its time with it: read again within the life of the threads that matter."""
    total = 0
    for task in (proc / str(pid) / "task").iterdir():
        try:
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        except (FileNotFoundError, ProcessLookupError):  # it ended since the folder was read, or while it was opened
            continue
    return total / 1e9
