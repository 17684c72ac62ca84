"""Checks of a trial's own clockwork: tokens, stamps, end-to-end times, window, wall clock. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from engines.protocol.records import Request
from workbench.metrics.reason import Reason
from workbench.metrics.trial import MAX_STAMPS, MISSING, TrialRecords
from workbench.metrics.window import NS

TIMING_TOLERANCE_S = 1e-3
TIMING_TOLERANCE = 0.005
"""End-to-end and the sum of its parts may differ by the larger of 1 ms and 0.5 %: the way out of the call."""
CLOCK_TOLERANCE_S = 1.0
"""Wall and monotonic clock may drift apart by this much over a trial."""
SHORT_WINDOW_S = 2.0
REQUESTED_WINDOW = "workload.window_s"
"""Environment fact with the window that was asked for (s), where the worker says it."""


def timing_identity(records: TrialRecords) -> tuple[Reason, ...]:
    """Time to first token + Σ gaps = end-to-end, nothing negative, every stamp there, no stamp of a neighbour."""
    reasons: list[Reason] = []
    taken = 0
    for request in sorted(records.requests, key=lambda r: r.first_stamp):
        name = f"{'Warm-up request' if request.warmup else 'Request'} {request.index}"
        problem = _request_problem(records, request)
        if problem is None and request.first_stamp < taken:
            problem = "claims token stamps of another request"
        taken = max(taken, request.first_stamp + max(request.stamps, 0))
        if problem is not None:
            severity: Literal["warning", "invalid"] = "warning" if request.warmup else "invalid"
            reasons.append(Reason("timing_identity", severity, f"{name}: {problem}."))
    starts = sorted(records.measured, key=lambda r: r.start_ns)
    for before, after in pairwise(starts):
        if after.start_ns < before.end_ns:
            text = f"Requests {before.index} and {after.index} overlap in time."
            reasons.append(Reason("timing_identity", "invalid", text))
    return tuple(reasons)


def _request_problem(records: TrialRecords, request: Request) -> str | None:
    if request.end_ns <= request.start_ns:
        return "ends before it starts"
    if request.stamps < 1 or request.first_stamp < 0:
        return "has no token stamps"
    times = records.token_times(request)
    if len(times) != request.stamps or bool((times == MISSING).any()):
        have = int((times != MISSING).sum())
        return f"has {have} of its {request.stamps} token stamps"
    if int(times[0]) < request.start_ns:
        return "has its first token before the call"
    gaps = np.diff(times)
    if bool((gaps < 0).any()):
        return "has a negative gap between tokens"
    whole = (request.end_ns - request.start_ns) / NS
    parts = (int(times[0]) - request.start_ns + int(gaps.sum())) / NS
    if abs(whole - parts) > max(TIMING_TOLERANCE_S, TIMING_TOLERANCE * whole):
        return f"end-to-end {whole:.6f} s, but time to first token and gaps add up to {parts:.6f} s"
    return None


def phase_totals(records: TrialRecords) -> tuple[Reason, ...]:
    """The spans of a request's prefill and decode, where the worker told them, add up to its stamps and its call."""
    measure = next((s for s in records.spans if s.name == "measure"), None)
    if measure is None:
        return ()
    inside = [s for s in records.spans if measure.start_ns <= s.start_ns and s.end_ns <= measure.end_ns]
    reasons = []
    for request in records.measured:
        own = [s for s in inside if s.index == request.index and s.name in ("prefill", "decode")]
        whole = (request.end_ns - request.start_ns) / NS
        if not own or whole <= 0:
            continue
        total = sum(s.end_ns - s.start_ns for s in own) / NS
        if abs(whole - total) > max(TIMING_TOLERANCE_S, TIMING_TOLERANCE * whole):
            text = f"Request {request.index} took {whole:.6f} s, its phases add up to {total:.6f} s."
            reasons.append(Reason("phase_totals", "invalid", text))
    return tuple(reasons)


def missing_requests(records: TrialRecords) -> tuple[Reason, ...]:
    """Measured requests and steps are numbered from 0 without a gap: totals over a window need every one of them."""
    reasons = []
    counted: tuple[tuple[str, list[int]], ...] = (
        ("request", sorted(r.index for r in records.measured)),
        ("training step", sorted(s.index for s in records.measured_steps)),
    )
    for what, numbers in counted:
        if numbers != list(range(len(numbers))):
            lost = sorted(set(range(max(numbers) + 1)) - set(numbers)) if max(numbers) < MAX_STAMPS else []
            which = f"the record of {what} {lost[0]} is missing" if lost else f"a {what} is told twice"
            reasons.append(Reason("missing_request", "invalid", f"Of the measured window, {which}."))
    return tuple(reasons)


def step_times(records: TrialRecords) -> tuple[Reason, ...]:
    """Training steps end after they start and one after the other, so that Σ time is the time of Σ tokens."""
    steps = records.measured_steps
    wrong = [s for s in steps if s.end_ns <= s.start_ns or s.tokens < 0 or s.samples < 0]
    reasons = [
        Reason("timing_identity", "invalid", f"Training step {s.index} ends before it starts, or counts below zero.")
        for s in wrong
    ]
    for before, after in pairwise(steps):
        if after.start_ns < before.end_ns:
            text = f"Training steps {before.index} and {after.index} overlap in time."
            reasons.append(Reason("timing_identity", "invalid", text))
    return tuple(reasons)


def token_count(records: TrialRecords) -> tuple[Reason, ...]:
    """Stamps = tokens of one sequence; the same output length in every measured request."""
    reasons = [
        Reason(
            "token_count",
            "invalid",
            f"Request {r.index}: {r.stamps} stamps for {r.generated_tokens} tokens in {r.batch_size} sequences.",
        )
        for r in records.measured
        if r.batch_size < 1 or r.generated_tokens != r.stamps * r.batch_size
    ]
    lengths = sorted({r.generated_tokens for r in records.measured})
    if len(lengths) > 1:
        text = f"The output length was not honoured: {lengths[0]} to {lengths[-1]} tokens a request."
        reasons.append(Reason("output_length", "invalid", text))
    return tuple(reasons)


def window_length(records: TrialRecords) -> tuple[Reason, ...]:
    window = records.window()
    if window is None or window[1] <= window[0]:
        return ()
    length = (window[1] - window[0]) / NS
    wanted = _requested(records)
    if wanted is not None and length < 0.98 * wanted:
        text = f"The measured window is {length:.2f} s, {wanted:g} s were asked for."
        return (Reason("short_window", "warning", text),)
    if length < SHORT_WINDOW_S:
        text = f"The measured window of {length:.2f} s is short: energy and memory cannot be measured well under 2 s."
        return (Reason("short_window", "warning", text),)
    return ()


def _requested(records: TrialRecords) -> float | None:
    try:
        return float(records.environment[REQUESTED_WINDOW])
    except (KeyError, ValueError):
        return None


def clock_jump(records: TrialRecords) -> tuple[Reason, ...]:
    """A suspend or a stepped clock: wall and monotonic time of the trial differ."""
    if records.started is None or records.ended is None:
        return ()
    begin, end = records.started.clock, records.ended.clock
    jump = ((end.wall_ns - begin.wall_ns) - (end.mono_ns - begin.mono_ns)) / NS
    if end.mono_ns < begin.mono_ns:
        return (Reason("clock_jump", "invalid", "The monotonic clock ran backwards: the machine was restarted."),)
    if abs(jump) > CLOCK_TOLERANCE_S:
        text = f"The wall clock moved {jump:+.1f} s against the monotonic clock: the machine slept or was set."
        return (Reason("clock_jump", "invalid", text),)
    return ()


def asynchronous(records: TrialRecords) -> tuple[Reason, ...]:
    if any(not r.synchronised for r in records.measured):
        text = "The loop did not wait for each token: gaps between tokens show progress, not latency."
        return (Reason("asynchronous", "warning", text),)
    return ()


TIMING_CHECKS = (
    timing_identity,
    phase_totals,
    missing_requests,
    step_times,
    token_count,
    window_length,
    clock_jump,
    asynchronous,
)
