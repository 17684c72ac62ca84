"""Trials of an experiment in jobs of a real Slurm, as the application runs them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from engines.protocol import messages
from engines.protocol.client import RunnerError
from engines.protocol.job_settings import JobSettings
from engines.protocol.places import Places
from engines.slurm.front import PACE_VARIABLE, front_places
from engines.slurm.node import ANY_GPU
from tests.engines.runner_harness import end_runner, make_order
from tests.house import House, until
from tests.slurm import Slurm as RealSlurm
from tests.slurm import running_slurm, why_not
from tests.sshd import Network
from workbench.experiment.experiment import RunSettings
from workbench.machines.links import connector
from workbench.machines.machine import Machine, Slurm, keep
from workbench.machines.slurm import front_words
from workbench.store.operations import GetExperiment

CLUSTER = Machine(id="cluster", title="The cluster", reach=Slurm(partition="short", gpus=1, time_limit_minutes=10))
PACE = {PACE_VARIABLE: "0.1,0.3"}


@pytest.fixture
def slurm(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealSlurm]:
    """Whose commands work on this computer."""
    if reason := why_not():
        pytest.skip(reason)
    with running_slurm() as running:
        for name, value in (running.environment | PACE).items():
            monkeypatch.setenv(name, value)
        yield running


def runs(house: House, slurm: RealSlurm, machine: Machine, there: Places) -> None:
    """An experiment on that machine, whose front has its files `there`."""
    keep(house.places, machine)
    session = house.open()
    try:
        session.follow()
        run = RunSettings(trials=2, machines=("cluster",))
        name = session.run(session.plan(msgspec.structs.replace(house.experiment(trials=2), run=run)))
        trials = house.finished(session, name, 400)
        assert [(t.outcome, t.machine) for t in trials] == [("completed", "cluster")] * 2
        facts = session.store.execute(GetExperiment(experiment=name)).environments
        assert {facts[t.trial]["slurm.node"] for t in trials} == {slurm.host}
        assert {facts[t.trial]["slurm.partition"] for t in trials} == {"short"}
        assert {path.name for path in front_places(there, "cluster").spools.glob("[!.]*")} == {t.trial for t in trials}
        probed = session.probe("cluster", refresh=True)
        assert [device.id for device in probed.devices] == ["cpu", ANY_GPU]
    finally:
        session.close()
        end_runner(front_places(there, "cluster"))


@pytest.mark.real
@pytest.mark.timeout(600)
def test_that_an_experiment_runs_in_a_slurm_job_and_its_records_come_home(house: House, slurm: RealSlurm) -> None:
    runs(house, slurm, CLUSTER, house.places)
    assert not list(house.places.spools.glob("*")), "nothing ran in this computer's own runner"


@pytest.mark.real
@pytest.mark.timeout(600)
def test_that_a_login_node_reached_by_ssh_places_runners(house: House, slurm: RealSlurm, far: Network) -> None:
    login = far.computer("login")
    login.environment |= slurm.environment | PACE
    login.close()
    login.start()
    reach = msgspec.structs.replace(CLUSTER.reach, login=login.reach)
    runs(house, slurm, msgspec.structs.replace(CLUSTER, reach=reach), login.places)


def test_that_the_front_is_sent_every_setting_of_the_machine() -> None:
    reach = Slurm(login=None, python="/p", partition="short", cpus=3, memory_bytes=5 << 30, allocations=2)
    sent = msgspec.json.decode(front_words("cluster", reach)[-1], type=JobSettings)
    assert sent == JobSettings(partition="short", cpus=3, memory_bytes=5 << 30, allocations=2)


def test_that_a_computer_without_slurm_says_so_and_keeps_the_queue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    try:
        with connector(CLUSTER, house.places, "test")() as client:
            client.call(messages.Submit(orders=(make_order("t", device=ANY_GPU),)))
            state: list[messages.QueueState] = []

            def is_paused() -> bool:
                state.append(client.call(messages.GetQueue()))  # type: ignore[arg-type]
                return state[-1].paused

            until(is_paused, what="the queue is paused")
    finally:
        end_runner(front_places(house.places, "cluster"))
    assert "There is no sbatch on this machine" in state[-1].pause_reason
    assert [entry.state for entry in state[-1].entries] == ["waiting"]


def test_that_an_interpreter_that_is_not_there_is_named(house: House) -> None:
    machine = msgspec.structs.replace(CLUSTER, reach=Slurm(python="/nowhere/python"))
    with pytest.raises(RunnerError, match="/nowhere/python"):
        connector(machine, house.places, "test")()
