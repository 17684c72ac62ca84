"""A runner whose socket or home is taken away from under it."""

from __future__ import annotations

import shutil

import psutil
import pytest

from engines.protocol.places import Places
from engines.runner.settings import LOOK_VARIABLE
from tests.engines.runner_harness import RunnerProcess, make_order, until


@pytest.fixture
def watchful(short_home: Places, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv(LOOK_VARIABLE, "0.2")
    return short_home


def test_that_a_removed_socket_is_put_back_and_those_connected_stay(watchful: Places) -> None:
    runner = RunnerProcess(watchful)
    runner.start()
    runner.submit(make_order("t-1", ["sleep", 0.1]))
    watchful.runner_socket.unlink()
    until(watchful.runner_socket.exists, what="the socket is there again")
    runner.until_state("t-1", "ended")  # over the old connection
    with_new = runner.connect()
    assert with_new.welcome.pid == runner.pid
    runner.end()


def test_that_a_runner_whose_home_was_removed_ends_and_spares_the_next_ones_socket(watchful: Places) -> None:
    old = RunnerProcess(watchful)
    old.start()
    pid = old.pid
    for folder in (watchful.state, watchful.runtime):
        shutil.rmtree(folder)
    new = RunnerProcess(watchful)
    new.start()
    old.process.wait(timeout=120)
    assert not psutil.pid_exists(pid)
    assert new.connect().welcome.pid == new.pid, "its socket is still there"
    new.end()
