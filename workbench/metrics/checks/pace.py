"""Checks of the pace within the measured window: stalls, drift, two paces, a device that idles. Pure.

All judge a trial by itself. Thresholds and what they mean: docs/measuring.md, "A window that is not of one piece".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from engines.protocol.records import Request
from workbench.metrics.checks.reason import Reason
from workbench.metrics.latency import tail_times
from workbench.metrics.model import Value
from workbench.metrics.speed import whole
from workbench.metrics.trial import Floats, Longs, TrialRecords
from workbench.metrics.utilisation import utilisation
from workbench.metrics.window import NS, on_gpu
from workbench.statistics.intervals import two_sided_p
from workbench.units import counted, format_share

STALL_TIMES = 5.0
"""A stretch is a stall when it takes more than this many times what is usual at its place."""
STALL_WARNING = 0.03
STALL_INVALID = 0.10
"""Share of a phase's time lost to stalls: to all of them for a warning, to the `FEW` longest for invalid."""
FEW = 3
STALL_INVALID_S = 0.1
"""Shorter stalls (s) never make a trial invalid: a scheduler may take so long to give a processor back."""
_LEAST_GAPS = 5
_GAPS_A_PLACE = 200
_PLACES = 16
"""The usual gap is the median of so many gaps at neighbouring positions of all requests, at most so many medians."""

PACE_CHANGE = 0.10
PACE_CHANGE_OF_FEW = 0.25
"""Smallest drift, and smallest difference between two paces, that is a caution: in the time a token takes. Fewer than
`_FEW_REQUESTS` requests cannot show how much one differs from the next by itself."""
PACE_P = 0.001
"""Chance of it in a window of one piece, all places of a change that were tried together."""
_FEW_REQUESTS = 8
"""From so many requests on the pace of each is one level; of fewer, each is cut into `_PARTS` by position."""
_PARTS = 4
_GAPS_A_PART = 4
_LEVELS = 32
"""Levels looked at, at most: neighbours are put together."""
_LEAST_PACE_SHARE = 0.2
"""Either of two paces lasts at least so much of the window."""

IDLE_SHARE = 0.5
"""Utilisation under this is a caution: of the worker's threads, or of the GPU's time."""
IDLE_CORES = 0.8
"""Cores that a worker on a processor keeps busy at the least: its loop never waits."""


# --- stalls -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stretches:
    """Stretches of one kind: what each took (s) and what is usual at its place, both of shape (n,)."""

    phase: str
    spent: Floats
    usual: Floats
    whole_s: float
    """Time that a loss is a share of."""


def stall(records: TrialRecords) -> tuple[Reason, ...]:
    """Stretches far longer than the trial's own median at that place: the worker was stopped, starved or swapped."""
    reasons: list[Reason] = []
    for part in _stretches(records):
        lost = np.where(part.spent > STALL_TIMES * part.usual, part.spent - part.usual, 0.0)
        share = float(lost.sum()) / part.whole_s
        if share <= STALL_WARNING:
            continue
        few = np.sort(lost)[-FEW:]
        invalid = few[-1] > STALL_INVALID_S and float(few.sum()) / part.whole_s > STALL_INVALID
        severity: Literal["warning", "invalid"] = "invalid" if invalid else "warning"
        at, count = int(lost.argmax()), int((lost > 0).sum())
        text = (
            f"{part.phase} stalled {'once' if count == 1 else f'{count} times'}, for up to {_s(part.spent[at])} "
            f"where {_s(part.usual[at])} is usual: {format_share(share)} of its time was lost."
        )
        reasons.append(Reason("stall", severity, text))
    return tuple(reasons)


def _s(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1e3:.2g} ms"


def _stretches(records: TrialRecords) -> Iterator[_Stretches]:
    steps = _seconds_of_steps(records)
    if len(steps) >= _LEAST_GAPS:
        yield _Stretches("Training", steps, np.full(len(steps), _lower_median(steps)), float(steps.sum()))
    measured = whole(records)
    if not measured or any(r.end_ns <= r.start_ns for r in measured):
        return
    window_s = (measured[-1].end_ns - measured[0].start_ns) / NS
    known = [r for r in records.requests if len(records.token_times(r)) and r.end_ns > r.start_ns]
    every = np.array([(int(records.token_times(r)[0]) - r.start_ns) / NS for r in known])
    first = np.array([(int(records.token_times(r)[0]) - r.start_ns) / NS for r in measured])
    if first.sum() > 0:
        yield _Stretches("Prefill", first, np.full(len(first), _lower_median(every)), float(first.sum()))
    gaps = [np.diff(records.token_times(r)) / NS for r in measured]
    spent = np.concatenate(gaps)
    if len(spent) >= _LEAST_GAPS and spent.sum() > 0:
        yield _Stretches("Decode", spent, _usual_gaps(gaps), float(spent.sum()))
    pauses = np.array([(b.start_ns - a.end_ns) / NS for a, b in pairwise(measured)])
    for what, taken in (("The way out of requests", tail_times(records)), ("The loop between requests", pauses)):
        if len(taken) > 1 and window_s > 0:
            yield _Stretches(what, taken, np.full(len(taken), _lower_median(taken)), window_s)


def _seconds_of_steps(records: TrialRecords) -> Floats:
    """Time of each measured training step as if all computed the same number of positions, shape (n,); empty where
    requests were measured, or the times do not hold."""
    steps = () if records.measured else records.measured_steps
    if any(s.end_ns <= s.start_ns for s in steps):
        return np.empty(0)
    spent = np.array([(s.end_ns - s.start_ns) / NS for s in steps])
    work = np.array([max(1, s.tokens + s.padding_tokens) for s in steps], dtype=np.float64)
    return spent * (np.median(work) / work) if len(work) else spent


def _lower_median(values: Floats) -> float:
    """Of two values the smaller: the larger may be the stall."""
    return float(np.percentile(values, 50, method="lower"))


def _usual_gaps(gaps: list[Floats]) -> Floats:
    """The usual gap at the place of each (s), shape (Σ gaps,): tokens get slower as the cache grows, so each is
    compared with its neighbours by position, in all requests."""
    position = np.concatenate([np.arange(len(g)) for g in gaps])
    spent = np.concatenate(gaps)
    usual = np.empty(len(spent))
    places = min(_PLACES, max(1, len(spent) // _GAPS_A_PLACE))
    for among in np.array_split(np.argsort(position, kind="stable"), places):
        usual[among] = np.median(spent[among])
    return usual


# --- drift and two paces ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Levels:
    """Pace through the window: the logarithm of the time a token (or a request) takes, in order of time."""

    at_s: Floats
    """Middle of each stretch, seconds since the window's start, shape (n,)."""
    log: Floats
    part: Longs
    """Which part of its request each is: parts are compared with their like."""


def uneven_pace(records: TrialRecords) -> tuple[Reason, ...]:
    """Requests that do the same work become slower or faster through the window, or do so for a while. Judged between
    requests at the same position: tokens get slower along the growing cache, which is no drift."""
    levels = _levels(records)
    if levels is None:
        return ()
    count, parts = len(levels.log), int(levels.part.max()) + 1
    least = max(2, int(np.ceil(_LEAST_PACE_SHARE * count)))
    cuts = [
        (a, b)
        for a in range(count)
        for b in range(a + least, count + 1)
        if b - a <= count - least and (a > 0 or b < count) and not (0 < a < least and b < count)
    ]
    number = np.arange(count)
    steps = np.array([(number >= a) & (number < b) for a, b in cuts], dtype=np.float64).reshape(len(cuts), count)
    line = (levels.at_s - levels.at_s[0]) / (levels.at_s[-1] - levels.at_s[0])
    # differences between parts are the request's own: only what is left beside them is looked at
    shapes, log = _within_parts(np.vstack([line, steps]), levels.part), _within_parts(levels.log, levels.part)
    squares = (shapes**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        effects = np.where(squares > 1e-9, (shapes @ log) / squares, 0.0)
    left = (log @ log) - effects**2 * squares
    best = int(left.argmin())
    effect, freedom = float(effects[best]), count - parts - 1
    if freedom < 1 or np.expm1(abs(effect)) < (PACE_CHANGE if parts == 1 else PACE_CHANGE_OF_FEW):
        return ()
    error = np.sqrt(max(float(left[best]), 1e-18) / freedom / float(squares[best]))
    if two_sided_p(effect / error, freedom) * len(shapes) > PACE_P:
        return ()
    change = format_share(float(np.expm1(-effect)), sign="+")
    what = "Training"
    if records.measured:
        what = "Decode" if max(r.stamps for r in whole(records)) > _GAPS_A_PART else "Requests"
    if best == 0:
        return (Reason("drift", "warning", f"{what} drifted by {change} in speed through the measured window."),)
    a, b = cuts[best - 1]
    begin, end = _edge(levels.at_s, a), _edge(levels.at_s, b)
    when = f"until {end}" if a == 0 else f"from {begin} on" if b == count else f"from {begin} to {end}"
    text = f"{what} ran at two paces: {when} of the measured window by {change} in speed against the rest."
    return (Reason("two_paces", "warning", text),)


def _levels(records: TrialRecords) -> _Levels | None:
    """None where there is nothing to compare: one request, or few requests of few tokens."""
    steps = _seconds_of_steps(records)
    if len(steps) >= _FEW_REQUESTS:
        middles = np.array([s.start_ns / 2 + s.end_ns / 2 for s in records.measured_steps])
        return _grouped((middles - middles[0]) / NS, np.log(steps))
    measured = whole(records)
    stamps = max((r.stamps for r in measured), default=0)
    alike = [r for r in measured if r.stamps == stamps]
    if any(b.start_ns < a.end_ns for a, b in pairwise(measured)) or any(r.end_ns <= r.start_ns for r in measured):
        return None  # the times do not hold, which is a reason of its own
    if len(alike) >= _FEW_REQUESTS:
        cut = [(_level(records, r), r.start_ns / 2 + r.end_ns / 2, 0) for r in alike]
    elif len(alike) >= 2 and stamps > _PARTS * _GAPS_A_PART:
        cut = []
        for request in alike:
            times = records.token_times(request)
            for place, own in enumerate(np.array_split(np.arange(stamps - 1), _PARTS)):
                mine = times[own[0] : own[-1] + 2]
                cut.append((_log_gap(mine), float(mine[0] + mine[-1]) / 2, place))
    else:
        return None
    log, at, part = (np.array(column) for column in zip(*cut, strict=True))
    at_s = (at - measured[0].start_ns) / NS
    # only levels of whole requests are so many
    return _grouped(at_s, log) if len(log) > _LEVELS else _Levels(at_s, log, part.astype(np.int64))


def _grouped(at_s: Floats, log: Floats) -> _Levels:
    """Levels of one part, at most `_LEVELS`: neighbours are put together."""
    groups = np.array_split(np.arange(len(log)), min(_LEVELS, len(log)))
    log, at_s = np.array([np.median(log[g]) for g in groups]), np.array([np.mean(at_s[g]) for g in groups])
    return _Levels(at_s, log, np.zeros(len(log), dtype=np.int64))


def _level(records: TrialRecords, request: Request) -> float:
    times = records.token_times(request)
    if len(times) > _GAPS_A_PART:
        return _log_gap(times)
    return float(np.log(max(1, int(times[-1]) - request.start_ns) / NS))


def _log_gap(times_ns: Longs) -> float:
    """Logarithm of the median gap (s): a stall is judged elsewhere."""
    return float(np.log(max(1.0, float(np.median(np.diff(times_ns)))) / NS))


def _within_parts(rows: Floats, part: Longs) -> Floats:
    """Rows (..., n) less their mean over each part."""
    centred = rows.copy()
    for one in np.unique(part):
        among = part == one
        centred[..., among] -= centred[..., among].mean(axis=-1, keepdims=True)
    return centred


def _edge(at_s: Floats, place: int) -> str:
    return f"{at_s[0] if place == 0 else at_s[-1] if place == len(at_s) else (at_s[place - 1] + at_s[place]) / 2:.1f} s"


# --- utilisation ------------------------------------------------------------------------------------


def low_utilisation(records: TrialRecords) -> tuple[Reason, ...]:
    """The device idled: something else than the model decided the speed."""
    found = utilisation(records)
    if not isinstance(found, Value):
        return ()
    if on_gpu(records):
        if found.value >= IDLE_SHARE:
            return ()
        text = f"The GPU had nothing to do for {format_share(1 - found.value)} of the measured window."
        return (Reason("low_utilisation", "warning", text),)
    threads = records.started.threads if records.started is not None else 1
    cores = found.value * threads
    if cores >= max(IDLE_CORES, IDLE_SHARE * threads):
        return ()
    text = f"The worker used {cores:.2f} cores of its {counted(threads, 'threads')} in the measured window."
    return (Reason("low_utilisation", "warning", text),)


PACE_CHECKS = (stall, uneven_pace, low_utilisation)
