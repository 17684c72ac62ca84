"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from engines.protocol.places import HOME_VARIABLE, Places, places
from tests.engines.runner_harness import remove_home
from tests.house import ROOT, House, sleeping_worker_variable
from tests.sshd import Network, network
from tests.tiny_model import make_tiny_model

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: what tests start would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

# an example is not wrong because the machine stood still while it was drawn or tried
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_ended: list[int] = []


def pytest_sessionfinish(exitstatus: int) -> None:
    _ended.append(int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End as the application does (`workbench.cli.main.entry`): PySide's clean-up at exit crashes at times."""
    if "PySide6.QtWidgets" in sys.modules and _ended:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_ended[-1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Places of a user who has never run the application, under tmp_path, also for child processes."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return places()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A home of its own (with a short path, because of its sockets) whose runner uses the sleeping worker."""
    folder = Path(tempfile.mkdtemp(prefix="lw-", dir="/tmp"))
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(*sleeping_worker_variable())
    made = House(places(), make_tiny_model(folder / "tiny"))
    yield made
    made.close()
    remove_home(folder)


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Far computers to be made by the test, reached by a real ssh; skipped where there is no sshd."""
    folder = Path(tempfile.mkdtemp(prefix="lwf-", dir="/tmp"))
    with network(folder, monkeypatch) as made:
        yield made
    remove_home(folder)


@pytest.fixture
def no_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds nobody at the index it is told: a port of this machine that was free a moment ago."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://localhost:{port}")
