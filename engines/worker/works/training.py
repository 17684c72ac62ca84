"""Training: held-out loss, warm-up steps, measured steps, held-out loss again. Main thread of the worker process;
torch-free. Warm-up steps train the model like all others; they only do not count in times and throughput.

Evaluations in between divide the steps into phases `measure` 0, 1, ... (or `warmup`): the clock of training, its memory
peaks and its processor time stand still meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import msgspec

from engines.protocol.orders import AnyTraining, ResumeOrder
from engines.protocol.records import Resumed, TookEffect
from engines.techniques import find
from engines.worker.budget import Budget
from engines.worker.engine import Engine, HeldOut, NotKept, Trains
from engines.worker.failures import WorkerFailure
from engines.worker.phases import quiet_collector
from engines.worker.works.work import Trial, cannot, tell_effects

EvaluationName = Literal["held_out_before", "held_out", "held_out_after", "test"]
SPLITS: dict[EvaluationName, HeldOut] = {
    "held_out_before": "validation",
    "held_out": "validation",
    "held_out_after": "validation",
    "test": "test",
}

WEIGHTS = {
    "start": 3.0,
    "convert": 1.0,
    "load": 6.0,
    "idle": 1.0,
    "held_out_before": 6.0,
    "adapt": 1.0,
    "train": 75.0,
    "held_out_after": 6.0,
    "test": 3.0,
    "keep": 3.0,
    "unload": 2.0,
}


def asked(workload: AnyTraining) -> dict[str, str]:
    """What the trial was asked for, as facts: its figures are checked against them, and its target is among them."""
    names = ("batch_size", "accumulation", "sequence_tokens", "packing", "stop_at", "steps", "target_loss")
    return {f"workload.{name}": f"{getattr(workload, name)}" for name in names if name in workload.__struct_fields__}


class TrainingWork:
    """`engines.worker.works.work.Work` whose unit is a step."""

    WEIGHTS = WEIGHTS

    def __init__(self, engine: Engine, trial: Trial) -> None:
        if not isinstance(engine, Trains):
            raise cannot(trial.order, "train")
        assert isinstance(trial.order.workload, AnyTraining)
        self._engine, self._trial, self._workload = engine, trial, trial.order.workload
        self._budget = Budget(self._workload)
        self._total = self._workload.warmup_steps + self._workload.steps
        self._done = self._saved = 0
        self._evaluations = 0

    def prepare(self) -> dict[str, str]:
        self._trial.doing = "preparing the training"
        return {**self._engine.prepare_training(), **asked(self._workload)}

    def run(self) -> None:
        trial = self._trial
        if self._workload.evaluation_tokens > 0 and "validation" not in self._engine.splits():
            trial.writer.log("No held-out loss: no rows are held out, or the model reads no text.")
        if trial.order.resume is None:
            self._evaluate("held_out_before")  # of the model as it is: some methods rewrite its weights
        self._adapt()
        self._begin()
        if trial.order.resume is not None and not trial.stop.requested:
            self._resume(trial.order.resume)
        for stretch in stretches(self._workload, trial.order.first_step, trial.order.first_measured_step):
            if self._over():
                break
            if stretch.evaluates:
                self._evaluate("held_out")
            if stretch.checkpoints:
                self._checkpoint()
            if self._over():
                break
            self._train(stretch)
        if trial.stop.requested:
            self._checkpoint()
            trial.writer.cue("short_training", f"Stopped after {self._done} of {self._total} training steps.")
            return
        if self._budget.reached:
            trial.writer.log(f"Training ended after {self._done} of {self._total} steps: {self._budget.told()}.")
        for effect in self._engine.trained():
            trial.writer.send(effect)
        self._evaluate("held_out_after")
        self._evaluate("test")
        if not trial.stop.requested:
            self._keep()

    def _adapt(self) -> None:
        trial = self._trial
        if trial.stop.requested:
            return
        adapts = any(t is not None and t.only_trains for t in map(find, (order.id for order in trial.order.techniques)))
        doing = "applying the fine-tuning method" if adapts else "preparing the weights"
        trial.doing = doing
        trial.progress.tell("adapt", doing.capitalize())
        with trial.phases.phase("adapt"), trial.stop.interruptible():
            effects = self._engine.adapt()
        tell_effects(trial, effects, "adapt")

    def _resume(self, order: ResumeOrder) -> None:
        trial = self._trial
        trial.doing = "going back to the checkpoint"
        self._budget.resume(self._engine.resume(order))
        self._done = self._saved = order.step
        trial.writer.send(Resumed(step=order.step, path=order.path, sha256=order.sha256))
        trial.writer.cue(
            "resumed",
            f"It continued after step {order.step} of trial {order.trial}, with the same data order: its times, "
            "throughput and energy are those of the steps after it, and there is no loss before training.",
        )

    def _checkpoint(self) -> None:
        """Also when the trial is asked to stop. The clock of training stands still."""
        if not self._workload.checkpoint_every or self._done <= self._saved:
            return
        self._trial.doing = "writing a checkpoint"
        try:
            self._trial.writer.send(self._engine.checkpoint(self._done, self._budget.spent()))
        except NotKept as problem:
            self._trial.writer.cue("not_kept", str(problem))
        self._saved = self._done

    def _keep(self) -> None:
        """What cannot be kept costs the trial nothing but that."""
        trial = self._trial
        if self._workload.keep == "nothing":
            return
        trial.doing = f"keeping the {self._workload.keep}"
        trial.progress.tell("keep", f"Writing the {self._workload.keep}")
        try:
            for artifact in self._engine.keep(self._done):
                trial.writer.send(artifact)
        except NotKept as problem:
            trial.writer.cue("not_kept", str(problem))
        except WorkerFailure as problem:
            trial.writer.cue("not_kept", f"The {self._workload.keep} was not kept. {problem.message} {problem.advice}")

    def _begin(self) -> None:
        trial = self._trial
        if trial.stop.requested:
            return
        trial.doing = "looking at one untimed step"
        trial.progress.tell("train", "Looking at one untimed step")
        effects: list[TookEffect] = []
        for found in self._engine.begin():
            if isinstance(found, TookEffect):
                effects.append(found)
            else:
                trial.writer.send(found)
        tell_effects(trial, effects, "begin")

    def _over(self) -> bool:
        """At least one measured step is made before a budget ends training, if not in this trial then in the one that
        it continues."""
        return self._trial.stop.requested or (self._budget.reached and self._done > self._workload.warmup_steps)

    def _train(self, stretch: Stretch) -> None:
        writer, total = self._trial.writer, self._total
        self._trial.doing = "training"
        with quiet_collector(), self._trial.phases.phase(stretch.phase, index=stretch.index):
            for batch in self._engine.train(stretch.steps, self._budget):
                with writer.together():
                    for step in batch:
                        writer.send(step)
                        self._done = step.index + 1
                    loss = f", loss {batch[-1].loss:.3f}" if batch[-1].loss is not None else ""
                    self._trial.progress.tell("train", f"Step {self._done} of {total}{loss}", self._share())

    def _share(self) -> float:
        return max(self._done / max(1, self._total), self._budget.share)

    def _evaluate(self, name: EvaluationName) -> None:
        """The clock of training stands still. Nothing where the workload asks for no tokens or has no such rows."""
        trial, split = self._trial, SPLITS[name]
        if self._workload.evaluation_tokens <= 0 or trial.stop.requested or split not in self._engine.splits():
            return
        trial.doing = "evaluating"
        with trial.phases.phase("evaluate", index=self._evaluations):
            self._evaluations += 1
            if name == "held_out":
                trial.progress.tell("train", "Loss on validation data", self._share())
            else:
                trial.progress.tell(name, f"Loss on {split} data")
            found = self._engine.held_out(split)
        if found is None:
            return
        trial.writer.send(msgspec.structs.replace(found, name=name, split=split, step=self._done))
        if name == "held_out":
            self._budget.evaluated(found.nll_sum / found.tokens)


@dataclass(frozen=True)
class Stretch:
    """Steps without anything in between."""

    phase: Literal["warmup", "measure"]
    index: int
    """Within its phase."""
    steps: range
    evaluates: bool = False
    """Whether the validation loss is taken before it."""
    checkpoints: bool = False
    """Whether a checkpoint is written before it, after the validation loss."""


def stretches(training: AnyTraining, first: int = 0, first_measured: int | None = None) -> Iterator[Stretch]:
    """All steps from `first` on, in order; a warm-up of no steps is there too. Where `first` is a step after which the
    validation loss is due, it is taken (again): the trial that is continued may have ended before it."""
    warm = training.warmup_steps if first_measured is None else first_measured
    total = training.warmup_steps + training.steps
    evaluated, saved = (_every(n, total) for n in (training.evaluate_every, training.checkpoint_every))
    borders = sorted(n for n in {first, warm, total, *evaluated, *saved} if n >= first)
    counts = {"warmup": 0, "measure": 0}
    if warm == first:
        yield Stretch("warmup", 0, range(first, first))
    for start, stop in pairwise(borders):
        phase: Literal["warmup", "measure"] = "warmup" if start < warm else "measure"
        yield Stretch(phase, counts[phase], range(start, stop), start in evaluated, start in saved and start > first)
        counts[phase] += 1


def _every(steps: int, total: int) -> frozenset[int]:
    """Borders between steps that divide training, its two ends left out."""
    return frozenset(range(steps, total, steps)) if steps else frozenset()
