"""Runs and times training steps. Worker process; imports torch.

A step's times are read around forward, backward and optimiser. Its batches are made before; loss and gradient norm are
read from the device after, of a GPU those of several steps together, so that the loop never waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from time import monotonic_ns

import torch
from transformers import PreTrainedModel

from engines.data.training.documents import Batches
from engines.hf.generate import make_clock
from engines.hf.training.micro_batches import MicroBatch, micro_batches
from engines.hf.training.optimisers import Group, MakesOptimiser, make_optimiser
from engines.hf.training.schedule import rate_factor
from engines.hf.training.step import Callback, Stepper
from engines.protocol.records import Step
from engines.protocol.work import AnyTraining
from engines.worker.budget import Budget
from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop

STEPS_TOGETHER = 10
"""Steps on a GPU whose times and scalars are read together."""


class _Times:
    """Where a clock's host stamps go."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def stamp(self) -> None:
        self.times.append(monotonic_ns())


@dataclass(frozen=True)
class _Done:
    """A step whose scalars may still be on their way from the device."""

    index: int
    batches: Sequence[MicroBatch]
    data_s: float
    rate: float
    loss: torch.Tensor
    norm: torch.Tensor

    def is_finite(self) -> bool:
        """Waits for the device."""
        return math.isfinite(float(self.loss)) and math.isfinite(float(self.norm))


class Trainer:
    """Trains the parameters of a model that require a gradient."""

    def __init__(
        self,
        model: PreTrainedModel,
        training: AnyTraining,
        batches: Batches,
        stop: Stop,
        groups: Sequence[Group],
        callback: Callback | None = None,
        first_measured: int | None = None,
        makes_optimiser: MakesOptimiser = make_optimiser,
    ) -> None:
        """`first_measured`: the first step that is no warm-up, where that is not the workload's."""
        self._first_measured = training.warmup_steps if first_measured is None else first_measured
        self._model, self._training, self._batches, self._stop = model, training, batches, stop
        self._total = training.warmup_steps + training.steps
        self.optimiser = makes_optimiser(training, groups)
        self._rates = [float(group["lr"]) for group in self.optimiser.param_groups]
        self._stepper = Stepper(model, training, self.optimiser, callback)
        self._together = STEPS_TOGETHER if model.device.type == "cuda" else 1
        self._times = _Times()
        self._clock = make_clock(self._times, 2 * self._together, model.device)

    def train(self, steps: range, budget: Budget) -> Iterator[Sequence[Step]]:
        """Run steps and give their records, a few at a time on a GPU. Ends early when the trial is stopped or the
        budget is spent."""
        self._model.train()
        first = steps.start
        while first < steps.stop and not self._over(first - 1, budget):
            done: list[_Done] = []
            last = min(first + budget.steps_left(self._together), steps.stop)
            self._times.times.clear()
            self._clock.begin()
            for index in range(first, last):
                if self._over(index - 1, budget):
                    break
                done.append(self._step(index, budget))
            self._clock.end()
            records = self._records(list(takewhile(_Done.is_finite, done)), budget)
            if records:
                yield records
            if len(records) < len(done):
                raise _diverged(done[len(records)])
            first += len(done)

    def _over(self, last: int, budget: Budget) -> bool:
        """Whether no step follows step `last`; a budget leaves at least one measured step. A trial that continues
        another ends where that one would have ended, even in its own warm-up."""
        return self._stop.requested or (budget.reached and last >= self._training.warmup_steps)

    def _step(self, index: int, budget: Budget) -> _Done:
        asked_ns = monotonic_ns()
        batches = micro_batches(self._batches, self._training.accumulation, index, self._model.device)
        data_s = (monotonic_ns() - asked_ns) / 1e9
        rate = self._set_rate(index, budget)
        self._clock.tick()
        loss, norm = self._stepper.run(max(index, int(budget.share * self._total)), batches)
        self._clock.tick()
        budget.spend(tokens=sum(batch.tokens for batch in batches))
        return _Done(index, batches, data_s, rate, loss, norm)

    def _set_rate(self, index: int, budget: Budget) -> float:
        """For every group its own rate; returns the first one's."""
        factor = rate_factor(
            index, self._total, self._training.schedule_warmup_steps, budget.share, self._training.rate_floor
        )
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        return self._rates[0] * factor

    def _records(self, done: Sequence[_Done], budget: Budget) -> list[Step]:
        times = (self._clock.corrected(2 * len(done)) or tuple(self._times.times))[: 2 * len(done)]
        records = list[Step]()
        for one, start_ns, end_ns in zip(done, times[::2], times[1::2], strict=True):
            counted = sum(batch.loss_tokens for batch in one.batches)
            # batches are made while a GPU still computes the steps before: what counts is how long it stood still
            data_s = min(one.data_s, (start_ns - records[-1].end_ns) / 1e9) if records else one.data_s
            budget.spend(time_s=(end_ns - start_ns) / 1e9 + data_s, steps=1)
            records.append(
                Step(
                    t_ns=end_ns,
                    index=one.index,
                    warmup=one.index < self._first_measured,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    tokens=sum(batch.tokens for batch in one.batches),
                    samples=sum(batch.documents for batch in one.batches),
                    loss=float(one.loss) if counted else None,
                    loss_tokens=counted,
                    gradient_norm=float(one.norm),
                    learning_rate=one.rate,
                    padding_tokens=sum(batch.padding for batch in one.batches),
                    data_s=data_s,
                    micro_batches=len(one.batches),
                )
            )
        return records


def _diverged(one: _Done) -> WorkerFailure:
    return WorkerFailure(
        "diverged",
        f"Training diverged: at step {one.index + 1} the loss is {float(one.loss):g} and the gradient norm "
        f"{float(one.norm):g}.",
        "The steps before it are kept. Lower the learning rate, or raise schedule_warmup_steps.",
    )
