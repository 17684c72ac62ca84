"""Trials on far computers that a real ssh reaches."""

from __future__ import annotations

import msgspec

from engines.protocol.codec import read_head
from tests.house import House
from tests.sshd import Network, Sshd, add
from workbench.experiment.experiment import RunSettings
from workbench.machines.ssh import Remote
from workbench.running.workbench import Workbench
from workbench.store.operations import ReadRecords

ODD = ["a b", "it's", "", "$HOME `id` \\ \\\\", "*", "~", 'say "no"', "ä\u20ac", "-n", "=ls", "two\nlines", "!!", "#"]


def said(computer: Sshd, trial: str) -> list[tuple[int, str, int]]:
    """Number, kind and time of every record in the spool there."""
    lines = (computer.places.spools / trial / "records.jsonl").read_bytes().splitlines()
    return heads(lines[1:])  # the first line is the spool's header


def stored(session: Workbench, trial: str) -> list[tuple[int, str, int]]:
    return heads([line.encode() for line in session.store.execute(ReadRecords(trial=trial))])


def heads(lines: list[bytes]) -> list[tuple[int, str, int]]:
    return [(h.seq, h.kind, h.t_ns) for h in map(read_head, lines) if h is not None]


def test_that_a_trial_runs_on_a_far_computer_and_every_record_comes_home(house: House, far: Network) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    session.follow()
    experiment = msgspec.structs.replace(house.experiment(trials=2), run=RunSettings(trials=2, machines=("lab",)))
    name = session.run(session.plan(experiment))
    trials = house.finished(session, name)
    assert [(t.outcome, t.machine) for t in trials] == [("completed", "lab")] * 2
    assert not list(house.places.spools.glob("*")), "nothing ran here"
    for trial in trials:
        assert stored(session, trial.trial) == said(lab, trial.trial)


def test_that_no_argument_is_read_by_a_shell(house: House, far: Network) -> None:
    remote = Remote(far.computer("lab").reach, house.places)
    show = "import sys, json; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
    ended = remote.run([remote.reach.python, "-c", show, *ODD], input=b"in")
    assert (ended.code, ended.err) == (0, "")
    assert msgspec.json.decode(ended.out) == [ODD, "in"]
    assert remote.run(["sh", "-c", "echo no >&2; exit 3"]).code == 3
