"""One trial's data for charts: live, finished and remote trials behind one interface.

`TrialData` grows by `take(record)`; the same records come live from the follower or from the store
(`workbench.store.records.replay`). Plain numpy, no Qt; owned by one thread (the window's main thread, or a command).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from engines.protocol.records import Log, Record, Sensor, TrialEnded

Floats = npt.NDArray[np.float64]


class Channel:
    """An append-only series of (seconds since trial start, value) with amortised growth; NaN marks a failed reading.

    `times` and `values` are views of what has been appended, shape (n,), never copied by reading them.
    """

    def __init__(self, key: str, title: str, unit: str) -> None:
        self.key = key
        self.title = title
        self.unit = unit
        self._times = np.empty(1024)
        self._values = np.empty(1024)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def times(self) -> Floats:
        return self._times[: self._count]

    @property
    def values(self) -> Floats:
        return self._values[: self._count]

    def extend(self, times: Floats, values: Floats) -> None:
        """Append equally long arrays; times must not fall."""
        end = self._count + len(times)
        if end > len(self._times):
            capacity = max(end, 2 * len(self._times))
            self._times = np.concatenate([self.times, np.empty(capacity - self._count)])
            self._values = np.concatenate([self.values, np.empty(capacity - self._count)])
        self._times[self._count : end] = times
        self._values[self._count : end] = values
        self._count = end


@dataclass(frozen=True)
class Phase:
    """A span of the trial in seconds since its start; `end_s` is None while it lasts."""

    name: str
    index: int
    start_s: float
    end_s: float | None


@dataclass
class TrialData:
    """Everything a chart, the log and the sensor list of one trial show."""

    trial: str
    title: str
    color: int = 0
    channels: dict[str, Channel] = field(default_factory=dict)
    """By key: "throughput" (tokens/s), "gap" (s), and "SOURCE/QUANTITY" of telemetry in base units."""
    phases: list[Phase] = field(default_factory=list)
    log: list[Log] = field(default_factory=list)
    sensors: tuple[Sensor, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    ended: TrialEnded | None = None
    start_ns: int | None = None
    """Monotonic time of the machine under test at t = 0."""
    revision: int = 0
    """Rises with every record taken: a view repaints when it differs."""

    def take(self, record: Record) -> None:
        """Add one record. Unknown kinds are ignored. Records of the same seq taken twice count once."""
        raise NotImplementedError
