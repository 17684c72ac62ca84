"""Which processors a worker gets, and how many threads. The runner starts workers by it, the probe tells it.

One core stays free for the runner and the rest of the machine: a neighbour that uses a tenth of a core costs a
two-thread worker 7 %. A core is a physical one where the system tells: two threads of one core share its units.
Pure reads; any thread.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

SYS = Path("/sys")


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


def processors_here(among: Collection[int] = ()) -> set[int]:
    """Those that this process may use, of `among` where it may use any of these."""
    own = os.sched_getaffinity(0)
    return own.intersection(among) or own


def cores_here(sys: Path = SYS, among: Collection[int] = ()) -> dict[int, str]:
    """The physical core of every processor that may be used; the processor itself where that is unknown."""
    return {p: _core(p, sys) for p in processors_here(among)}


def _core(processor: int, sys: Path) -> str:
    folder = sys / f"devices/system/cpu/cpu{processor}/topology"
    try:
        return (folder / "thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(processor)
