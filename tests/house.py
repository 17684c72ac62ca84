"""A whole house for tests: a home with a model folder, a runner with the sleeping worker, sessions and commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.protocol.client import connect_local
from engines.protocol.places import Places
from engines.runner.settings import WORKER_VARIABLE
from tests.engines.runner_harness import end_runner
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, WorkloadChoice
from workbench.running.events import Event
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, TrialRow

ROOT = Path(__file__).resolve().parents[1]
QUICK = WorkloadChoice.of(
    new_tokens=(8,), prompt_tokens=(16,), requests=2, window_s=0.0, warmup_requests=3, perplexity_tokens=0
)


@dataclass
class House:
    places: Places
    model: Path
    sessions: list[Workbench] = field(default_factory=list)

    def open(self, **options: Any) -> Workbench:
        session = Workbench(places_=self.places, **options)
        self.sessions.append(session)
        return session

    def experiment(self, *, trials: int = 1, precisions: tuple[str, ...] = ("float32",), **workload: Any) -> Experiment:
        return Experiment(
            name="test",
            models=(str(self.model),),
            techniques=tuple(TechniqueChoice(id=f"precision.{p}") for p in precisions),
            workload=QUICK.with_values(workload),
            run=RunSettings(trials=trials),
        )

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`llm-workbench ARGUMENTS` as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "workbench", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def finished(self, session: Workbench, experiment: str, seconds: float = 120.0) -> tuple[TrialRow, ...]:
        """Wait until every trial of the experiment has ended and been judged."""
        deadline = time.monotonic() + seconds
        while True:
            trials = session.store.execute(GetExperiment(experiment=experiment)).trials
            if all(t.state == "ended" and t.verdict for t in trials):
                return trials
            assert time.monotonic() < deadline, [(t.title, t.state, t.outcome, t.verdict, t.message) for t in trials]
            time.sleep(0.05)

    def runner_pid(self) -> int:
        with connect_local(self.places, start=False, timeout=60) as client:
            return client.welcome.pid

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        end_runner(self.places)


class Heard(list[Event]):
    """A listener that keeps what it was told."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


def until(true: Callable[[], object], seconds: float = 60.0, what: str = "") -> None:
    """Wait for something that happens in well under a second, unless the machine is slow or stands still."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
        time.sleep(0.02)


def sleeping_worker_variable() -> tuple[str, str]:
    return WORKER_VARIABLE, f"{sys.executable} {ROOT / 'tests' / 'sleeping_worker.py'}"
