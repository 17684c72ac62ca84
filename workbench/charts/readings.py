"""How a sensor's readings become a line: steps where a value holds until the next, broken where nothing was read.

Plain numpy. The window asks at every repaint, so nothing here grows with the series but with what is drawn; exports
ask once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

GAP_PERIODS = 3.0
"""Readings that are further apart than so many periods are not joined."""
HOLD_S = 2.0
"""And no value is drawn for longer (s) after it was read, however slow its sensor: a level held for seconds is
taken for one that was measured all the while."""
GAP_COLUMNS = 3.0
"""Pixel columns that a gap of a reduced series is wider than."""
_AROUND = 5
"""Distances on either side that say what the period is there: a slow sensor changes its period."""


def as_line(x: Floats, y: Floats, times: Floats, *, steps: bool, least_s: float = 0.0) -> tuple[Floats, Floats]:
    """Points of the line of the readings `y` at `x` (s), both of shape (n,), rising and some of all the `times` (m,).

    A gap is a NaN: before it the last reading holds for one period, `HOLD_S` at the most. Distances up to `least_s` (a
    few pixel columns of a reduced series) are no gaps.
    """
    if len(x) < 2:
        return x, y
    gaps, periods = _gaps(x, times, least_s)
    if not steps and not len(gaps):
        return x, y
    held_until = x[gaps] + periods
    if steps:
        # a reading, and the same value where the next one comes
        until = x[1:].copy()
        until[gaps] = held_until
        line_x = np.append(np.stack((x[:-1], until), axis=1).ravel(), x[-1])
        line_y = np.append(np.repeat(y[:-1], 2), y[-1])
        places = 2 * gaps + 2
        return np.insert(line_x, places, held_until), np.insert(line_y, places, np.nan)
    places = np.repeat(gaps + 1, 2)
    held = np.repeat(y[gaps], 2)
    held[1::2] = np.nan
    return np.insert(x, places, np.repeat(held_until, 2)), np.insert(y, places, held)


def rate_hz(times: Floats) -> float | None:
    """Readings a second lately, None where two are not there yet: what a sensor's announced rate has become."""
    lately = np.diff(times[-2 * _AROUND - 2 :])
    period = float(np.median(lately)) if len(lately) else 0.0
    return 1 / period if period > 0 else None


def in_gap(times: Floats, time: float) -> bool:
    """Whether nothing was read at `time` (s): between two readings too far apart, and more than a period after the
    first. After the last reading nothing is known, so it is no gap."""
    place = int(np.searchsorted(times, time, side="right")) - 1
    if not 0 <= place < len(times) - 1:
        return False
    period = float(_periods(times, np.array([place]))[0])
    before, after = float(times[place]), float(times[place + 1])
    return after - before > min(GAP_PERIODS * period, HOLD_S) and time - before > min(period, HOLD_S)


def _gaps(x: Floats, times: Floats, least_s: float) -> tuple[Places, Floats]:
    """Places of the drawn readings that a gap follows, and how long each holds (s): the period there, which is the
    median of the distances around, also of those that are out of view."""
    drawn, count = np.diff(x), len(times) - 1
    far = max(least_s, min(HOLD_S, GAP_PERIODS * float(np.median(drawn)))) if len(drawn) > _AROUND else least_s
    found = np.nonzero(drawn > far)[0]
    if not len(found) or count < 1:
        return found[:0], np.empty(0)
    periods = _periods(times, np.searchsorted(times, x[found], side="right") - 1)
    real = drawn[found] > np.minimum(GAP_PERIODS * periods, HOLD_S)
    return found[real], np.minimum(periods[real], HOLD_S)


def _periods(times: Floats, places: Places) -> Floats:
    """Median distance (s) of the readings around each of the places, of two or more `times`."""
    count = len(times) - 1
    width = min(2 * _AROUND + 1, count)
    first = np.clip(places - _AROUND, 0, count - width)
    around = first[:, None] + np.arange(width)
    periods: Floats = np.median(times[around + 1] - times[around], axis=1)
    return periods
