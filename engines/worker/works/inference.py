"""Inference: warm-up, measured requests, prefills alone, evaluation. Main thread of the worker process; torch-free."""

from __future__ import annotations

from engines.protocol.orders import Inference
from engines.worker.engine import Engine, Infers
from engines.worker.evaluate import Evaluator, is_asked_for
from engines.worker.measure import Requests
from engines.worker.phases import quiet_collector
from engines.worker.works.work import Trial, cannot

WEIGHTS = {
    "start": 2.0,
    "convert": 8.0,
    "load": 14.0,
    "idle": 1.0,
    "warmup": 20.0,
    "measure": 40.0,
    "prefill_energy": 2.0,
    "perplexity": 1.0,
    "texts": 2.0,
    "tasks": 8.0,
    "unload": 2.0,
}


class InferenceWork:
    """`engines.worker.works.work.Work` whose unit is a request."""

    WEIGHTS = WEIGHTS

    def __init__(self, engine: Engine, trial: Trial) -> None:
        if not isinstance(engine, Infers):
            raise cannot(trial.order, "generate text")
        assert isinstance(trial.order.workload, Inference)
        self._engine, self._trial, self._workload = engine, trial, trial.order.workload

    def prepare(self) -> dict[str, str]:
        self._trial.doing = "making the prompts"
        return self._engine.prepare()

    def run(self) -> None:
        trial = self._trial
        trial.doing = "generating"
        self._generate()
        if is_asked_for(self._workload) and not trial.stop.requested:
            trial.doing = "evaluating"
            with trial.phases.phase("evaluate"):
                Evaluator(self._engine, trial.order, trial.writer, trial.stop, trial.progress).run()

    def _generate(self) -> None:
        trial, workload = self._trial, self._workload
        requests = Requests(self._engine, workload, trial.writer, trial.phases, trial.ring, trial.stop, trial.progress)
        prefill_s = workload.prefill_energy_s or 0.0
        trial.ring.touch()
        with quiet_collector():
            with trial.phases.phase("warmup"):
                requests.warm_up()
            if trial.stop.requested:
                trial.writer.cue("short_window", "Stopped in the warm-up: nothing was measured.")
                return
            with trial.phases.phase("measure"):
                requests.measure()
            if prefill_s > 0 and requests.measured and not trial.stop.requested:
                with trial.phases.phase("prefill_energy"):
                    requests.repeat_prefill(prefill_s)
