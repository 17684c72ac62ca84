"""Which waiting trials may start beside those that run. Pure functions.

A trial on "cpu" measures the whole machine and shares it with nobody. Trials on different GPUs run side by side. A
trial that needs several devices starts when all of them are free, and holds none before; nobody behind it starts on one
of them meanwhile. Nobody overtakes a processor trial that waits, or a stream of GPU trials would keep it waiting for
ever.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

CPU = "cpu"


def startable(waiting: Sequence[Collection[str]], running: Iterable[Collection[str]]) -> list[int]:
    """Indices into `waiting` (the devices of each trial, in queue order) of those that may start now, given the devices
    of those that run."""
    taken = {device for devices in running for device in devices}
    chosen: list[int] = []
    for index, devices in enumerate(waiting):
        if CPU in taken:
            break
        if taken.isdisjoint(devices) and not (CPU in devices and taken):
            chosen.append(index)
        elif CPU in devices:
            break
        taken.update(devices)
    return chosen
