"""Checks of training: that steps were what was asked for, and that they were training and not waiting. Pure."""

from __future__ import annotations

from workbench.metrics.checks.reason import Reason
from workbench.metrics.trial import TrialRecords
from workbench.metrics.window import NS
from workbench.units import counted, format_share

PADDING_LIMIT = 0.20
"""Share of computed positions that are padding."""
DATA_LIMIT = 0.10
"""Share of the time that goes into making batches."""


UNFIT_LIMIT = 0.20
"""Share of the rows that became tokens and were left out: too long, or against the chat template."""


def _asked(records: TrialRecords, name: str) -> int | None:
    """A whole number that the trial was asked for; None where the worker did not say it."""
    said = records.environment.get(f"workload.{name}", "")
    return int(said) if said.isdecimal() else None


def effective_batch(records: TrialRecords) -> tuple[Reason, ...]:
    """Every step added up the gradients of as many batches as asked for, and computed no more positions than they
    hold."""
    accumulation, rows, length = (_asked(records, n) for n in ("accumulation", "batch_size", "sequence_tokens"))
    if accumulation is None:
        return ()
    for step in records.steps:
        if step.micro_batches != accumulation:
            text = f"Training step {step.index} added up {counted(step.micro_batches, 'batches')}, not {accumulation}."
            return (Reason("effective_batch", "invalid", text),)
        if rows is None or length is None:
            continue
        most = accumulation * rows * length
        if step.tokens + step.padding_tokens > most:
            text = (
                f"Training step {step.index} computed {step.tokens + step.padding_tokens:,} tokens; "
                f"{accumulation} x {rows} sequences of {length} tokens are {most:,}."
            )
            return (Reason("effective_batch", "invalid", text),)
    return ()


def padding(records: TrialRecords) -> tuple[Reason, ...]:
    """Time and memory go into positions that teach nothing."""
    padded = sum(s.padding_tokens for s in records.measured_steps)
    whole = padded + sum(s.tokens for s in records.measured_steps)
    if not whole or padded / whole <= PADDING_LIMIT:
        return ()
    text = f"{format_share(padded / whole)} of the computed positions are padding: tokens/s are lower for it."
    return (Reason("padding", "warning", text),)


def slow_data(records: TrialRecords) -> tuple[Reason, ...]:
    """Steps wait for their batches: totals of time and energy are partly those of the data."""
    waited = sum(s.data_s for s in records.measured_steps)
    worked = sum(s.end_ns - s.start_ns for s in records.measured_steps) / NS
    if waited + worked <= 0 or waited / (waited + worked) <= DATA_LIMIT:
        return ()
    share = format_share(waited / (waited + worked))
    text = f"Making batches took {share} of the time of training; the step time leaves it out, time to a loss does not."
    return (Reason("slow_data", "warning", text),)


def rows_unfit(records: TrialRecords) -> tuple[Reason, ...]:
    """What was trained on is another selection of the data than it seems: short rows."""
    unfit, whole = (records.environment.get(f"training.rows_{name}", "") for name in ("unfit", "tokenised"))
    if not (unfit.isdecimal() and whole.isdecimal()) or int(unfit) <= UNFIT_LIMIT * int(whole):
        return ()
    why = records.environment.get("training.rows_left_out_because", "")
    text = f"{int(unfit):,} of {int(whole):,} rows were left out ({why}): raise sequence_tokens or change the template."
    return (Reason("rows_unfit", "warning", text),)


STEP_CHECKS = (effective_batch, padding, slow_data, rows_unfit)
