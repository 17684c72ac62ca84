"""Checks of a trial's own clockwork: tokens, stamps, calls, window, wall clock. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from engines.protocol.records import Request
from workbench.metrics.checks.reason import Reason
from workbench.metrics.latency import tail_times, token_gaps
from workbench.metrics.speed import whole
from workbench.metrics.trial import MAX_STAMPS, MISSING, TrialRecords
from workbench.metrics.window import NS, on_gpu
from workbench.units import format_numbers, format_share

TWICE_SHARE = 0.01
"""A gap under this share of the trial's own median gap is one token with two stamps: no token takes so little."""
DEVICE_CLOCK_SHARE = 2e-4
"""Tokens of a GPU are timed by its own clock, which may run so much faster than the processor's."""
TAIL_SHARE = 0.01
TAIL_S = 1e-3
"""The way out of the call is long when it usually takes more than this share of a request, and more than 1 ms."""
CLOCK_TOLERANCE_S = 1.0
"""Wall and monotonic clock may drift apart by this much over a trial."""
SHORT_WINDOW_S = 2.0
REQUESTED_WINDOW = "workload.window_s"
"""Environment fact with the window that was asked for (s), where the worker says it."""


def timing_identity(records: TrialRecords) -> tuple[Reason, ...]:
    """Every request has its own stamps, all of them, rising and within its call; requests follow one another without
    an overlap and without a stamp that belongs to none. Time to first token + Σ gaps is then call to last token."""
    gaps = token_gaps(records)
    least_ns = max(1.0, TWICE_SHARE * NS * float(np.median(gaps))) if len(gaps) else 1.0
    reasons: list[Reason] = []
    before: Request | None = None
    for request in sorted(records.requests, key=lambda r: r.first_stamp):
        problem = _request_problem(records, request, least_ns)
        if problem is None and before is not None:
            taken = before.first_stamp + max(before.stamps, 0)
            if request.first_stamp < taken:
                problem = "claims token stamps of another request"
            elif request.first_stamp > taken and _follows(before, request):
                problem = f"comes after {request.first_stamp - taken} token stamps that belong to no request"
        if before is None or request.first_stamp + request.stamps > before.first_stamp + before.stamps:
            before = request
        if problem is not None:
            severity: Literal["warning", "invalid"] = "warning" if request.warmup else "invalid"
            reasons.append(Reason("timing_identity", severity, f"{_name(request)}: {problem}."))
    for first, second in pairwise(sorted(records.requests, key=lambda r: r.start_ns)):
        if second.start_ns < first.end_ns:
            severity = "warning" if first.warmup and second.warmup else "invalid"
            text = f"{_name(first)} and {_name(second).lower()} overlap in time."
            reasons.append(Reason("timing_identity", severity, text))
    return tuple(reasons)


def _name(request: Request) -> str:
    return f"{'Warm-up request' if request.warmup else 'Request'} {request.index}"


def _follows(before: Request, request: Request) -> bool:
    """Whether no request can be missing between the two. A lost record of a measured request has a reason of its own;
    one of the warm-up harms nothing."""
    return request.warmup == before.warmup and request.index == before.index + 1


def _request_problem(records: TrialRecords, request: Request, least_ns: float) -> str | None:
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
    if bool((gaps < least_ns).any()):
        return f"has two stamps {int(gaps.min())} ns apart: one token counted twice"
    drift_ns = DEVICE_CLOCK_SHARE * (request.end_ns - request.start_ns) if on_gpu(records) else 0.0
    if int(times[-1]) > request.end_ns + drift_ns:
        late = (int(times[-1]) - request.end_ns) / NS
        return f"has its last token {late:.6f} s after the call returned"
    return None


def phase_totals(records: TrialRecords) -> tuple[Reason, ...]:
    """What the worker says of a request's first and last token is, to the nanosecond, what the stamps say that the
    runner read: call to first token + Σ gaps = call to last token, from two sides."""
    measure = next((s for s in records.spans if s.name == "measure"), None)
    if measure is None:
        return ()
    inside = [s for s in records.spans if measure.start_ns <= s.start_ns and s.end_ns <= measure.end_ns]
    spans = {(s.name, s.index): s for s in inside if s.name in ("prefill", "decode")}
    reasons = []
    for request in records.measured:
        if not measure.start_ns <= request.start_ns <= request.end_ns <= measure.end_ns:
            text = f"{_name(request)} is not within the measured phase."
            reasons.append(Reason("phase_totals", "invalid", text))
        times = records.token_times(request)
        if len(times) != request.stamps or not len(times):
            continue
        first, last = int(times[0]), int(times[-1])
        for name, start, end in (("prefill", request.start_ns, first), ("decode", first, last)):
            span = spans.get((name, request.index))
            if span is not None and (span.start_ns, span.end_ns) != (start, end):
                text = (
                    f"{_name(request)}: its {name} lasted {(span.end_ns - span.start_ns) / NS:.6f} s for the worker, "
                    f"{(end - start) / NS:.6f} s by call and token stamps, or began at another time."
                )
                reasons.append(Reason("phase_totals", "invalid", text))
    return tuple(reasons)


def long_tail(records: TrialRecords) -> tuple[Reason, ...]:
    """The way out of the call, as it usually is: it belongs to end-to-end figures and to no token. A single long one is
    a stall."""
    tails = tail_times(records)
    if not len(tails):
        return ()
    usual, request_s = float(np.median(tails)), float(np.median([(r.end_ns - r.start_ns) / NS for r in whole(records)]))
    if request_s <= 0 or usual <= max(TAIL_S, TAIL_SHARE * request_s):
        return ()
    share = usual / request_s
    text = (
        f"Requests return {usual * 1e3:.1f} ms after their last token, {format_share(share, decimals=1)} of "
        "their time: latency and inference throughput include it, figures of tokens do not."
    )
    return (Reason("long_tail", "warning", text),)


def missing_requests(records: TrialRecords) -> tuple[Reason, ...]:
    """Measured requests, and all training steps, are numbered from 0 without a gap: totals need every one of them. The
    steps of a trial that continued another begin where that one ended."""
    reasons = []
    first = 0 if records.resumed is None else records.resumed.step
    counted: tuple[tuple[str, list[int]], ...] = (
        ("request", sorted(r.index for r in records.measured)),
        ("training step", sorted(s.index - first for s in records.steps)),
    )
    for what, numbers in counted:
        if numbers != list(range(len(numbers))):
            lost = sorted(set(range(max(numbers) + 1)) - set(numbers)) if max(numbers) < MAX_STAMPS else []
            which = (
                f"the record of {what} {lost[0] + (first if what != 'request' else 0)} is missing"
                if lost
                else f"a {what} is recorded twice"
            )
            reasons.append(Reason("missing_request", "invalid", f"Of the measured window, {which}."))
    return tuple(reasons)


def lost_records(records: TrialRecords) -> tuple[Reason, ...]:
    """A request, readings or a warning may be among what is lost: nothing shows which figures are whole."""
    lost = records.lost
    if not lost:
        return ()
    which = f"Record {lost[0]} is" if len(lost) == 1 else f"{len(lost)} records ({format_numbers(lost)}) are"
    return (Reason("lost_records", "invalid", f"{which} missing: what the trial wrote is damaged there."),)


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
    long_tail,
    missing_requests,
    lost_records,
    step_times,
    token_count,
    window_length,
    clock_jump,
    asynchronous,
)
