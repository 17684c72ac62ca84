"""The Setup page on a workbench that plans for real and keeps what was run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from engines.protocol.places import Places
from tests.widgets.setup.kit import FakeWorkbench, open_page
from widgets.setup.page import SetupPage
from widgets.setup.plan import planner
from widgets.shell.services import Services


@pytest.fixture
def fake(services: Services, home: Places, monkeypatch: pytest.MonkeyPatch) -> FakeWorkbench:
    monkeypatch.setattr(planner, "DELAY_MS", 5)
    monkeypatch.setenv("HF_HOME", str(home.cache / "hf"))
    monkeypatch.setenv("HOME", str(home.cache / "user"))
    made = FakeWorkbench(home)
    services.bridge.attach(made)  # type: ignore[arg-type]
    return made


@pytest.fixture
def page(qtbot: QtBot, services: Services, fake: FakeWorkbench) -> Iterator[SetupPage]:
    made = open_page(qtbot, services)
    yield made
    made.shutdown()
