"""Tokens per second, by phase and overall, and how long loading takes. Pure functions over one trial's records."""

from __future__ import annotations

from engines.protocol.records import Request
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import MISSING, TrialRecords
from workbench.metrics.window import NS, no_window


def whole(records: TrialRecords) -> tuple[Request, ...]:
    """Measured requests whose every token has a stamp."""
    return tuple(
        r
        for r in records.measured
        if r.stamps > 0
        and r.first_stamp >= 0
        and len(records.token_times(r)) == r.stamps
        and not (records.token_times(r) == MISSING).any()
    )


def no_stamps(records: TrialRecords) -> NotAvailable:
    if not records.measured:
        return no_window(records)
    return NotAvailable("Token stamps of the measured requests are missing.")


def waiting(records: TrialRecords) -> str:
    """What the gaps between stamps are, for the method of a figure made of them."""
    if all(r.synchronised for r in records.measured):
        return "the loop waited for each token"
    return "the loop did not wait for each token: progress, not latency"


def _ratio(amount: float, duration_ns: float, method: str, n: int) -> Value | NotAvailable:
    if duration_ns <= 0:
        return NotAvailable("The measured time is not positive: the clock readings do not hold.")
    return Value(amount / (duration_ns / NS), method, n)


def decode_rate(records: TrialRecords) -> Value | NotAvailable:
    """Tokens after the first of each request, over the time from first to last token."""
    requests = [r for r in whole(records) if r.stamps > 1]
    if not requests:
        if whole(records):
            return NotAvailable("Requests of one token have no decode phase.")
        return no_stamps(records)
    tokens = sum(r.generated_tokens * (r.stamps - 1) / r.stamps for r in requests)
    spent = sum(int(records.token_times(r)[-1] - records.token_times(r)[0]) for r in requests)
    method = f"stamps of the measured requests, first token to last; {waiting(records)}"
    return _ratio(tokens, spent, method, round(tokens))


def prefill_rate(records: TrialRecords) -> Value | NotAvailable:
    """Prompt tokens of the whole batch over the time to the first token."""
    requests = whole(records)
    if not requests:
        return no_stamps(records)
    tokens = sum(r.prompt_tokens * r.batch_size for r in requests)
    spent = sum(int(records.token_times(r)[0]) - r.start_ns for r in requests)
    return _ratio(tokens, spent, "call to first token of the measured requests; includes making that token", tokens)


def throughput(records: TrialRecords) -> Value | NotAvailable:
    """EfficientLLM's IT: generated tokens over the time of the measured requests."""
    measured = records.measured
    if not measured:
        return no_window(records)
    tokens = sum(r.generated_tokens for r in measured)
    spent = sum(r.end_ns - r.start_ns for r in measured)
    return _ratio(tokens, spent, "clock readings around each measured call", tokens)


def _no_cold_start(records: TrialRecords) -> NotAvailable | None:
    if records.started is None or records.started.start_method == "plain":
        return None
    return NotAvailable(
        "The worker was forked from a template process that had imported the libraries: this is no cold start. "
        'Use start_method = "plain" to measure loading and the first call.'
    )


def first_call(records: TrialRecords) -> Value | NotAvailable:
    """The first request of all, before anything was warm."""
    if warm := _no_cold_start(records):
        return warm
    first = next(iter(records.requests), None)
    if first is None or not first.warmup or first.index != 0:
        return NotAvailable("The first request of the warm-up was not finished, or its record is missing.")
    if first.end_ns <= first.start_ns:
        return NotAvailable("The measured time is not positive: the clock readings do not hold.")
    return Value((first.end_ns - first.start_ns) / NS, "clock readings around the first request, in a fresh process", 1)


def load_time(records: TrialRecords) -> Value | NotAvailable:
    if warm := _no_cold_start(records):
        return warm
    if records.model is not None and records.model.load_s > 0:
        return Value(records.model.load_s, "worker's clock around loading and conversion, in a fresh process", 1)
    span = next((s for s in records.spans if s.name == "load"), None)
    if span is None:
        return NotAvailable("Loading was not finished.")
    return Value((span.end_ns - span.start_ns) / NS, "load phase, in a fresh process", 1)


METRICS = (
    Metric(
        id="decode_tokens_per_second",
        title="Decode throughput",
        definition="Tokens generated after the first one of each request, over all sequences of the batch, divided by "
        "the time from first to last token.",
        unit="tokens/s",
        better="higher",
        window="decode of the measured requests",
        compute=decode_rate,
        counts="tokens",
        primary=True,
        needs=("request", "stamps"),
    ),
    Metric(
        id="prefill_tokens_per_second",
        title="Prefill throughput",
        definition="Prompt tokens of the whole batch divided by the time to the first token.",
        unit="tokens/s",
        better="higher",
        window="prefill of the measured requests",
        compute=prefill_rate,
        counts="prompt tokens",
        needs=("request", "stamps"),
    ),
    Metric(
        id="throughput_tokens_per_second",
        title="Inference throughput",
        definition="IT of EfficientLLM: Σ generated tokens / Σ time of the measured requests, prefill included.",
        unit="tokens/s",
        better="higher",
        compute=throughput,
        counts="tokens",
        needs=("request",),
    ),
    Metric(
        id="load_s",
        title="Load time",
        definition="Time to load the model and bring it into its precision, in a fresh process; files may be in the "
        "system's cache. Importing the libraries comes before it.",
        unit="s",
        better="lower",
        window="load",
        compute=load_time,
        group="latency",
        needs=("model_loaded", "phase_ended"),
    ),
    Metric(
        id="first_call_s",
        title="First call",
        definition="End-to-end time of the first request after loading, in a fresh process: with what is chosen, made "
        "or read only once. Later requests of the warm-up show how soon that is over.",
        unit="s",
        better="lower",
        window="first request of the warm-up",
        compute=first_call,
        group="latency",
        task="generate",
        needs=("request",),
    ),
)
