"""Far computers on networks of their own: cables that are pulled, addresses that another computer has now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from engines.protocol.client import RunnerError
from tests.house import Heard, House, until
from tests.netns import Cables, cables
from tests.sshd import Network, Sshd, add, on
from tests.workbench.machines.test_host_keys import fingerprint
from tests.workbench.machines.test_ssh import said, stored
from workbench.machines.host_keys import host_key
from workbench.running.events import RecordsArrived, RunnerLink


@pytest.fixture
def net() -> Iterator[Cables]:
    with cables() as made:
        yield made


def links(heard: Heard, machine: str) -> list[RunnerLink]:
    return [link for link in heard.of(RunnerLink) if link.machine == machine]


def test_that_a_pulled_cable_costs_no_record_and_stops_no_other_machine(
    house: House, net: Cables, far: Network
) -> None:
    there = {name: far.computer(name, **net.lay(name)) for name in ("lab", "den")}
    for computer in there.values():
        add(house.places, computer)
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    both = on(there["lab"], house.experiment(new_tokens=(900,), requests=5))
    both = msgspec.structs.replace(both, run=msgspec.structs.replace(both.run, machines=tuple(there)))
    name = session.run(session.plan(both))

    def running(machine: str) -> list[str]:
        return [e.trial for e in session.queue(machine).in_state("running") if e.phase in ("warmup", "measure")]

    until(lambda: all(running(machine) for machine in there), what="both work at once")
    (here,), (away,) = running("den"), running("lab")
    until(lambda: stored(session, away), what="records come")
    net.pull("lab")
    until(lambda: links(heard, "lab")[-1].state == "lost", what="the loss shows")
    before = len(said(there["lab"], away)), len(stored(session, here))
    arrived = len([e for e in heard.of(RecordsArrived) if e.trial == away])
    until(lambda: len(said(there["lab"], away)) > before[0] + 20, what="the trial continues there")
    until(lambda: len(stored(session, here)) > before[1], what="the other machine's records come")
    assert links(heard, "den")[-1].state == "connected"
    assert len([e for e in heard.of(RecordsArrived) if e.trial == away]) == arrived

    net.plug("lab")
    trials = house.finished(session, name)
    assert {(t.machine, t.outcome) for t in trials} == {("lab", "completed"), ("den", "completed")}
    for trial in trials:
        records = stored(session, trial.trial)
        assert records == said(there[trial.machine], trial.trial)
        assert [number for number, _, _ in records] == list(range(1, len(records) + 1))
    told = [r.seq for event in heard.of(RecordsArrived) if event.trial == away for r in event.records]
    assert told == sorted(set(told)), "listeners have every record once, too"


def test_that_another_computer_at_a_known_address_is_sent_nothing(house: House, net: Cables, far: Network) -> None:
    lab = far.computer("lab", **net.lay("lab"))
    add(house.places, lab)
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.link("lab").follow()
    until(lambda: links(heard, "lab") and links(heard, "lab")[-1].state == "connected", what="it is connected")

    net.pull("lab")
    until(lambda: links(heard, "lab")[-1].state == "lost", what="the loss shows")
    net.connect("lab", "10.213.7.99")
    net.pull("lab")
    other = far.computer("other", known=False, **net.lay("other"))
    move(net, other, lab)
    far.computers.remove(other)  # the name "lab" leads to it now
    until(lambda: links(heard, "lab")[-1].code == "host_key", what="its key is another")
    link = links(heard, "lab")[-1]
    assert "another host key than before" in link.message
    assert "Nothing was sent" in link.message
    with pytest.raises(RunnerError, match="another host key"):
        session.link("lab").connect()
    key = host_key(lab.reach)
    assert (key.state, key.fingerprint, key.expected) == ("changed", fingerprint(other), (fingerprint(lab),))
    assert not other.places.state.exists(), "no runner was started there"

    other.stop()
    net.connect("other", "10.213.7.98")
    net.connect("lab", lab.address)
    session.link("lab").retry()
    until(lambda: links(heard, "lab")[-1].state == "connected", what="the right one is back")


def move(net: Cables, computer: Sshd, to: Sshd) -> None:
    """It listens where the other one did."""
    computer.stop()
    net.connect(computer.name, to.address)
    place: dict[str, Any] = {"address": to.address, "port": to.port}
    for name, value in place.items():
        setattr(computer, name, value)
    computer.start()
