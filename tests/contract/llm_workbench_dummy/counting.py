"""How a worker counts."""

import time
from types import MappingProxyType

from engines.protocol.records import Step
from engines.worker.engine import Engine, LendsModel
from engines.worker.works.work import Trial
from llm_workbench_dummy.work import Counting


class CountingWork:
    """`engines.worker.works.work.Work` in the fewest lines."""

    WEIGHTS = MappingProxyType({"start": 1.0, "convert": 1.0, "load": 1.0, "idle": 1.0, "measure": 5.0, "unload": 1.0})

    def __init__(self, engine: Engine, trial: Trial) -> None:
        self._engine, self._trial = engine, trial

    def prepare(self) -> dict[str, str]:
        lent = self._engine.lend_model() if isinstance(self._engine, LendsModel) else None
        return {"counting.with": type(lent.model).__name__ if lent is not None else "nothing"}

    def run(self) -> None:
        workload, writer = self._trial.order.workload, self._trial.writer
        assert isinstance(workload, Counting)
        with self._trial.phases.phase("measure"):
            for index in range(workload.numbers):
                start_ns = time.monotonic_ns()
                time.sleep(0.01)
                end_ns = time.monotonic_ns()
                writer.send(
                    Step(t_ns=end_ns, index=index, warmup=False, start_ns=start_ns, end_ns=end_ns, tokens=0, samples=1)
                )
                self._trial.progress.tell("measure", f"{index + 1}", (index + 1) / workload.numbers)
