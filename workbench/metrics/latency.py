"""Latencies of one trial: to the first token, between tokens, per request. Pure.

Per-token lists belong to one request: gaps are taken inside `TrialRecords.token_times(request)`, never across.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.speed import no_stamps, waiting, whole
from workbench.metrics.trial import Floats, TrialRecords
from workbench.metrics.window import NS, no_window
from workbench.statistics.intervals import needed_for_percentile, percentile


def first_token_times(records: TrialRecords) -> Floats:
    """Seconds from each call to its first token, shape (measured requests,)."""
    return np.array([(int(records.token_times(r)[0]) - r.start_ns) / NS for r in whole(records)])


def token_gaps(records: TrialRecords) -> Floats:
    """Seconds between neighbouring tokens of one request, all measured requests, shape (Σ (stamps − 1),)."""
    gaps = [np.diff(records.token_times(r)) / NS for r in whole(records)]
    return np.concatenate(gaps) if gaps else np.empty(0)


def tail_times(records: TrialRecords) -> Floats:
    """Seconds from each last token to the call's return, shape (measured requests,)."""
    return np.array([(r.end_ns - int(records.token_times(r)[-1])) / NS for r in whole(records)])


def tail(records: TrialRecords) -> Value | NotAvailable:
    tails = tail_times(records)
    if not len(tails):
        return no_stamps(records)
    return Value(float(np.mean(tails)), "mean over the measured requests, last token to the call's return", len(tails))


def _first_token(reduce: Callable[[Floats], float], word: str) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        times = first_token_times(records)
        if not len(times):
            return no_stamps(records)
        return Value(reduce(times), f"{word} over the measured requests, call to first token", len(times))

    return compute


def gap_mean(records: TrialRecords) -> Value | NotAvailable:
    gaps = token_gaps(records)
    if not len(gaps):
        return no_stamps(records) if not whole(records) else NotAvailable("Requests of one token have no gaps.")
    method = f"mean of the gaps between neighbouring tokens of a request; {waiting(records)}"
    return Value(float(np.mean(gaps)), method, len(gaps))


def _gap_percentile(q: float) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        gaps = token_gaps(records)
        if not len(gaps):
            return gap_mean(records)
        value = percentile(gaps, q)
        if value is None:
            return NotAvailable(
                f"{len(gaps)} gaps cannot carry a {q:g}th percentile: {needed_for_percentile(q):,} are needed."
            )
        return Value(value, f"{q:g}th percentile of the gaps inside requests; {waiting(records)}", len(gaps))

    return compute


def per_output_token(records: TrialRecords) -> Value | NotAvailable:
    requests = [r for r in whole(records) if r.stamps > 1]
    if not requests:
        return gap_mean(records)
    each = [(r.end_ns - int(records.token_times(r)[0])) / NS / (r.stamps - 1) for r in requests]
    return Value(float(np.mean(each)), "(end-to-end − first token)/(tokens − 1), mean over requests", len(each))


def average_latency(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's AL of inference. One process: communication time is part of the call."""
    measured = records.measured
    if not measured:
        return no_window(records)
    spent = sum(r.end_ns - r.start_ns for r in measured) / NS
    return Value(spent / len(measured), "clock readings around each measured call", len(measured))


_seconds = partial(Metric, unit="s", better="lower", shown_unit="ms", group="latency", needs=("request", "stamps"))


def _percentile_metric(q: float) -> Metric:
    return _seconds(
        id=f"inter_token_latency_p{f'{q:g}'.replace('.', '')}_s",
        title=f"Inter-token latency, p{q:g}",
        definition=f"{q:g}th percentile of the gaps between neighbouring tokens of a request; blank under "
        f"{needed_for_percentile(q):,} gaps.",
        window="decode of the measured requests",
        compute=_gap_percentile(q),
        counts="gaps",
        task="generate",
    )


METRICS = (
    _seconds(
        id="time_to_first_token_s",
        title="Time to first token",
        definition="From the call to the first token, mean over the measured requests.",
        window="prefill of the measured requests",
        compute=_first_token(lambda times: float(np.mean(times)), "mean"),
        counts="requests",
        primary=True,
    ),
    _seconds(
        id="time_to_first_token_median_s",
        title="Time to first token, median",
        definition="From the call to the first token, median over the measured requests.",
        window="prefill of the measured requests",
        compute=_first_token(lambda times: float(np.median(times)), "median"),
        counts="requests",
    ),
    _seconds(
        id="inter_token_latency_s",
        title="Inter-token latency",
        definition="Mean gap between neighbouring tokens of a request.",
        window="decode of the measured requests",
        compute=gap_mean,
        counts="gaps",
    ),
    _percentile_metric(50),
    _percentile_metric(90),
    _percentile_metric(99),
    _percentile_metric(99.9),
    _seconds(
        id="time_per_output_token_s",
        title="Time per output token",
        definition="(end-to-end − time to first token)/(tokens − 1), mean over the measured requests.",
        compute=per_output_token,
        counts="requests",
    ),
    _seconds(
        id="tail_s",
        title="Return after the last token",
        definition="From the last token to the call's return, mean over the measured requests: freeing the cache, "
        "leaving the library. Part of latency and inference throughput, not of decode throughput.",
        compute=tail,
        counts="requests",
    ),
    Metric(
        id="latency_s",
        title="Average latency",
        definition="AL of EfficientLLM: Σ time of the measured requests / their number.",
        unit="s/request",
        better="lower",
        compute=average_latency,
        counts="requests",
        group="latency",
        needs=("request",),
    ),
)
