"""Which part of a live trial is in view: plain arithmetic of the follow window, in the units of its axis. No Qt."""

from __future__ import annotations

import math

from widgets.charts.axes import nice_step

FIRST_S = 10.0
"""What an empty chart shows."""
SHORTEST_S = 0.05


def following(now: float, window_s: float | None) -> tuple[float, float]:
    """The range that follows `now` (s) with a window of a length, or the whole trial for None.

    The window's end moves by whole steps, so that most repaints move no axis and no band."""
    if window_s is None:
        return 0.0, whole(now)
    if now <= window_s:
        return 0.0, window_s
    step = window_s / 60.0
    end = math.ceil(now / step) * step
    return end - window_s, end


def whole(now: float, planned: float | None = None) -> float:
    """An end of the axis a little after `now` that seldom changes; a planned end is kept in view."""
    if planned is not None and now <= planned:
        return planned
    step = nice_step(max(now, FIRST_S), 20)
    return max(math.ceil(now / step) * step, FIRST_S if now < 1.0 else step)


def at_least(start: float, end: float) -> tuple[float, float]:
    """A range widened around its middle where it is too short to draw."""
    if end - start >= SHORTEST_S:
        return start, end
    middle = (start + end) / 2
    return middle - SHORTEST_S / 2, middle + SHORTEST_S / 2


def seconds_text(time: float, span: float) -> str:
    """A time with the digits that a view of `span` seconds can tell apart."""
    return f"{time:.1f} s" if span > 2 else f"{time:.3f} s"
