"""Minimum and maximum of long series per pixel column, kept up to date as samples arrive. Plain numpy, no Qt.

A `Pyramid` is a binary tree over an append-only series: a node of level k holds the places of the smallest and the
largest of 2**k samples. Appending n samples costs O(n); drawing any range costs O(columns * log(samples per column)),
however long the series is. Every drawn point is a real sample. NaN is a failed reading: a column of nothing but NaN
draws as a gap. Owned by the window's main thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Index = TypeVar("Index", Places, Longs)

_SMALLEST_CAPACITY = 64
_BLOCK = 4096
_FEW_COLUMNS, _FEW_SAMPLES = 8, 1 << 15


@dataclass(frozen=True)
class Reduced:
    """What to draw of a range: `x` and `y` of shape (m,), m <= 2 * columns + 2, in time order."""

    x: Floats
    y: Floats
    samples: int
    """Samples in the visible range."""
    per_point: int
    """Samples per pixel column on average, rounded up; 1 where every sample is drawn."""

    @property
    def decimated(self) -> bool:
        return self.per_point > 1


class _Level:
    """Places of the extremes of each complete block of 2**k samples, with amortised growth."""

    __slots__ = ("_high", "_low", "count")

    def __init__(self) -> None:
        self._low: Places = np.empty(_SMALLEST_CAPACITY, dtype=np.int32)
        self._high: Places = np.empty(_SMALLEST_CAPACITY, dtype=np.int32)
        self.count = 0

    @property
    def low(self) -> Places:
        return self._low[: self.count]

    @property
    def high(self) -> Places:
        return self._high[: self.count]

    def extend(self, low: Places, high: Places) -> None:
        end = self.count + len(low)
        if end > len(self._low):
            capacity = max(end, 2 * len(self._low))
            self._low = np.resize(self._low, capacity)
            self._high = np.resize(self._high, capacity)
        self._low[self.count : end] = low
        self._high[self.count : end] = high
        self.count = end


@dataclass(frozen=True)
class _Query:
    """The columns of the last `reduce`: its start, end, columns and first place, and what was found."""

    key: tuple[float, float, int, int]
    low: Longs
    high: Longs
    smallest: Longs
    largest: Longs


class Pyramid:
    """Extremes of one append-only series of up to 2**31 - 1 samples.

    The series itself stays with its owner; `sync` is given its arrays, which must only have grown at the end.
    """

    def __init__(self) -> None:
        self._times: Floats = np.empty(0)
        self._values: Floats = np.empty(0)
        self._levels: list[_Level] = []
        self._last: _Query | None = None
        self._built = 0

    def __len__(self) -> int:
        return len(self._times)

    def sync(self, times: Floats, values: Floats) -> None:
        """Take in what was appended since the last call. `times` rise or stay equal; shapes (n,).

        The tree follows in blocks, or when a range is asked for that needs it: a short window never does."""
        if len(times) < len(self._times):
            self._levels, self._last, self._built = [], None, 0
        self._times, self._values = times, values
        if len(times) - self._built >= _BLOCK:
            self._build()

    def _build(self) -> None:
        """Bring the tree up to the newest sample."""
        values = self._values
        self._built = count = len(values)
        depth = 0
        while count >= 2:
            if depth == len(self._levels):
                self._levels.append(_Level())
            level = self._levels[depth]
            done, wanted = level.count, count // 2
            if done == wanted:
                # a level that gained no block cannot have completed one above it
                break
            if depth == 0:
                below_low = below_high = np.arange(2 * done, 2 * wanted, dtype=np.int32)
            else:
                lower = self._levels[depth - 1]
                below_low, below_high = lower.low[2 * done : 2 * wanted], lower.high[2 * done : 2 * wanted]
            level.extend(
                _smaller(values, below_low[0::2], below_low[1::2]), _larger(values, below_high[0::2], below_high[1::2])
            )
            count = wanted
            depth += 1

    def reduce(self, start: float, end: float, columns: int) -> Reduced:
        """What to draw of [start, end] on `columns` pixels, with one sample on either side so that lines continue.

        Columns stand at whole multiples of their width, so that a window that moves does not make the curve flicker.
        """
        times, values = self._times, self._values
        first = int(np.searchsorted(times, start, side="left"))
        last = int(np.searchsorted(times, end, side="right"))
        inside = max(last - first, 0)
        before, after = max(first - 1, 0), min(last + 1, len(times))
        columns = max(columns, 1)
        if inside <= 2 * columns or end <= start:
            return Reduced(times[before:after], values[before:after], inside, 1)
        if self._built < len(times):
            self._build()
        low, _, smallest, largest = self._columns(start, end, columns, first, last)
        places = np.stack((np.minimum(smallest, largest), np.maximum(smallest, largest)), axis=1).ravel()
        keep = np.ones(len(places), dtype=np.bool_)
        keep[1::2] = smallest != largest
        places = np.concatenate((np.arange(before, first), places[keep], np.arange(last, after)))
        return Reduced(times[places], values[places], inside, -(-inside // len(low)))

    def _columns(
        self, start: float, end: float, columns: int, first: int, last: int
    ) -> tuple[Longs, Longs, Longs, Longs]:
        """Bounds and extremes of every pixel column that holds samples. Where the range is the one of the last call,
        only the columns from the last filled one on are looked at again: samples only ever come at the end."""
        width = (end - start) / columns
        edges = (np.floor(start / width) + np.arange(1, columns + 1)) * width
        kept, known = 0, self._last
        if known is not None and known.key == (start, end, columns, first) and len(known.low):
            kept = len(known.low) - 1
            first = int(known.low[-1])
            edges = edges[np.searchsorted(edges, self._times[first], side="right") :]
        bounds = np.concatenate(([first], np.searchsorted(self._times[first:last], edges) + first, [last]))
        filled = bounds[1:] > bounds[:-1]
        low, high = bounds[:-1][filled], bounds[1:][filled]
        smallest, largest = self._extremes(low, high)
        if kept and known is not None:
            low, high = np.concatenate((known.low[:kept], low)), np.concatenate((known.high[:kept], high))
            smallest = np.concatenate((known.smallest[:kept], smallest))
            largest = np.concatenate((known.largest[:kept], largest))
            first = int(known.key[3])
        self._last = _Query((start, end, columns, first), low, high, smallest, largest)
        return low, high, smallest, largest

    def _extremes(self, low: Longs, high: Longs) -> tuple[Longs, Longs]:
        """Places of the first smallest and first largest sample of each [low, high), none of them empty.

        The walk of a segment tree from its leaves up, for all columns at once: where a bound is odd, the node beside
        it belongs to the column and is looked at; then both bounds go one level up.
        """
        values = self._values
        if len(low) <= _FEW_COLUMNS and (not len(low) or high[-1] - low[0] <= _FEW_SAMPLES):
            # the end of a growing series: looking at the samples is quicker than walking the tree
            found = [_extremes_of(values, int(a), int(b)) for a, b in zip(low, high, strict=True)]
            pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
            return pairs[:, 0], pairs[:, 1]
        smallest, largest = low.copy(), low.copy()
        low, high = low.copy(), high.copy()
        depth = 0
        while True:
            open_ = low < high
            if not open_.any():
                return smallest, largest
            for at, bound in ((open_ & (low & 1 == 1), low), (open_ & (high & 1 == 1), high - 1)):
                columns = np.nonzero(at)[0]
                if not len(columns):
                    continue
                nodes = bound[columns]
                if depth:
                    level = self._levels[depth - 1]
                    lows, highs = level.low[nodes].astype(np.int64), level.high[nodes].astype(np.int64)
                else:
                    lows = highs = nodes
                smallest[columns] = _smaller(values, smallest[columns], lows)
                largest[columns] = _larger(values, largest[columns], highs)
            low, high = (low + 1) >> 1, high >> 1
            depth += 1


def _extremes_of(values: Floats, low: int, high: int) -> tuple[int, int]:
    """Places of the first smallest and first largest of values[low:high]; `low` where all are NaN."""
    part = values[low:high]
    smallest, largest = int(part.argmin()), int(part.argmax())
    if np.isnan(part[smallest]):
        if np.isnan(part).all():
            return low, low
        smallest, largest = int(np.nanargmin(part)), int(np.nanargmax(part))
    return low + smallest, low + largest


def _smaller(values: Floats, a: Index, b: Index) -> Index:
    """Elementwise the place of the smaller value; of equal ones the earlier; a number before NaN."""
    va, vb = values[a], values[b]
    return np.where((vb < va) | ((vb == va) & (b < a)) | (np.isnan(va) & ~np.isnan(vb)), b, a)


def _larger(values: Floats, a: Index, b: Index) -> Index:
    va, vb = values[a], values[b]
    return np.where((vb > va) | ((vb == va) & (b < a)) | (np.isnan(va) & ~np.isnan(vb)), b, a)
