"""Throughput and times of training (TT, ST of EfficientLLM), from records of its steps. Pure.

Totals and durations cover the same measured steps: Σ tokens of the steps over Σ time of the same steps. (A well-known
harness multiplies the throughput of a step by the number of steps.)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from engines.protocol.records import Step
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import NS

STEPS_MEASURED = "measured steps"
NO_STEP = NotAvailable("The trial had no training step: a record of each is needed.")


def _rate(
    amount: Callable[[Step], int], what: str, *, per_parameter: bool
) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        steps = records.measured_steps
        if not steps:
            return NO_STEP
        spent = sum(s.end_ns - s.start_ns for s in steps) / NS
        if spent <= 0 or any(s.end_ns <= s.start_ns for s in steps):
            return NotAvailable("The measured time is not positive: the clock readings do not hold.")
        total = sum(amount(s) for s in steps)
        if total <= 0:
            return NotAvailable(f"No {what} were recorded for the steps.")
        method = f"Σ {what} / Σ time over the same {len(steps)} steps"
        if not per_parameter:
            return Value(total / spent, method, total)
        parameters = records.model.parameters if records.model is not None else 0
        if parameters <= 0:
            return NotAvailable("The number of parameters is not known: the model was not loaded.")
        return Value(total / parameters / spent, f"{method}, over {parameters:,} parameters", total)

    return compute


def _metric(id: str, title: str, definition: str, unit: str, amount: Callable[[Step], int], what: str) -> Metric:
    return Metric(
        id=id,
        title=title,
        definition=definition,
        unit=unit,
        better="higher",
        window=STEPS_MEASURED,
        compute=_rate(amount, what, per_parameter="param" in unit),
        task="train",
        counts=what,
        primary=id == "training_tokens_per_second",
        beside=(id.replace("_parameter_second", "_second"),) if "param" in unit else (),
        needs=("step", "model_loaded") if "param" in unit else ("step",),
    )


def _tokens(records: TrialRecords) -> Value | NotAvailable:
    total = sum(s.tokens for s in records.steps)
    if records.resumed is not None:
        return NotAvailable("The trial continues another one, which counted the tokens before.")
    return Value(float(total), f"Σ tokens of {len(records.steps)} steps, warm-up included", total) if total else NO_STEP


def _step_time(records: TrialRecords) -> Value | NotAvailable:
    times = [(s.end_ns - s.start_ns) / NS for s in records.measured_steps]
    if not times:
        return NO_STEP
    return Value(
        statistics.median(times), f"median of {len(times)} measured steps: forward, backward, optimiser", len(times)
    )


def _latency(records: TrialRecords) -> Value | NotAvailable:
    steps = records.measured_steps
    if not steps:
        return NO_STEP
    spent = sum(s.end_ns - s.start_ns for s in steps) / NS
    return Value(spent / len(steps), "clock readings around each measured training step", len(steps))


def _data_share(records: TrialRecords) -> Value | NotAvailable:
    steps = records.measured_steps
    waited = sum(s.data_s for s in steps)
    worked = sum(s.end_ns - s.start_ns for s in steps) / NS
    if not steps or waited + worked <= 0:
        return NO_STEP
    return Value(
        waited / (waited + worked), f"time for making batches / (that + time of the {len(steps)} steps)", len(steps)
    )


_of_steps = partial(Metric, better="lower", window=STEPS_MEASURED, task="train", counts="steps", needs=("step",))

METRICS = (
    _metric(
        "training_tokens_per_second",
        "Training throughput",
        "Σ tokens of the measured training steps / Σ time of the same steps.",
        "tokens/s",
        lambda step: step.tokens,
        "tokens",
    ),
    _metric(
        "training_tokens_per_parameter_second",
        "Training throughput per parameter",
        "TT of EfficientLLM (pretraining): (Σ tokens / parameters) / Σ time of the measured steps.",
        "tokens/param/s",
        lambda step: step.tokens,
        "tokens",
    ),
    _metric(
        "training_samples_per_second",
        "Sample throughput",
        "Σ samples of the measured training steps / Σ time of the same steps.",
        "samples/s",
        lambda step: step.samples,
        "samples",
    ),
    _metric(
        "training_samples_per_parameter_second",
        "Sample throughput per parameter",
        "ST of EfficientLLM (fine-tuning): (Σ samples / parameters) / Σ time of the measured steps.",
        "samples/param/s",
        lambda step: step.samples,
        "samples",
    ),
    Metric(
        id="trained_tokens",
        title="Tokens trained on",
        definition="Tokens of all training steps, warm-up included; padding does not count.",
        unit="count",
        better="neither",
        window="whole trial",
        version=1,
        compute=_tokens,
        group="cost",
        task="train",
        counts="tokens",
        needs=("step",),
    ),
    _of_steps(
        id="training_step_s",
        title="Step time",
        definition="Median time of a measured training step: forward, backward, optimiser; not making the batch.",
        unit="s",
        compute=_step_time,
        group="latency",
    ),
    _of_steps(
        id="training_latency_s",
        title="Average latency of a step",
        definition="AL of EfficientLLM (fine-tuning): Σ time of the measured training steps / their number. In one "
        "process communication is part of a step.",
        unit="s/step",
        compute=_latency,
        group="latency",
    ),
    _of_steps(
        id="training_data_ratio",
        title="Time for data",
        definition="Time for making batches / (that + time of the measured training steps).",
        unit="ratio",
        compute=_data_share,
        shown_unit="%",
    ),
)
