"""What it takes to reach a loss: steps, tokens, time, energy. Pure.

The target is fixed before the trial (`target_loss` of its workload) or for a whole comparison. Between two evaluations
the held-out loss is taken to fall along a straight line. A trial that does not get there has no figure, never a large
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.training.progress import Axis, Progress, progress_of
from workbench.metrics.trial import TrialRecords

TARGET_FACT = "workload.target_loss"
"""Environment fact with the target, said by workers that train towards one."""


@dataclass(frozen=True)
class NotReached:
    """The trial ended above the target."""

    lowest: float | None
    """Lowest held-out loss of the trial; None: it made none."""
    step: int

    @property
    def reason(self) -> str:
        if self.lowest is None:
            return "Not reached: no held-out loss was made."
        return f"Not reached: the lowest held-out loss was {self.lowest:.4g}, after {self.step:,} steps."


def reached(progress: Progress, target: float) -> float | NotReached:
    """Steps until the held-out loss is at the target for the first time, a fraction where it lies between two
    evaluations; 0 where it is there before training."""
    before = None
    for point in progress.held_out:
        if point.loss <= target:
            if before is None or before.loss == point.loss:
                return float(point.step)
            share = (before.loss - target) / (before.loss - point.loss)
            return before.step + share * (point.step - before.step)
        before = point
    lowest = min(progress.held_out, key=lambda h: h.loss, default=None)
    return NotReached(None if lowest is None else lowest.loss, 0 if lowest is None else lowest.step)


def cost_of(progress: Progress, target: float, axis: Axis) -> float | NotReached | NotAvailable:
    """What reaching the target takes on an axis (steps, tokens, s, J)."""
    found = reached(progress, target)
    totals = progress.along(axis)
    if totals is None:
        return NotAvailable(progress.no_joules)
    if isinstance(found, NotReached):
        if not progress.held_out:
            return NotAvailable("The trial has no loss on held-out text.")
        return found if progress.finished else NotAvailable("The trial ended early: the loss may have come later.")
    return float(np.interp(found, np.arange(len(totals)), totals))


def target_of(records: TrialRecords) -> float | None:
    """The loss that the trial was asked to reach; None where it was asked for none."""
    try:
        target = float(records.environment.get(TARGET_FACT, ""))
    except ValueError:
        return None
    return target if math.isfinite(target) and target > 0 else None


def _to_loss(axis: Axis) -> Callable[[TrialRecords], Value | NotAvailable]:
    def compute(records: TrialRecords) -> Value | NotAvailable:
        target = target_of(records)
        if target is None:
            return NotAvailable("No target_loss was set for the trial.")
        progress = progress_of(records)
        if isinstance(progress, NotAvailable):
            return progress
        found = cost_of(progress, target, axis)
        if isinstance(found, NotReached):
            return NotAvailable(found.reason, n=0)
        if isinstance(found, NotAvailable):
            return found
        made = sum(h.step > 0 for h in progress.held_out)
        where = f"on the line between two of {made} evaluations" if found else "where it was before training"
        method = f"to a held-out loss of {target:g}, {where}; {_CLOCK[axis]}"
        return Value(found, method, made, f"loss {target:g} on {progress.scope}" if progress.scope else "")

    return compute


_CLOCK: dict[Axis, str] = {
    "step": "warm-up steps count",
    "tokens": "tokens of all steps, warm-up included",
    "time": "time of all steps and of making their batches; evaluations stop the clock",
    "energy": "energy of all steps by the device's meter, evaluations left out",
}

_Kind = tuple[str, str, str, str, Axis, str, tuple[str, ...]]
_KINDS: tuple[_Kind, ...] = (
    ("time_to_loss_s", "Time to the target loss", "Time", "s", "time", "latency", ()),
    ("tokens_to_loss", "Tokens to the target loss", "Tokens", "count", "tokens", "latency", ()),
    (
        "energy_to_loss_joules",
        "Energy to the target loss",
        "Energy of the device",
        "J",
        "energy",
        "energy",
        ("energy_joules", "power_watts"),
    ),
)

METRICS = tuple(
    Metric(
        id=id,
        title=title,
        definition=f"{what} until the held-out loss is at the target for the first time, on a straight line between "
        "evaluations, which stop the clock. A trial that does not reach it has none and counts as infinite in medians.",
        unit=unit,
        better="lower",
        window="all steps, evaluations left out",
        compute=_to_loss(axis),
        group=group,
        task="train",
        counts="evaluations",
        same_scope=True,
        censored=True,
        needs=("step", "evaluation", *sensed),
    )
    for id, title, what, unit, axis, group, sensed in _KINDS
)
