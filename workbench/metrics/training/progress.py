"""A training trial as a path: what its steps had taken when each held-out loss was made. Pure; metrics and charts.

The clock runs while steps and the making of their batches run, warm-up included (it trains too), and stands still
between: evaluations, checkpoints and the untimed step that memory is counted in take no time and no energy here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engines.protocol.records import Evaluation, Step
from workbench.metrics.energy.measured import counter_energy, curve_energy, energy_over
from workbench.metrics.model import NotAvailable
from workbench.metrics.quality import scope_of
from workbench.metrics.trial import Floats, TrialRecords, stretches_of
from workbench.metrics.window import NS

Axis = Literal["step", "tokens", "time", "energy"]


@dataclass(frozen=True)
class HeldOut:
    """A loss on held-out text (nats a token), and after how many steps."""

    step: int
    loss: float


@dataclass(frozen=True)
class Progress:
    """Totals after each step. Arrays are (steps + 1,), from 0 steps on; `joules` is None where energy was not measured,
    which `no_joules` explains."""

    tokens: Floats
    seconds: Floats
    joules: Floats | None
    no_joules: str
    losses: Floats
    """Training loss of each step, before its update; NaN at 0 and where none was recorded."""
    held_out: tuple[HeldOut, ...]
    """On validation text, by step, finite ones only."""
    scope: str
    """What the held-out loss was taken over; "" where that changed within the trial, or nothing was."""
    finished: bool
    """Whether the trial ran to its end: a held-out loss after the last step was made."""

    def along(self, axis: Axis) -> Floats | None:
        """Totals on an axis, shape (steps + 1,); None where it was not measured."""
        if axis == "step":
            return np.arange(len(self.tokens), dtype=float)
        return {"tokens": self.tokens, "time": self.seconds, "energy": self.joules}[axis]

    @property
    def best(self) -> HeldOut | None:
        """The lowest held-out loss after a step, the earliest of equals."""
        return min((h for h in self.held_out if h.step > 0), key=lambda h: h.loss, default=None)


def validation(records: TrialRecords) -> tuple[Evaluation, ...]:
    """The evaluations that a trial's course is judged by, in order."""
    return tuple(e for e in records.evaluations if e.name.startswith("held_out") and e.split != "test")


def mean_loss(evaluation: Evaluation) -> float:
    """Nats a token; NaN where it has none, or the sum is not finite."""
    if evaluation.tokens < 1 or not math.isfinite(evaluation.nll_sum):
        return math.nan
    return evaluation.nll_sum / evaluation.tokens


def progress_of(records: TrialRecords) -> Progress | NotAvailable:
    steps = records.steps
    if not steps:
        return NotAvailable("The trial had no training step.")
    if records.resumed is not None:
        return NotAvailable(f"The trial continued from step {records.resumed.step} of another: its totals begin there.")
    if [s.index for s in steps] != list(range(len(steps))):
        return NotAvailable("Records of steps are missing: totals need every one of them.")
    made = validation(records)
    held_out = sorted(
        (HeldOut(_step_of(e, len(steps)), mean_loss(e)) for e in made if math.isfinite(mean_loss(e))),
        key=lambda h: h.step,
    )
    scopes = {scope_of(e) for e in made}
    joules, no_joules = _joules(records, steps)
    return Progress(
        tokens=_totals([float(s.tokens) for s in steps]),
        seconds=_totals([s.data_s + (s.end_ns - s.start_ns) / NS for s in steps]),
        joules=joules,
        no_joules=no_joules,
        losses=np.array([math.nan, *(math.nan if s.loss is None else s.loss for s in steps)]),
        held_out=tuple(held_out),
        scope=scopes.pop() if len(scopes) == 1 else "",
        finished=any(e.name == "held_out_after" for e in made),
    )


def _step_of(evaluation: Evaluation, steps: int) -> int:
    """Steps done before it; records from before 2026-12 say so by name only."""
    if evaluation.step is not None:
        return min(evaluation.step, steps)
    return 0 if evaluation.name == "held_out_before" else steps


def _totals(values: Sequence[float]) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values)))


def _joules(records: TrialRecords, steps: Sequence[Step]) -> tuple[Floats | None, str]:
    """Energy after each step: that of each stretch between pauses, by counter or curve, spread over its steps by
    time."""
    stretches = stretches_of(steps, records.spans)
    whole = energy_over(records, stretches)
    if isinstance(whole, NotAvailable):
        return None, whole.reason
    each = np.zeros(len(steps))
    for start, end in stretches:
        counter = counter_energy(records, ((start, end),))
        joules = curve_energy(records, ((start, end),)) if counter is None else counter
        among = [i for i, s in enumerate(steps) if start <= s.start_ns < end]
        spent = np.array([steps[i].end_ns - steps[i].start_ns for i in among], dtype=float)
        if joules is None or spent.sum() <= 0:
            return None, "Energy was not read through all steps."
        each[among] = joules * spent / spent.sum()
    return _totals([float(v) for v in each]), ""
