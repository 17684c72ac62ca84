"""The Compare page on an experiment of four precisions. A module with a `detail` of its own gets it everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import FakeWorkbench
from tests.workbench.synthetic_experiment import experiment_detail
from widgets.compare import make_page
from widgets.compare.loading import compared
from widgets.compare.page import ComparePage
from widgets.compare.table.views import Loaded
from widgets.shell.services import Services
from workbench.store.operations import ExperimentDetail


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    return experiment_detail(blocks=3)


@pytest.fixture(scope="module")
def loaded(detail: ExperimentDetail) -> Loaded:
    return compared(detail)


@pytest.fixture
def workbench(services: Services, detail: ExperimentDetail) -> Iterator[FakeWorkbench]:
    fake = FakeWorkbench(detail)
    services.bridge.attach(fake)  # type: ignore[arg-type]
    yield fake
    services.bridge.detach()
    fake.close()


@pytest.fixture
def page(qtbot: QtBot, services: Services, workbench: FakeWorkbench) -> Iterator[ComparePage]:
    made = make_page(services)
    assert isinstance(made, ComparePage)
    qtbot.addWidget(made)
    made.resize(1368, 780)
    with qtbot.waitExposed(made):
        made.show()
    services.actions.set_page("compare")
    made.activated()
    qtbot.waitUntil(lambda: made.loaded is not None)
    yield made
    made.deactivated()
    made.shutdown()
