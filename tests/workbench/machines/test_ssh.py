"""Trials on far computers that a real ssh reaches."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from engines.protocol.codec import read_head
from engines.protocol.messages import GetQueue, QueueEntry, QueueState
from tests.house import Heard, House, until
from tests.sshd import Network, Sshd, add, on
from workbench.machines.ssh import Remote
from workbench.running.events import RecordsArrived, RunnerLink
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, Query, ReadRecords

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
    name = session.run(session.plan(on(lab, house.experiment(trials=2))))
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
    name = session.run(session.plan(on(lab, house.experiment(new_tokens=(700,)))))
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


@pytest.mark.parametrize("cut", [Sshd.drop, Sshd.stop])
def test_that_sessions_that_end_and_an_sshd_that_ends_cost_no_record(
    house: House, far: Network, cut: Callable[[Sshd], None]
) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    name = session.run(session.plan(on(lab, house.experiment(new_tokens=(500,)))))
    until(lambda: heard.of(RecordsArrived), what="records come")
    cut(lab)
    until(lambda: "lost" in [link.state for link in heard.of(RunnerLink)], what="the loss shows")
    if lab.process is None:
        lab.start()
    (trial,) = house.finished(session, name)
    assert trial.outcome == "completed"
    assert stored(session, trial.trial) == said(lab, trial.trial)


def test_that_a_clock_that_differs_is_measured_and_kept_and_times_stay_the_machine_s_own(
    house: House, far: Network, tmp_path: Path
) -> None:
    lab = far.computer("lab")
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nreal = time.time_ns\ntime.time_ns = lambda: real() + 3_600_000_000_000\n"
    )
    lab.stop()
    lab.environment["PYTHONPATH"] = f"{tmp_path}:{lab.environment['PYTHONPATH']}"
    lab.start()
    add(house.places, lab)
    session = house.open()
    heard = Heard()
    session.listen(heard)
    session.follow()
    began = time.time()
    name = session.run(session.plan(on(lab, house.experiment())))
    (trial,) = house.finished(session, name)
    link = next(link for link in heard.of(RunnerLink) if link.state == "connected" and link.machine == "lab")
    assert abs(link.clock.ahead_s - 3600) <= link.clock.within_s + 0.05
    rows = session.store.execute(Query(sql="SELECT quantity, value FROM samples WHERE source LIKE 'clock%'")).rows
    kept = dict(rows)
    assert kept == {"ahead_s": link.clock.ahead_s, "ahead_within_s": link.clock.within_s}
    assert trial.started_at is not None
    started = datetime.fromisoformat(trial.started_at).replace(tzinfo=UTC).timestamp()
    assert 3600 <= started - began < 3600 + 300, "the machine's own"
    (entry,) = session.queue("lab").in_state("ended")
    assert 0 <= entry.started_wall_ns / 1e9 - began < 300, "what is counted from now has this computer's clock"
    (there,) = [e for e in queue_there(session) if e.trial == trial.trial]
    assert there.started_wall_ns - entry.started_wall_ns == pytest.approx(3600e9, abs=1e9)


def queue_there(session: Workbench) -> tuple[QueueEntry, ...]:
    """As the machine says it."""
    with session.link("lab").connect() as client:
        reply = client.call(GetQueue())
        assert isinstance(reply, QueueState)
        return reply.entries


def test_that_two_machines_work_at_once_and_nothing_of_a_link_stays_there(house: House, far: Network) -> None:
    there = {name: far.computer(name) for name in ("lab", "den")}
    for computer in there.values():
        add(house.places, computer)
    session = house.open()
    session.follow()
    both = on(there["lab"], house.experiment(trials=2))
    both = msgspec.structs.replace(both, run=msgspec.structs.replace(both.run, machines=tuple(there)))
    name = session.run(session.plan(both))
    trials = house.finished(session, name)
    assert Counter((t.machine, t.outcome) for t in trials) == {("lab", "completed"): 2, ("den", "completed"): 2}
    for trial in trials:
        assert stored(session, trial.trial) == said(there[trial.machine], trial.trial)
    session.close()
    for computer in there.values():
        until(lambda c=computer: not [p for p in c.sessions() if "engines" in " ".join(p.cmdline())])


def test_that_a_far_runner_that_is_killed_ends_its_trial_and_goes_on_with_the_queue(house: House, far: Network) -> None:
    lab = far.computer("lab")
    add(house.places, lab)
    session = house.open()
    session.follow()
    name = session.run(session.plan(on(lab, house.experiment(trials=2, new_tokens=(400,)))))
    until(lambda: any(e.phase in ("warmup", "measure") for e in session.queue("lab").in_state("running")))
    with session.link("lab").connect() as client:
        os.kill(client.welcome.pid, signal.SIGKILL)
    trials = house.finished(session, name, seconds=150)
    assert sorted(t.outcome or "" for t in trials) == ["completed", "lost"]
