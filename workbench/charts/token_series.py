"""Token gaps and throughput of a trial, from its stamps, while they come or all at once.

The channels are a function of the stamps and of where requests begin, not of the order in which both become known:
where a boundary or a corrected time arrives late, the points it concerns are made anew. Plain numpy; owned by the
`workbench.charts.series.TrialData` it belongs to. All times are seconds since the trial's start.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.protocol.records import Request
from workbench.charts.channel import Channel, Floats

STEP_S = 0.1
"""A throughput point is at least this far from the one before it in its request, and one at the request's end."""
WINDOW_S = 0.5
"""Each point is tokens over time of this long a window before it, within its request: a rolling figure."""

_LARGEST_HOLE = 1_000_000


@dataclass
class _Segment:
    """A request as far as its points have been made: stamps from `start` on."""

    start: int
    gaps_before: int
    rates_before: int
    done: int
    """Stamps up to here have given their gap."""
    point: int
    """Stamp of the last throughput point."""


class TokenSeries:
    """Give it stamps, requests and prefill starts in any order; it keeps the channels "gap" and "throughput"."""

    def __init__(self, channel: Callable[[str], Channel]) -> None:
        """`channel` gives the channel "gap" or "throughput", made when first asked for."""
        self._channel = channel
        self._times: Floats = np.empty(1024)
        self._base = 0
        self._count = 0
        self._starts: list[int] = []
        self._ends: dict[int, int] = {}
        """End of each request that has been recorded, by its first stamp."""
        self._firsts: list[int] = []
        self._per_stamp: dict[int, float] = {}
        self._assumed: float | None = None
        self._prefills: list[float] = []
        """Starts of prefills whose first token is not here yet."""
        self._segments: list[_Segment] = []
        self._ended = False

    def assume_batch(self, sequences: int) -> None:
        """Tokens per stamp, until requests say so themselves. Without it there is no throughput till then."""
        if self._assumed is None:
            self._assumed = float(sequences)
            self._rewind(self._base)
            self._advance()

    def add_stamps(self, first: int, times: Floats) -> None:
        """Times of stamps `first`, `first` + 1, ...; those known already are corrected."""
        if self._count == 0:
            self._base = first
        place = first - self._base
        if place > self._count + _LARGEST_HOLE or place < 0:
            return
        end = max(self._count, place + len(times))
        self._grow(end)
        self._times[self._count : place] = np.nan  # stamps that never came: their request has no points
        self._times[place : place + len(times)] = times
        if place < self._count:
            self._rewind(first)
        self._count = end
        self._place_prefills()
        self._advance()

    def add_request(self, request: Request) -> None:
        """A finished request: exactly which stamps are its own, and how many tokens they stand for."""
        first, end = request.first_stamp, request.first_stamp + request.stamps
        if request.stamps <= 0 or first in self._ends:
            return
        inside = slice(bisect_right(self._starts, first), bisect_left(self._starts, end))
        if self._starts[inside]:  # taken for the start of a request, and was not
            del self._starts[inside]
            self._rewind(first)
        insort(self._firsts, first)
        self._ends[first] = end
        self._add_start(first)
        self._add_start(end)
        self._per_stamp[first] = request.generated_tokens / request.stamps
        if self._per_stamp[first] != self._assumed:
            self._assumed = self._per_stamp[first]
            self._rewind(first)
        self._advance()

    def add_prefill(self, start: float) -> None:
        """A request began at `start`: the next stamp is its first."""
        self._prefills.append(start)
        self._place_prefills()
        self._advance()

    def end(self) -> None:
        """No more stamps will come: an unfinished request gives what it has."""
        self._ended = True
        self._advance()

    # --- where requests begin ---------------------------------------------------------------------

    def _place_prefills(self) -> None:
        known = self._times[: self._count]
        waiting = []
        for start in self._prefills:
            place = int(np.searchsorted(known, start))
            if place == self._count:
                waiting.append(start)
            elif not self._inside_request(self._base + place):
                self._add_start(self._base + place)
        self._prefills = waiting

    def _inside_request(self, stamp: int) -> bool:
        before = bisect_left(self._firsts, stamp)
        return before > 0 and stamp < self._ends[self._firsts[before - 1]]

    def _add_start(self, stamp: int) -> None:
        place = bisect_left(self._starts, stamp)
        if place == len(self._starts) or self._starts[place] != stamp:
            self._starts.insert(place, stamp)
            self._rewind(stamp)

    # --- points -----------------------------------------------------------------------------------

    def _rewind(self, stamp: int) -> None:
        """Take back the points of the request that holds `stamp` (if it gave any) and of all after it."""
        while self._segments and (self._segments[-1].done > stamp or self._segments[-1].start > stamp):
            gone = self._segments.pop()
            self._channel("gap").truncate(gone.gaps_before)
            self._channel("throughput").truncate(gone.rates_before)

    def _advance(self) -> None:
        """Make the points that can be made now."""
        arrived = self._base + self._count
        while self._count:
            if not self._segments:
                self._open(self._base)
            segment = self._segments[-1]
            place = bisect_right(self._starts, segment.start)
            following = self._starts[place] if place < len(self._starts) else None
            whole = following is not None and following <= arrived
            end = following if following is not None and whole else arrived
            self._make_points(segment, end, whole=whole or self._ended)
            if not whole:
                return
            self._open(end)

    def _open(self, start: int) -> None:
        self._segments.append(
            _Segment(start, len(self._channel("gap")), len(self._channel("throughput")), done=start, point=start)
        )

    def _make_points(self, segment: _Segment, end: int, *, whole: bool) -> None:
        times = self._times[segment.start - self._base : end - self._base]
        if len(times) == 0 or np.isnan(times).any():
            return
        first_new = max(segment.done - segment.start, 1)
        if first_new < len(times):
            self._append("gap", times[first_new:], np.diff(times[first_new - 1 :]))
        segment.done = end
        per_stamp = self._per_stamp.get(segment.start, self._assumed)
        if per_stamp is not None and len(times) > 1:
            self._make_rates(segment, times, per_stamp, whole=whole)

    def _make_rates(self, segment: _Segment, times: Floats, per_stamp: float, *, whole: bool) -> None:
        last = segment.point - segment.start
        places: list[int] = []
        while True:
            following = last + int(np.searchsorted(times[last:], times[last] + STEP_S))
            if following >= len(times):
                break
            last = following
            places.append(last)
        if whole and last < len(times) - 1:
            last = len(times) - 1
            places.append(last)
        if not places:
            return
        points = np.array(places, dtype=np.int64)
        since = np.minimum(np.searchsorted(times, times[points] - WINDOW_S), points - 1)
        elapsed = times[points] - times[since]
        good = elapsed > 0
        if not good.any():
            return
        rates = (points - since)[good] * per_stamp / elapsed[good]
        if segment.point == segment.start:
            self._break()
            # the first figure holds for its whole window, from the first token on
            self._append("throughput", times[:1], rates[:1])
        segment.point = segment.start + last
        self._append("throughput", times[points][good], rates)

    def _break(self) -> None:
        """Nothing is generated between requests: no line is drawn there."""
        channel = self._channel("throughput")
        if len(channel):
            channel.extend(channel.times[-1:].copy(), np.array([np.nan]))

    def _append(self, key: str, times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> None:
        append_rising(self._channel(key), times, values)

    def _grow(self, count: int) -> None:
        if count > len(self._times):
            larger = np.empty(max(count, 2 * len(self._times)))
            larger[: self._count] = self._times[: self._count]
            self._times = larger


def append_rising(channel: Channel, times: Floats, values: Floats) -> None:
    """Append to a channel; a time that falls (a clock corrected by a hair) is set to the one before it."""
    least = channel.times[-1] if len(channel) else -np.inf
    channel.extend(np.maximum.accumulate(np.maximum(times, least)), values)
