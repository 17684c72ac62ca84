"""The Monitor page on a workbench that remembers what it was asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from tests.widgets.monitor.kit import FakeWorkbench
from widgets.monitor import make_page
from widgets.monitor.page import MonitorPage
from widgets.shell.services import Services


@pytest.fixture
def workbench(services: Services) -> Iterator[FakeWorkbench]:
    fake = FakeWorkbench()
    services.bridge.attach(fake)  # type: ignore[arg-type]
    yield fake
    services.bridge.detach()
    fake.close()


@pytest.fixture
def page(qtbot: QtBot, services: Services, workbench: FakeWorkbench) -> Iterator[MonitorPage]:
    made = make_page(services)
    assert isinstance(made, MonitorPage)
    qtbot.addWidget(made)
    made.resize(1368, 800)
    with qtbot.waitExposed(made):
        made.show()
    made.activated()
    yield made
    made.shutdown()
