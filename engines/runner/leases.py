"""Which waiting trials may start beside those that run. Pure functions.

A trial on "cpu" measures the whole machine and shares it with nobody. Trials on different GPUs run side by side. Nobody
overtakes a processor trial that waits, or a stream of GPU trials would keep it waiting for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

CPU = "cpu"


def startable(waiting: Sequence[str], running: Iterable[str]) -> list[int]:
    """Indices into `waiting` (device ids in queue order) of the trials that may start now, given the devices leased."""
    leased = set(running)
    chosen: list[int] = []
    for index, device in enumerate(waiting):
        if CPU in leased:
            break
        if device == CPU:
            if not leased:
                leased.add(CPU)
                chosen.append(index)
            break
        if device not in leased:
            leased.add(device)
            chosen.append(index)
    return chosen
