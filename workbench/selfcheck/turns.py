"""What telemetry costs within one trial, from its tokens and the turns in which telemetry was on and off. Pure.

Process-to-process differences and drift, which are several times larger than what is looked for, fall out: a turn is
compared with the one beside it. Only gaps between two tokens of one request count; prefills, and what lies between
requests, do not, because a turn holds now more and now fewer of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engines.protocol.records import TelemetryTurn
from workbench.metrics.trial import MISSING, Longs, TrialRecords

GUARD_NS = 100_000_000
"""Left out at a turn's beginning: a reading that was under way at the switch is over by then."""
LEAST_TOKENS = 20
"""In a turn; one with fewer says nothing, and its pair is left out."""


@dataclass(frozen=True)
class Side:
    """One side of a trial's turns: telemetry on, or off."""

    tokens_per_second: float
    """Of one sequence, while decoding: geometric mean of the turns."""
    runner_share: float | None
    """Processor time of the runner over these turns, 1.0 = one core; None where it was not read."""


@dataclass(frozen=True)
class InTurns:
    """A trial's turns; both sides are of the same pairs, so that their ratio is the mean of the pairs' ratios."""

    on: Side
    off: Side
    pairs: int
    ratios: tuple[float, ...] = ()
    """Of each pair: tokens per second on / off."""


def in_turns(arranged: TrialRecords) -> InTurns | None:
    """None where no pair is whole: both turns there, with tokens enough, and readings in the one that is on."""
    rates = _rates(arranged)
    pairs: dict[int, list[TelemetryTurn]] = {}
    for turn in arranged.turns:
        if turn.index in rates:
            pairs.setdefault(turn.index // 2, []).append(turn)
    whole = [pair for pair in pairs.values() if sorted(turn.on for turn in pair) == [False, True]]
    if not whole:
        return None
    sides = [[turn for pair in whole for turn in pair if turn.on is on] for on in (True, False)]
    on, off = (Side(_geometric_mean([rates[t.index] for t in turns]), _share(turns)) for turns in sides)
    ratios = [rates[a.index] / rates[b.index] for a, b in zip(*sides, strict=True)]
    return InTurns(on, off, len(whole), tuple(ratios))


def _rates(arranged: TrialRecords) -> dict[int, float]:
    """Tokens a second of each turn that can be used, by its index."""
    begins, ends = _gaps(arranged)
    read = np.sort(np.concatenate([s.times_ns for s in arranged.samples.values()] or [np.empty(0, dtype=np.int64)]))
    rates: dict[int, float] = {}
    for turn in arranged.turns:
        # starts and ends rise alike, so the gaps wholly within the turn are consecutive
        first = int(np.searchsorted(begins, turn.start_ns + GUARD_NS))
        last = int(np.searchsorted(ends, turn.t_ns, side="right"))
        watched = np.searchsorted(read, turn.start_ns) < np.searchsorted(read, turn.t_ns)
        if last - first >= LEAST_TOKENS and (watched or not turn.on):
            seconds = float(np.sum(ends[first:last] - begins[first:last])) / 1e9
            if seconds > 0:
                rates[turn.index] = (last - first) / seconds
    return rates


def _gaps(arranged: TrialRecords) -> tuple[Longs, Longs]:
    """Start and end (ns) of every gap between two tokens of one measured request, in order; one with a stamp that was
    never read is none."""
    starts, stops = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for request in arranged.measured:
        times = arranged.token_times(request)
        known = (times[:-1] != MISSING) & (times[1:] != MISSING)
        starts.append(times[:-1][known])
        stops.append(times[1:][known])
    return np.concatenate(starts), np.concatenate(stops)


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))


def _share(turns: Sequence[TelemetryTurn]) -> float | None:
    spent = [turn.runner_cpu_seconds for turn in turns]
    seconds = sum(turn.t_ns - turn.start_ns for turn in turns) / 1e9
    known = [s for s in spent if s is not None]
    return sum(known) / seconds if len(known) == len(spent) and seconds > 0 else None
