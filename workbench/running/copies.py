"""Models, prompts and data on their way to other machines: each once at a time, each can be stopped, and plans say how
far it is. Any thread.
"""

from __future__ import annotations

import threading

from engines.models.identity import Digests
from engines.protocol.places import Places
from workbench.machines.copying import CopyError, Parcel, copy
from workbench.machines.links import engines_on
from workbench.machines.machine import Machine
from workbench.models.fetching import Report


class Copies:
    """See the module."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], str] = {}
        """How far each is, in words; by machine and the words it was named by."""
        self._stopped: set[tuple[str, str]] = set()

    def how_far(self, machine: str, named: str) -> str:
        """ "Copying tiny to Lab: 1.2 GiB of 4.0 GiB"; "" where it is not being copied."""
        with self._lock:
            return self._under_way.get((machine, named), "")

    def stop(self, machine: str, named: str) -> None:
        """What has arrived is kept."""
        with self._lock:
            self._stopped.add((machine, named))

    def copy(self, machine: Machine, named: str, parcel: Parcel, report: Report) -> str:
        """-> its path there. Raises `CopyError`, `RunnerError`."""
        key = (machine.id, named)
        engines = engines_on(machine, self._places)
        with self._lock:
            if key in self._under_way:
                raise CopyError(f"{parcel.title} is being copied to {machine.title} already.", "Wait until that ends.")
            self._under_way[key] = f"Copying {parcel.title} to {machine.title}"
            self._stopped.discard(key)

        def tell(share: float | None, text: str) -> None:
            with self._lock:
                self._under_way[key] = text
                if key in self._stopped:
                    raise CopyError(
                        f"The copy of {parcel.title} to {machine.title} was stopped.",
                        "What has arrived is kept: copy it again, and it continues there.",
                    )
            report(share, text)

        try:
            return copy(parcel, engines, Digests(self._places.digests), machine.title, tell)
        finally:
            with self._lock:
                del self._under_way[key]
