"""What meets in the runner: clients that leave, sensors that are late, trials that start meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engines.protocol import messages
from engines.protocol.messages import Call
from engines.protocol.orders import TelemetryOrder
from engines.protocol.places import Places
from engines.protocol.records import PhaseStarted
from engines.runner.cooldown import CoolDown
from engines.runner.runner import Runner
from engines.runner.server import Server
from engines.runner.settings import LOOK_VARIABLE, default_settings
from engines.runner.spools import archive
from engines.runner.spools.archive import Archive
from engines.runner.trial import Surroundings, TrialRun
from engines.runner.workers.template import Templates
from engines.runner.workers.worker import WorkerProcess
from engines.telemetry import sampler
from tests.engines.runner_harness import ROOT, RunnerProcess, make_order, until


def test_that_a_client_that_leaves_while_its_trial_is_deleted_does_not_hold_up_the_queue(runner: RunnerProcess) -> None:
    runner.submit(make_order("t1", ["sleep", 60]), make_order("t2"))
    runner.until_state("t1", "running")
    client = runner.client
    client._post(Call(next(client._numbers), messages.Bury(trials=("t1",))))
    runner.hang_up()
    assert runner.until_state("t2", "ended").outcome == "completed"
    assert not runner.queue().in_state("running")


# --- sensors that are late ------------------------------------------------------------------------


class FakeSampler:
    """Keeps what it is told."""

    def __init__(self, *_: object, **__: object) -> None:
        self.told: list[object] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")

    def set_measuring(self, measuring: bool) -> None:
        self.told.append(measuring)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSampler:
    made = FakeSampler()
    monkeypatch.setattr(sampler, "Sampler", lambda *_, **__: made)
    return made


def run_of(folder: Path) -> TrialRun:
    """A trial's run that nobody has started, in a loop."""
    order = make_order("t1", telemetry=TelemetryOrder())
    around = Surroundings(
        settings=default_settings(),
        state=folder,
        grew=lambda: None,
        status_changed=lambda: None,
        disk_failed=lambda _error: None,
        templates=cast("Templates", None),
        secrets={},
        cooldown=CoolDown(lambda _device: None),
        other_workers=lambda: (),
        may_take_strangers=lambda: False,
    )
    return TrialRun(order, Archive(folder / "spools").create(order), around)


WORKER = cast("WorkerProcess", SimpleNamespace(pid=os.getpid(), shared=None))


def test_that_sensors_that_are_ready_late_are_told_that_the_trial_measures(tmp_path: Path, fake: FakeSampler) -> None:
    async def trial() -> None:
        run = run_of(tmp_path)
        run._take_records([PhaseStarted(name="measure")])
        await run._start_sampler(WORKER)

    asyncio.run(trial())
    assert fake.told == ["start", True]


def test_that_sensors_that_are_ready_after_the_trial_are_put_away(tmp_path: Path, fake: FakeSampler) -> None:
    async def trial() -> None:
        run = run_of(tmp_path)
        await run.abandon()
        await run._start_sampler(WORKER)

    asyncio.run(trial())
    assert fake.told == ["start", "stop"]


# --- what is started meanwhile --------------------------------------------------------------------


def test_that_listening_changes_no_mode_of_what_others_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A umask is the whole process's: a worker that starts in that moment would make folders nobody can enter."""
    asked: list[int] = []

    def umask(mask: int) -> int:
        asked.append(mask)
        return 0o022

    monkeypatch.setattr(os, "umask", umask)
    path = tmp_path / "s"

    async def listen() -> None:
        server = Server(cast("Runner", None), client_count_changed=lambda: None, shutdown=lambda: None)
        await server.listen(path)
        assert server.is_at(path)
        await server.close()

    asyncio.run(listen())
    assert path.stat().st_mode & 0o777 == 0o600
    assert asked == []


_STRANGERS = """
import os, subprocess, sys
from pathlib import Path
from engines.runner.workers.leftovers import MARK_VARIABLE, kill_leftovers, mark_of
state = Path("/state")
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
plain = {key: value for key, value in os.environ.items() if key != MARK_VARIABLE}
stranger = subprocess.Popen(sleeping, env=plain, start_new_session=True)
other = subprocess.Popen(sleeping, env=plain | {MARK_VARIABLE: mark_of(state, "t2")}, start_new_session=True)
killed = kill_leftovers(mark_of(state, "t1"), -1, spare=(), take_strangers=True)
print(killed == [stranger.pid], other.poll() is None)
other.kill()
other.wait()
"""


def test_that_the_worker_of_a_trial_that_starts_meanwhile_is_no_stranger() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STRANGERS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["True", "True"], done.stderr


# --- what is in the way for a moment --------------------------------------------------------------


def test_that_a_spool_that_cannot_be_deleted_now_does_not_keep_the_runner_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t1").mkdir()  # never written: without a header
    kept = Archive(tmp_path).create(make_order("t2"))
    kept.writer.close()

    def still_written_to(folder: Path) -> None:
        raise OSError(39, "Directory not empty")

    with monkeypatch.context() as patched:
        patched.setattr(archive, "remove_spool", still_written_to)
        assert [entry.trial for entry in Archive(tmp_path).recover()] == ["t2"]
    assert [entry.trial for entry in Archive(tmp_path).recover()] == ["t2"]
    assert not (tmp_path / "t1").exists()


def test_that_a_socket_that_cannot_be_put_back_at_once_is_put_back_later(
    short_home: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOOK_VARIABLE, "0.2")
    runner = RunnerProcess(short_home)
    runner.start()
    runner.connect()
    shutil.rmtree(short_home.runtime)
    short_home.runtime.write_text("in the way")
    until(lambda: "cannot listen" in runner.log, what="it tries")
    short_home.runtime.unlink()
    until(short_home.runner_socket.exists, what="the socket is there again")
    assert not runner.queue().entries  # over the old connection, once the loop has come to listening
    assert runner.connect().welcome.pid == runner.pid
    runner.end()
