"""Fixtures of the application's tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.protocol.places import HOME_VARIABLE, places
from tests.tiny_model import make_tiny_model
from tests.workbench.house import ROOT, House, sleeping_worker_variable


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
    shutil.rmtree(folder)
