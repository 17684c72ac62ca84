"""A real Slurm, and a front of it in a home of its own whose nodes start the fake worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.client import RunnerClient
from engines.protocol.codec import decode_record
from engines.protocol.job_settings import JobSettings
from engines.protocol.places import Places
from engines.protocol.records import Environment, Record, TrialEnded, TrialStarted
from engines.slurm.front import PACE_VARIABLE, front_places
from tests.engines.runner_harness import ROOT, RunnerProcess, end_runner, is_alive, until
from tests.slurm import Slurm, running_slurm, why_not

TWO_GPU_JOBS = JobSettings(partition="short", gpus=1, allocations=2, time_limit_minutes=60)


class Front(RunnerProcess):
    """The runner whose trials run in Slurm jobs, started and connected to as the application does."""

    def __init__(self, home: Places, slurm: Slurm) -> None:
        super().__init__(front_places(home, "cluster"))
        self.slurm = slurm
        self.settings = TWO_GPU_JOBS
        self._links: list[subprocess.Popen[bytes]] = []

    def connect(self) -> RunnerClient:
        settings = msgspec.json.encode(self.settings).decode()
        link = subprocess.Popen(
            [sys.executable, "-m", "engines", "slurm", "--name", "cluster", "--settings", settings],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert link.stdin is not None
        assert link.stdout is not None
        self._links.append(link)
        client = RunnerClient(link.stdout, link.stdin, hang_up=link.terminate, timeout=60)
        self._clients.append(client)
        return client

    def kill(self) -> None:
        """SIGKILL of the front's process; its jobs run on."""
        pid = self.client.welcome.pid
        self.hang_up()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), what="the front is dead")

    def end_of(self, trial: str) -> TrialEnded:
        """Waits for it."""
        ended = self.records(trial)[-1]
        assert isinstance(ended, TrialEnded)
        return ended

    def facts(self, trial: str) -> dict[str, str]:
        """All facts of a trial that has ended."""
        records = self.records(trial)
        return {n: v for record in records if isinstance(record, Environment) for n, v in record.facts.items()}

    def worker_of(self, trial: str) -> int:
        """Process of a trial's worker, once it has said its first word."""
        self.until_phase(trial, "measure")
        return next(record.worker_pid for record in self.coming(trial) if isinstance(record, TrialStarted))

    def coming(self, trial: str) -> Iterator[Record]:
        """A trial's records, as they come."""
        stream = self.client.stream(messages.Attach(trial=trial))
        return (decode_record(reply.line) for reply in stream if isinstance(reply, messages.RecordLine))

    def until_phase(self, trial: str, phase: str) -> None:
        until(lambda: self.entry(trial).phase == phase, 90, f"{trial} is in {phase}: {self.log}")

    def close(self) -> None:
        self.hang_up()
        end_runner(self.places)
        for job in self.slurm.jobs():
            self.slurm.say("scancel", job)
        until(lambda: not self.slurm.jobs(), what="every job has ended")
        for link in self._links:
            link.wait(60)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running_slurm() as running:
        yield running


@pytest.fixture
def front(short_home: Places, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(PACE_VARIABLE, "0.1,0.3")
    made = Front(short_home, slurm)
    yield made
    made.close()
