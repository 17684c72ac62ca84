"""Trials of an experiment in jobs of a real Slurm, as the application runs them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.client import RunnerError
from engines.slurm.commands import SlurmSettings
from engines.slurm.front import PACE_VARIABLE, front_places
from engines.slurm.node import ANY_GPU
from tests.engines.runner_harness import end_runner
from tests.house import House, until
from tests.slurm import Slurm as RealSlurm
from tests.slurm import running_slurm, why_not
from workbench.experiment.experiment import RunSettings
from workbench.machines.links import connector
from workbench.machines.machine import Machine, Slurm, keep
from workbench.machines.slurm import JOB_SETTINGS
from workbench.store.operations import GetExperiment

CLUSTER = Machine(id="cluster", title="The cluster", reach=Slurm(partition="short", gpus=1, time_limit_minutes=10))


@pytest.fixture
def slurm(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSlurm]:
    """Ends the house's front, then its jobs."""
    if reason := why_not():
        pytest.skip(reason)
    with running_slurm() as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(PACE_VARIABLE, "0.1,0.3")
        yield running
        for session in house.sessions:
            session.close()
        end_runner(front_places(house.places, "cluster"))


@pytest.mark.real
@pytest.mark.timeout(600)
def test_that_an_experiment_runs_in_a_slurm_job_and_its_records_come_home(house: House, slurm: RealSlurm) -> None:
    keep(house.places, CLUSTER)
    session = house.open()
    session.follow()
    experiment = msgspec.structs.replace(house.experiment(trials=2), run=RunSettings(trials=2, machines=("cluster",)))
    name = session.run(session.plan(experiment))
    trials = house.finished(session, name, 400)
    assert [(t.outcome, t.machine) for t in trials] == [("completed", "cluster")] * 2
    facts = session.store.execute(GetExperiment(experiment=name)).environments
    assert {facts[t.trial]["slurm.node"] for t in trials} == {facts[trials[0].trial]["host.name"].partition(".")[0]}
    assert {facts[t.trial]["slurm.partition"] for t in trials} == {"short"}
    assert not list(house.places.spools.glob("*")), "nothing ran in this computer's own runner"
    probed = session.probe("cluster", refresh=True)
    assert [device.id for device in probed.devices] == ["cpu", ANY_GPU]
    session.close()
    until(lambda: not slurm.jobs("PENDING"), what="no job waits")


def test_that_the_front_is_sent_every_setting_of_the_machine() -> None:
    assert SlurmSettings.__struct_fields__ == JOB_SETTINGS
    assert set(JOB_SETTINGS) | {"login", "python", "home"} == set(Slurm.__struct_fields__)


def test_that_a_computer_without_slurm_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with connector(CLUSTER, house.places, "test")() as client:
        client.call(messages.SetPaused(paused=False))
        state = client.call(messages.GetQueue())
    end_runner(front_places(house.places, "cluster"))
    assert isinstance(state, messages.QueueState)


def test_that_an_interpreter_that_is_not_there_is_named(house: House) -> None:
    machine = msgspec.structs.replace(CLUSTER, reach=Slurm(python="/nowhere/python"))
    with pytest.raises(RunnerError, match="/nowhere/python"):
        connector(machine, house.places, "test")()
