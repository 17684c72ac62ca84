"""Fixtures of the engine tests: a real runner with fake workers, and the watch over what a test leaves behind."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engines.protocol.places import HOME_VARIABLE, Places, places
from engines.runner.settings import WORKER_VARIABLE
from tests.engines.runner_harness import FAKE_WORKER, ROOT, RunnerProcess, is_alive, remove_home
from tests.tiny_model import make_tiny_model


@pytest.fixture(autouse=True)
def no_orphans() -> Iterator[list[str]]:
    """Fails a test that leaves a child, or any process that runs in one of the homes in the list it yields."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    homes: list[str] = []
    yield homes
    deadline = time.monotonic() + 30.0
    while (left := _left(before, homes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in left.values():
        process.kill()
    assert not left, f"left behind: {left}"


def _left(before: set[int], homes: list[str]) -> dict[int, psutil.Process]:
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter() if homes else ():
        try:
            if process.environ().get(HOME_VARIABLE) in homes:
                found[process.pid] = process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    own = psutil.Process().pid
    return {pid: process for pid, process in found.items() if pid not in before and pid != own and is_alive(pid)}


@pytest.fixture
def short_home(monkeypatch: pytest.MonkeyPatch, no_orphans: list[str]) -> Iterator[Places]:
    """A home whose socket has a short path; gone after the test. Runners started in it use the fake worker."""
    with _home(monkeypatch) as folder:
        no_orphans.append(str(folder))
        yield places()


@pytest.fixture
def runner(short_home: Places) -> Iterator[RunnerProcess]:
    """A runner that listens; ended after the test."""
    running = RunnerProcess(short_home)
    running.start("--grace-seconds", "0.5")
    yield running
    running.end()


@pytest.fixture
def real_runner(short_home: Places, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunnerProcess]:
    """A runner that listens and starts real workers; ended after the test."""
    monkeypatch.delenv(WORKER_VARIABLE)
    running = RunnerProcess(short_home)
    running.start()
    yield running
    running.end()


@pytest.fixture(scope="module")
def shared() -> Iterator[RunnerProcess]:
    """One runner for the tests of a module that only submit trials, each under names of its own. Its grace is long: a
    worker that is told to stop while the machine stands still has not refused to."""
    with pytest.MonkeyPatch.context() as monkeypatch, _home(monkeypatch):
        running = RunnerProcess(places())
        running.start("--grace-seconds", "60")
        yield running
        running.end()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model that the tests of a module share."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@contextmanager
def _home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    monkeypatch.setenv(WORKER_VARIABLE, shlex.join([sys.executable, str(FAKE_WORKER)]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield folder
    remove_home(folder)
