"""What Setup shows of a package's engine and axis: run by `tests/contract` in a process that has the package."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from engines.protocol.kinds import KINDS
from widgets.setup.page import SetupPage


def test_that_setup_offers_the_engine_with_its_settings_and_the_axis(qtbot: QtBot, page: SetupPage) -> None:
    group = page.workload.engine
    qtbot.mouseClick(group.head, Qt.MouseButton.LeftButton)
    choice = group.choices["id"]
    index = choice.findText("Dummy")
    choice.setCurrentIndex(index)
    choice.activated.emit(index)
    level = group.fields["dummy_level"].line
    assert level.isEnabled()
    level.selectAll()
    qtbot.keyClicks(level, "7")
    settings = page.draft.experiment.engine
    assert (settings.id, settings.own) == ("dummy", {"dummy_level": 7})
    assert not group.choices["attention"].isEnabled()
    assert any("dummy-broken could not be loaded" in said.text() for said in group.findChildren(QLabel))
    axes = {listed.title: [row.title for row in listed.rows] for listed in page.techniques.tree.model_.groups}
    assert axes["Dummy axis"] == ["off", "on"]


def test_that_setup_has_a_form_for_the_packages_kind_of_work(page: SetupPage) -> None:
    page.tools.kind.choose(list(KINDS).index("counting"))
    assert page.draft.experiment.workload.kind == "counting"
    assert "numbers" in page.workload.fields
    choice = page.workload.engine.choices["id"]
    offered = [choice.itemText(index) for index in range(choice.count())]
    assert {"Dummy", "transformers"} <= set(offered), "its own, and one that lends its model"
    assert "llama.cpp" not in offered
