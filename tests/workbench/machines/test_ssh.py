"""Trials on far computers that a real ssh reaches."""

from __future__ import annotations

import signal

import msgspec

from engines.protocol.codec import read_head
from tests.house import Heard, House, until
from tests.sshd import Network, Sshd, add
from workbench.experiment.experiment import Experiment
from workbench.machines.ssh import Remote
from workbench.running.events import RecordsArrived, RunnerLink
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, ReadRecords

ODD = ["a b", "it's", "", "$HOME `id` \\ \\\\", "*", "~", 'say "no"', "ä\u20ac", "-n", "=ls", "two\nlines", "!!", "#"]


def said(computer: Sshd, trial: str) -> list[tuple[int, str, int]]:
    """Number, kind and time of every record in the spool there."""
    lines = (computer.places.spools / trial / "records.jsonl").read_bytes().splitlines()
    return heads(lines[1:])  # the first line is the spool's header


def stored(session: Workbench, trial: str) -> list[tuple[int, str, int]]:
    return heads([line.encode() for line in session.store.execute(ReadRecords(trial=trial))])


def on_lab(experiment: Experiment) -> Experiment:
    run = msgspec.structs.replace(experiment.run, machines=("lab",))
    return msgspec.structs.replace(experiment, run=run)


def heads(lines: list[bytes]) -> list[tuple[int, str, int]]:
    return [(h.seq, h.kind, h.t_ns) for h in map(read_head, lines) if h is not None]


def test_that_a_trial_runs_on_a_far_computer_and_every_record_comes_home(house: House, far: Network) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    session.follow()
    name = session.run(session.plan(on_lab(house.experiment(trials=2))))
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


def test_that_a_cut_link_shows_and_afterwards_no_record_is_missing(house: House, far: Network) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    name = session.run(session.plan(on_lab(house.experiment(new_tokens=(700,)))))
    until(lambda: heard.of(RecordsArrived), what="records come")
    lab.send(signal.SIGSTOP)  # the network is there, and nobody answers
    until(lambda: heard.of(RunnerLink)[-1].state == "lost", what="the loss shows")
    assert "Stored figures are safe" in heard.of(RunnerLink)[-1].message
    (trial,) = session.store.execute(GetExperiment(experiment=name)).trials
    before = len(said(lab, trial.trial))
    until(lambda: len(said(lab, trial.trial)) > before, what="the trial runs on there")
    lab.send(signal.SIGCONT)
    (trial,) = house.finished(session, name)
    assert trial.outcome == "completed"
    assert stored(session, trial.trial) == said(lab, trial.trial)
    assert [link.state for link in heard.of(RunnerLink) if link.machine == "lab"][:3] == [
        "connecting",
        "connected",
        "lost",
    ]
    told = [r.seq for event in heard.of(RecordsArrived) for r in event.records]
    assert told == sorted(set(told)), "listeners have every record once, too"
