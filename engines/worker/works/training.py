"""Training: held-out loss, warm-up steps, measured steps, held-out loss again. Main thread of the worker process;
torch-free. Warm-up steps train the model like all others; they only do not count in times and throughput."""

from __future__ import annotations

from engines.protocol.orders import Training
from engines.worker.engine import Engine, NotKept, Trains
from engines.worker.failures import WorkerFailure
from engines.worker.phases import quiet_collector
from engines.worker.works.work import Trial, cannot

WEIGHTS = {
    "start": 3.0,
    "convert": 1.0,
    "load": 6.0,
    "idle": 1.0,
    "held_out_before": 6.0,
    "warmup": 5.0,
    "measure": 70.0,
    "held_out_after": 6.0,
    "keep": 3.0,
    "unload": 2.0,
}


def asked(workload: Training) -> dict[str, str]:
    """What the trial was asked for, as facts: its figures are checked against them, and its target is among them."""
    names = ("batch_size", "accumulation", "sequence_tokens", "packing", "stop_at", "steps", "target_loss")
    return {f"workload.{name}": f"{getattr(workload, name)}" for name in names}


class TrainingWork:
    """`engines.worker.works.work.Work` whose unit is a step."""

    WEIGHTS = WEIGHTS

    def __init__(self, engine: Engine, trial: Trial) -> None:
        if not isinstance(engine, Trains):
            raise cannot(trial.order, "train")
        assert isinstance(trial.order.workload, Training)
        self._engine, self._trial, self._workload = engine, trial, trial.order.workload
        self._total = self._workload.warmup_steps + self._workload.steps
        self._done = 0
        self._held_out = 0

    def prepare(self) -> dict[str, str]:
        self._trial.doing = "preparing the training"
        return {**self._engine.prepare_training(), **asked(self._workload)}

    def run(self) -> None:
        trial, warmup_steps = self._trial, self._workload.warmup_steps
        self._evaluate("held_out_before")
        trial.doing = "training"
        with quiet_collector():
            with trial.phases.phase("warmup"):
                self._train(range(warmup_steps), "warmup")
            if not trial.stop.requested:
                with trial.phases.phase("measure"):
                    self._train(range(warmup_steps, self._total), "measure")
        if trial.stop.requested:
            trial.writer.cue("short_training", f"Stopped after {self._done} of {self._total} training steps.")
            return
        for effect in self._engine.trained():
            trial.writer.send(effect)
        self._evaluate("held_out_after")
        if not trial.stop.requested:
            self._keep()

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

    def _train(self, steps: range, part: str) -> None:
        writer, total = self._trial.writer, self._total
        for batch in self._engine.train(steps):
            with writer.together():
                for step in batch:
                    writer.send(step)
                    self._done = step.index + 1
                if batch and (loss := batch[-1].loss) is not None:
                    share = (self._done - steps.start) / len(steps)
                    self._trial.progress.tell(part, f"Step {self._done} of {total}, loss {loss:.3f}", share)

    def _evaluate(self, name: str) -> None:
        """The clock of training stands still; nothing where the workload asks for no tokens."""
        trial = self._trial
        if self._workload.evaluation_tokens <= 0 or trial.stop.requested:
            return
        trial.doing = "evaluating"
        with trial.phases.phase("evaluate", index=self._held_out):
            self._held_out += 1
            trial.progress.tell(name, "Loss on held-out text")
            found = self._engine.held_out(name)
        if found is not None:
            trial.writer.send(found)
        elif not trial.stop.requested:
            trial.writer.log("No held-out loss: the model has no tokenizer, or its weights are random.")
