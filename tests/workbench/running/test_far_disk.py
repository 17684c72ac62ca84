"""The disk of a far computer runs full while trials run there: what was acknowledged stays, the queue waits, and goes
on when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from engines.protocol.messages import QueueState
from tests.house import House, until
from tests.sshd import Network, Sshd, add, on
from tests.workbench.machines.test_ssh import said, stored
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, TrialRow

_CHUNK = bytes(1 << 16)


@pytest.fixture
def lab(house: House, far: Network) -> Iterator[Sshd]:
    """Its home is a small disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small tmpfs")
    made = far.computer("lab")
    home = made.folder / "lw"
    home.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "none", str(home)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    add(house.places, made)
    try:
        yield made
    finally:
        empty(made)
        made.close()
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill(lab: Sshd) -> None:
    with (lab.folder / "lw" / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(_CHUNK)


def empty(lab: Sshd) -> None:
    (lab.folder / "lw" / "filler").unlink(missing_ok=True)


def trials(session: Workbench, experiment: str) -> tuple[TrialRow, ...]:
    return session.store.execute(GetExperiment(experiment=experiment)).trials


def queue(session: Workbench) -> QueueState:
    return session.queue("lab")


def test_that_a_far_disk_that_fills_ends_the_trial_pauses_that_queue_and_loses_nothing(house: House, lab: Sshd) -> None:
    session = house.open()
    session.follow()
    name = session.run(session.plan(on(lab, house.experiment(trials=3, new_tokens=(400,)))))
    until(lambda: any(entry.phase == "measure" for entry in queue(session).in_state("running")), what="it measures")
    (running,) = queue(session).in_state("running")
    until(lambda: stored(session, running.trial), what="the store has some of it")
    acknowledged = stored(session, running.trial)

    fill(lab)
    until(lambda: queue(session).paused, what="the queue there is paused")
    state = queue(session)
    assert f"The disk of {lab.places.state} is full" in state.pause_reason
    assert "what waits stays in the queue" in state.pause_reason
    assert "Then resume the queue." in state.pause_reason
    assert len(state.in_state("waiting")) == 2
    assert not session.queue().paused, "this computer's queue is its own"
    until(lambda: [t for t in trials(session, name) if t.state == "ended" and t.verdict], what="its end is stored")
    (ended,) = [t for t in trials(session, name) if t.state == "ended"]
    assert (ended.trial, ended.outcome, ended.failure) == (running.trial, "failed", "disk_full")
    assert f"The disk of {lab.places.state} is full" in ended.message
    assert "What was written before is safe." in ended.advice
    assert stored(session, ended.trial)[: len(acknowledged)] == acknowledged
    assert stored(session, ended.trial) == said(lab, ended.trial)

    session.pause(False, "lab")
    until(lambda: queue(session).paused, what="it is still full, and says so again")
    assert len(queue(session).in_state("waiting")) == 2

    empty(lab)
    session.pause(False, "lab")
    rows = house.finished(session, name)
    assert sorted(row.outcome or "" for row in rows) == ["completed", "completed", "failed"]
    for row in rows:
        records = stored(session, row.trial)
        assert records == said(lab, row.trial)
        assert [number for number, _, _ in records] == list(range(1, len(records) + 1))


def test_that_a_runner_killed_on_a_full_disk_ends_its_trial_once_there_is_room(house: House, lab: Sshd) -> None:
    session = house.open()
    session.follow()
    name = session.run(session.plan(on(lab, house.experiment(trials=2, new_tokens=(400,)))))
    until(lambda: any(entry.phase == "measure" for entry in queue(session).in_state("running")), what="it measures")
    (running,) = queue(session).in_state("running")
    until(lambda: stored(session, running.trial), what="the store has some of it")
    with session.link("lab").connect() as client:
        pid = client.welcome.pid
    fill(lab)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)
    before = stored(session, running.trial)
    empty(lab)
    session.pause(False, "lab")
    rows = {row.trial: row for row in house.finished(session, name)}
    assert rows[running.trial].outcome in ("lost", "failed"), "it is not known how far it would have come"
    assert sorted(row.outcome or "" for row in rows.values())[0] == "completed"
    assert stored(session, running.trial)[: len(before)] == before
    assert stored(session, running.trial) == said(lab, running.trial)
