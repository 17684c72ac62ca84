"""Losses of training: of its last steps, and on text that it does not see. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from engines.protocol.records import Evaluation
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.quality import bits_per_byte, scope_of, stretch_of, text_of
from workbench.metrics.training.progress import mean_loss, progress_of, validation
from workbench.metrics.training.throughput import NO_STEP, STEPS_MEASURED
from workbench.metrics.trial import TrialRecords

LAST_STEPS = 10
_NOT_TESTED = "The trial has no loss on test text: test_share or evaluation_tokens was 0, or it ended before."
_NOT_EVALUATED = "The trial has no loss on held-out text: evaluation_tokens was 0, or it ended before."

Found = Value | NotAvailable


def _final_loss(records: TrialRecords) -> Found:
    losses = [s.loss for s in records.measured_steps if s.loss is not None][-LAST_STEPS:]
    if not losses:
        return NO_STEP if not records.measured_steps else NotAvailable("The steps have no loss recorded.")
    return Value(statistics.fmean(losses), f"mean of the last {len(losses)} steps, each before its update", len(losses))


def _of(found: Evaluation | None, missing: str, what: str) -> Found:
    if found is None:
        return NotAvailable(missing)
    loss = mean_loss(found)
    if not math.isfinite(loss):
        return NotAvailable("The evaluation gave no finite loss.")
    return Value(loss, f"mean loss a token on {what}", found.tokens, scope_of(found))


def _before(records: TrialRecords) -> Found:
    found = next((e for e in validation(records) if e.name == "held_out_before"), None)
    return _of(found, _NOT_EVALUATED, "held-out text")


def _last(records: TrialRecords) -> Evaluation | None:
    return next((e for e in reversed(validation(records)) if e.name == "held_out_after"), None)


def _tested(records: TrialRecords) -> Evaluation | None:
    return next((e for e in reversed(records.evaluations) if e.split == "test"), None)


def _after(records: TrialRecords) -> Found:
    return _of(_last(records), _NOT_EVALUATED, "held-out text")


def _test(records: TrialRecords) -> Found:
    return _of(_tested(records), _NOT_TESTED, "test text, which chose nothing")


def _best(records: TrialRecords) -> Found:
    progress = progress_of(records)
    if isinstance(progress, NotAvailable):
        return progress
    if progress.best is None:
        return NotAvailable(_NOT_EVALUATED)
    after = [h for h in progress.held_out if h.step > 0]
    return Value(
        progress.best.loss,
        f"lowest of {len(after)} held-out losses, after {progress.best.step} of {len(progress.tokens) - 1} steps; the "
        "lowest of several is lower by chance too",
        len(after),
        progress.scope,
    )


def _best_step(records: TrialRecords) -> Found:
    progress = progress_of(records)
    if isinstance(progress, NotAvailable):
        return progress
    if progress.best is None:
        return NotAvailable(_NOT_EVALUATED)
    return Value(float(progress.best.step), "step of the lowest held-out loss", len(progress.held_out), progress.scope)


def _perplexity(loss: Callable[[TrialRecords], Found]) -> Callable[[TrialRecords], Found]:
    def compute(records: TrialRecords) -> Found:
        found = loss(records)
        if isinstance(found, NotAvailable):
            return found
        if found.value > 700:
            return NotAvailable("The loss is too large for a perplexity.")
        return Value(math.exp(found.value), f"exp of the {found.method}", found.n, found.scope)

    return compute


def _bits_per_byte(found: Evaluation | None, missing: str) -> Found:
    if found is None:
        return NotAvailable(missing)
    value = bits_per_byte(found)
    if value is None or not math.isfinite(value):
        return NotAvailable("The evaluated text has no bytes, or its loss is not finite.")
    return Value(value, stretch_of(found), found.tokens, text_of(found))


def _metric(
    id: str,
    title: str,
    definition: str,
    compute: Callable[[TrialRecords], Found],
    *,
    unit: str = "nats/token",
    primary: bool = False,
    counts: str = "tokens",
    beside: tuple[str, ...] = (),
) -> Metric:
    return Metric(
        id=id,
        title=title,
        definition=definition,
        unit=unit,
        better="lower",
        window="evaluate",
        compute=compute,
        group="quality",
        primary=primary,
        task="train",
        counts=counts,
        beside=beside,
        same_scope=True,
        needs=("evaluation",),
    )


METRICS = (
    Metric(
        id="training_loss",
        title="Training loss",
        definition=f"Mean loss of the last {LAST_STEPS} measured training steps, each before its update.",
        unit="nats/token",
        better="lower",
        window=STEPS_MEASURED,
        compute=_final_loss,
        group="quality",
        task="train",
        counts="steps",
        needs=("step",),
    ),
    _metric(
        "held_out_loss_before",
        "Held-out loss before",
        "Mean token loss on text that training does not see, before the first step.",
        _before,
    ),
    _metric(
        "held_out_loss",
        "Held-out loss",
        "Mean token loss on text that training does not see, after the last step.",
        _after,
        primary=True,
        beside=("held_out_loss_before", "held_out_loss_best"),
    ),
    _metric(
        "held_out_perplexity",
        "Held-out perplexity",
        "exp of the held-out loss after the last step.",
        _perplexity(_after),
        unit="ratio",
    ),
    _metric(
        "held_out_bits_per_byte",
        "Held-out bits per byte",
        "Σ token loss / ln 2 / bytes of the held-out text, after the last step: comparable where tokenizers differ.",
        lambda records: _bits_per_byte(_last(records), _NOT_EVALUATED),
        unit="bit/B",
    ),
    _metric(
        "held_out_loss_best",
        "Best held-out loss",
        "Lowest held-out loss after any step; its step is in the method.",
        _best,
        counts="evaluations",
    ),
    _metric(
        "held_out_best_step",
        "Step of the best held-out loss",
        "Training steps done when the held-out loss was lowest.",
        _best_step,
        unit="count",
        counts="evaluations",
    ),
    _metric(
        "test_loss",
        "Test loss",
        "Mean token loss after the last step on text that neither training nor a choice of settings has seen.",
        _test,
        primary=True,
    ),
    _metric(
        "test_perplexity",
        "Test perplexity",
        "exp of the test loss.",
        _perplexity(_test),
        unit="ratio",
    ),
    _metric(
        "test_bits_per_byte",
        "Test bits per byte",
        "Σ token loss / ln 2 / bytes of the test text: comparable where tokenizers differ.",
        lambda records: _bits_per_byte(_tested(records), _NOT_TESTED),
        unit="bit/B",
    ),
)
