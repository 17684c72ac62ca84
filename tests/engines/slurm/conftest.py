"""A real Slurm, and a front of it in a home of its own whose nodes start the fake worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engines.protocol.client import RunnerClient
from engines.protocol.messages import QueueState
from engines.protocol.places import Places
from engines.slurm.commands import SlurmSettings
from engines.slurm.front import PACE_VARIABLE, front_places
from tests.engines.runner_harness import ROOT, RunnerProcess, end_runner
from tests.slurm import Slurm, running_slurm, why_not

TWO_GPU_JOBS = SlurmSettings(partition="short", gpus=1, allocations=2, time_limit_minutes=5)


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

    @property
    def nodes(self) -> dict[str, Path]:
        """Folder of each job that the front knows, by the job's id."""
        return {each.id: self._folder(each.id) for each in self.queue().allocations}

    def _folder(self, job: str) -> Path:
        name = self.slurm.say("squeue", "--noheader", "--states=all", "--format=%j", f"--jobs={job}")
        return self.places.state / "jobs" / name

    def until(self, true: object) -> QueueState:
        raise NotImplementedError

    def close(self) -> None:
        for job in self.slurm.jobs():
            self.slurm.say("scancel", job)
        self.hang_up()
        end_runner(self.places)
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
