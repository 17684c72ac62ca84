"""Which processors a worker gets, and how many threads.

One core stays free for the runner and the rest of the machine: a neighbour that uses a tenth of a core costs a
two-thread worker 7 %. A core is a physical one where the system tells: two threads of one core share its units.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.machine import usable_cores

_CPU_FOLDER = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Share:
    """A worker's share of the machine."""

    threads: int
    processors: tuple[int, ...]


def share_for(wanted: int, core_of: Mapping[int, str], quota: int | None = None) -> Share:
    """`wanted` threads on every processor, or, for 0, one core fewer than there are and at least one.

    `core_of`: the physical core of every processor that may be used. `quota`: cores' worth of time that control
    groups give, which counts where it is less than the cores there are.
    """
    processors = tuple(sorted(core_of))
    if wanted > 0:
        return Share(wanted, processors)
    cores = {core_of[p]: p for p in reversed(processors)}
    if len(cores) == 1:  # one core with two threads, or one processor: leave out what there is to leave out
        kept = processors[1:] or processors
        return Share(len(kept), kept)
    first = core_of[processors[0]]
    kept = tuple(p for p in processors if core_of[p] != first)
    threads = len(cores) - 1
    if quota is not None and quota < len(cores):
        threads = max(1, quota - 1)
    return Share(threads, kept)


def share_here(wanted: int) -> Share:
    """`share_for` on this machine."""
    return share_for(wanted, {p: _core(p) for p in os.sched_getaffinity(0)}, usable_cores())


def _core(processor: int) -> str:
    try:
        return (_CPU_FOLDER / f"cpu{processor}/topology/thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(processor)
