"""Who else is using the processors right now. Blocks for a quarter of a second; any thread."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from engines.telemetry.proc_tree import processor_clock
from engines.telemetry.procfs import parse_process_stat, read_once

PROC = Path("/proc")
_THRESHOLD_CORES = 0.05
_INTERVAL_S = 0.25


@dataclass(frozen=True)
class Neighbour:
    """A process that is neither ours nor our child. `cores`: 1.0 is one core in full."""

    pid: int
    name: str
    cores: float


def busy_neighbours(*, interval_s: float = _INTERVAL_S, threshold_cores: float = _THRESHOLD_CORES) -> list[Neighbour]:
    """Processes using more than the threshold over the interval, busiest first; ours and our children's left out."""
    family = own_family()
    before = {pid: seconds for pid in _pids() if pid not in family and (seconds := _seconds(pid)) is not None}
    started = time.monotonic()
    time.sleep(interval_s)
    found = []
    for pid, earlier in before.items():
        now = _seconds(pid)
        if now is None:
            continue
        cores = (now - earlier) / (time.monotonic() - started)
        if cores > threshold_cores:
            found.append(Neighbour(pid=pid, name=_name(pid), cores=cores))
    return sorted(found, key=lambda neighbour: -neighbour.cores)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 (names only)


def _seconds(pid: int) -> float | None:
    """Processor time (s) to the nanosecond: ticks of 10 ms would be a sixth of the threshold's share."""
    clock = processor_clock(pid)
    try:
        return clock() if clock is not None else None
    except OSError:
        return None


def _name(pid: int) -> str:
    """The kernel's name of the process; its arguments may be private and are not stored."""
    try:
        return read_once(f"{PROC}/{pid}/comm", 64).decode("utf-8", "replace").strip()
    except OSError:
        return "ended"


def own_family() -> set[int]:
    """This process and what it started, found through each process's parent: one pass over all, once a trial."""
    parents: dict[int, int] = {}
    for other in _pids():
        try:
            parents[other] = parse_process_stat(read_once(f"{PROC}/{other}/stat", 1024)).parent
        except (OSError, ValueError):
            continue
    family = {os.getpid()}
    grown = True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return family
