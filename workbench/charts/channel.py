"""An append-only series of a trial, for charts. Plain numpy; owned by one thread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Channel:
    """An append-only series of (seconds since trial start, value) with amortised growth; NaN marks a failed reading.

    `times` and `values` are views of what has been appended, shape (n,), never copied by reading them.
    """

    def __init__(self, key: str, title: str, unit: str) -> None:
        self.key = key
        self.title = title
        self.unit = unit
        self.rewrites = 0
        """Rises when points that could be seen before were taken back (see `truncate`)."""
        self._times = np.empty(1024)
        self._values = np.empty(1024)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_read(self) -> bool:
        """Whether a sensor is read at a rate ("SOURCE/QUANTITY"): a long silence means that nothing was read."""
        return "/" in self.key

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

    def truncate(self, count: int) -> None:
        """Keep the first `count` points: the others were provisional and come again, corrected. Rare."""
        if count < self._count:
            self._count = count
            self.rewrites += 1
