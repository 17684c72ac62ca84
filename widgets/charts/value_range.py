"""The range of values that a live axis spans: whole ticks, seldom moved. Plain numpy, no Qt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from widgets.charts.axes import nice_range


class ValueRange:
    """One axis of values; it remembers what it spans."""

    def __init__(self, *, from_zero: bool, least_span: float = 0.0) -> None:
        self._from_zero, self._least_span = from_zero, least_span
        self._range: tuple[float, float] | None = None

    def take(self, curves: Sequence[np.ndarray]) -> tuple[float, float]:
        """A range that holds the curves; it widens at once and narrows only when it is far too wide."""
        finite = [c[np.isfinite(c)] for c in curves]
        finite = [c for c in finite if len(c)]
        if not finite:
            return self._range or (0.0, 1.0)
        low, high = min(float(c.min()) for c in finite), max(float(c.max()) for c in finite)
        if self._from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        else:
            middle, half = (low + high) / 2, self._least_span / 2
            low, high = min(low, middle - half), max(high, middle + half)
        wanted = nice_range(low, high, 3)
        old = self._range
        if old and old[0] <= wanted[0] and wanted[1] <= old[1] and wanted[1] - wanted[0] > 0.5 * (old[1] - old[0]):
            return old
        self._range = wanted
        return wanted
