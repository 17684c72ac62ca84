"""Machines that are off, come back, or were set up again by another process while a session is open."""

from __future__ import annotations

import threading

import msgspec
import pytest

from engines.protocol.client import RunnerClient, RunnerError
from tests.house import Heard, House, until
from tests.sshd import Network, Sshd, add, on
from workbench.machines.links import Connector
from workbench.machines.machine import find, keep, remove
from workbench.running.events import ProbeFinished
from workbench.running.workbench import Workbench


@pytest.fixture
def lab(house: House, far: Network) -> Sshd:
    made = far.computer("lab")
    add(house.places, made)
    return made


class NoAnswer:
    """In the place of a connection that is being made for as long as the test lasts."""

    def __init__(self, session: Workbench) -> None:
        self._over = threading.Event()
        session.link("lab").connect = Connector(self._connect, self._over.set)

    def _connect(self) -> RunnerClient:
        self._over.wait()
        raise RunnerError("Lab does not answer.", code="link")


def returns(work: object, session: Workbench) -> None:
    """That `work` does not wait for Lab."""
    thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]
    thread.start()
    until(lambda: not thread.is_alive(), what="it returns")


def spools(computer: Sshd) -> set[str]:
    return {path.name for path in computer.places.spools.iterdir()}


def test_that_a_deletion_waits_for_no_machine_and_is_heard_there_when_it_is_back(house: House, lab: Sshd) -> None:
    session = house.open()
    session.follow()
    name = session.run(session.plan(on(lab, house.experiment(trials=2))))
    trials = tuple(row.trial for row in house.finished(session, name))
    assert spools(lab) >= set(trials)
    session.close()
    lab.stop()

    session = house.open()
    NoAnswer(session)
    returns(lambda: session.delete(trials[:1]), session)
    assert session.unburied() == ("Lab",)
    session.close()

    done = house.command("delete", trials[1], "--yes")
    assert "Lab: not reached" in done.stdout
    lab.start()
    assert spools(lab) >= set(trials)
    session = house.open()
    session.follow()
    until(lambda: not spools(lab) & set(trials), what="their records there are deleted")
    until(lambda: not list((house.places.state / "burials").glob("*/[0-9]*")), what="nothing is owed")


def test_that_plans_wait_for_a_machine_that_is_off_only_once(house: House, lab: Sshd) -> None:
    session = house.open()
    heard = Heard()
    session.listen(heard)
    experiment = on(lab, house.experiment())
    lab.stop()
    (problem,) = [p for p in session.plan(experiment, wait=False).problems if p.severity == "error"]
    assert problem.message.startswith("lab: ")

    answers = session.link("lab").connect
    NoAnswer(session)
    returns(lambda: session.plan(experiment, wait=False), session)
    session.link("lab").connect.give_up()

    lab.start()
    session.link("lab").connect = answers
    session.plan(experiment, wait=False)
    until(lambda: [e for e in heard.of(ProbeFinished) if e.machine == "lab"], what="it is heard of")
    assert not [p for p in session.plan(experiment, wait=False).problems if p.severity == "error"]


def test_that_an_open_session_reaches_a_machine_as_it_was_set_up_last(house: House, far: Network) -> None:
    lab = far.computer("lab")
    works = add(house.places, lab)
    without = msgspec.structs.replace(works, reach=msgspec.structs.replace(works.reach, python="/nowhere/python"))  # type: ignore[type-var]
    keep(house.places, without)
    session = house.open()
    with pytest.raises(RunnerError):
        session.queue("lab")
    keep(house.places, works)  # as `llm-workbench machines setup` does
    assert session.queue("lab").entries == ()
    session.link("lab").close()
    assert find(house.places, "lab") == works


def test_that_a_machine_that_was_removed_is_named_as_the_reason(house: House, lab: Sshd) -> None:
    session = house.open()
    link = session.link("lab")
    remove(house.places, "lab")
    with pytest.raises(RunnerError, match="There is no machine 'lab'"):
        link.queue()
