"""The plan's table: fixes, rows left out, filter, sorting, and its model beside the trees'."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QAbstractItemModel, QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QHelpEvent
from PySide6.QtWidgets import QMenu, QToolTip
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from engines.protocol.problems import Fix, Problem
from tests.widgets.machines_kit import LAB, THERE
from tests.widgets.setup.kit import LLAMA, SMOL, FakeWorkbench, click_row, settle, type_into
from widgets.parts.components import ToolButton
from widgets.setup.page import SetupPage
from workbench.machines.machine import keep


def test_that_a_fix_is_one_click_in_the_row(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    table = page.plan.table
    (row,) = table.model_.rows
    assert row.state == "cannot"
    assert [f.label for f in row.fixes][-1] == "Leave out"
    rect = table.visualRect(table.model_.index(0, table.model_.column_of("problems")))
    button = next(b for b in table.delegate_.buttons(rect, row) if b.text == "Use int8")
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=button.rect.center())
    settle(qtbot, page)
    assert [c.id for c in page.draft.experiment.techniques] == ["precision.int8"]
    assert table.model_.rows[0].state == "runs"


def test_that_alt_enter_offers_the_fixes_as_a_menu(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    table = page.plan.table
    table.setCurrentIndex(table.model_.index(0, 0))
    page.services.actions.invoke("setup.fixes")
    menu = table.findChild(QMenu)
    assert [a.text() for a in menu.actions()][-1] == "Leave out"
    menu.actions()[0].trigger()
    menu.close()
    assert page.draft.experiment.techniques


def test_that_fixes_say_what_they_save_in_the_menu_and_in_tooltips(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    table = page.plan.table
    (row,) = table.model_.rows
    fix = Fix("Batch 2 × 2", "workload", (), "saves 1 GiB, no slower; same effective batch")
    problem = Problem(severity="error", place=row.title, message="1 GiB too large.", fixes=(fix,))
    table.show_rows(table.model_.columns, (replace(row, problems=(problem,)),))
    said = "Batch 2 × 2: saves 1 GiB, no slower; same effective batch"
    rect = table.visualRect(table.model_.index(0, table.model_.column_of("problems")))
    at = next(b for b in table.delegate_.buttons(rect, table.model_.rows[0]) if b.fix == fix).rect.center()
    QGuiApplication.sendEvent(
        table.viewport(), QHelpEvent(QHelpEvent.Type.ToolTip, at, table.viewport().mapToGlobal(at))
    )
    assert QToolTip.text() == said
    assert said in table.model_.index(0, 0).data(Qt.ItemDataRole.AccessibleTextRole)
    table.setCurrentIndex(table.model_.index(0, 0))
    table.open_fixes()
    menu = table.findChild(QMenu)
    assert [a.text() for a in menu.actions()] == [said, "Leave out"]
    menu.close()


def test_that_a_row_is_left_out_and_taken_in_by_keyboard(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "1, 2")
    settle(qtbot, page)
    table = page.plan.table
    table.setCurrentIndex(table.model_.index(0, 0))
    chosen = table.current_row
    assert chosen is not None
    qtbot.keyClick(table, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert [r.state for r in table.model_.rows] == ["left_out", "runs"]
    assert page.run_bar.left_out.text() == "1 of 2 configurations left out"
    assert table.current_row.hash == chosen.hash
    qtbot.keyClick(table, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert page.draft.experiment.run.skip == ()


def test_that_the_filter_shows_what_cannot_run(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    assert [b.text() for b in page.plan.filter.findChildren(ToolButton)][:2] == ["All 2", "Cannot run 1"]
    page.plan.filter.choose(1)
    assert [r.state for r in page.plan.table.model_.rows] == ["cannot"]


def test_that_a_header_click_sorts(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "4, 1, 2")
    settle(qtbot, page)
    model = page.plan.table.model_
    head, column = page.plan.table.header(), model.column_of("batch_size")
    for expected in (["1", "2", "4"], ["4", "2", "1"]):
        at = QPoint(head.sectionViewportPosition(column) + head.sectionSize(column) // 2, head.height() // 2)
        qtbot.mouseClick(head.viewport(), Qt.MouseButton.LeftButton, pos=at)
        assert [r.cells["batch_size"] for r in model.rows] == expected


def test_that_a_column_is_hidden_and_shown_by_its_menu(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    table, button, left = page.plan.table, page.plan.columns, Qt.MouseButton.LeftButton
    column = table.model_.column_of("memory")

    def choose() -> None:
        menu = button.menu()
        try:
            entry = next(a for a in menu.actions() if a.text() == table.model_.columns[column].title)
            qtbot.mouseClick(menu, left, pos=menu.actionGeometry(entry).center())
        finally:
            menu.close()

    for hidden in (True, False):
        QTimer.singleShot(0, choose)
        qtbot.mouseClick(button, left)
        assert table.isColumnHidden(column) == hidden


def test_that_a_device_is_checked_by_a_click(qtbot: QtBot, page: SetupPage) -> None:
    settle(qtbot, page)
    check = page.machine.checks["cpu"]
    assert check.isChecked()
    toggled: list[tuple[str, bool]] = []
    page.machine.toggled.connect(lambda key, on: toggled.append((key, on)))
    qtbot.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(6, check.height() // 2))
    assert toggled == [("cpu", False)]


def test_that_another_machine_is_checked_by_a_click_and_shows_its_devices_once_it_answers(
    qtbot: QtBot, page: SetupPage
) -> None:
    keep(page.services.places, LAB)
    settle(qtbot, page)
    page._machine_heard()
    check = page.machine.checks["lab/"]
    assert check.accessibleName() == "Run on gpu-box, Best device, Its devices appear once it answers"
    qtbot.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(6, check.height() // 2))
    assert page.draft.experiment.run.machines == ("this", "lab")
    bridge = page.services.bridge
    bridge.probes["lab"] = THERE
    bridge.machine_probed.emit("lab", THERE)
    assert list(page.machine.checks) == ["cpu", "lab/cuda:GPU-1", "lab/cpu"]
    assert page.machine.checks["lab/cuda:GPU-1"].isChecked(), "the best one"
    check = page.machine.checks["lab/cpu"]
    qtbot.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(6, check.height() // 2))
    assert page.draft.experiment.run.machines == ("this", "lab/cpu", "lab/cuda:GPU-1")
    page.undo_stack.undo()
    assert page.draft.experiment.run.machines == ("this", "lab")


def test_that_a_machine_that_was_off_is_planned_with_once_it_answers(qtbot: QtBot, page: SetupPage) -> None:
    keep(page.services.places, LAB)
    page._machine_heard()
    workbench = page.services.workbench
    assert isinstance(workbench, FakeWorkbench)
    workbench.unreached = {"lab": Problem(severity="error", place="run.machines", message="lab: It is off.")}
    check = page.machine.checks["lab/"]
    qtbot.mouseClick(check, Qt.MouseButton.LeftButton, pos=QPoint(6, check.height() // 2))
    settle(qtbot, page)
    before = len(workbench.planned)
    page.services.bridge.machine_probed.emit("lab", THERE)
    qtbot.waitUntil(lambda: len(workbench.planned) > before)
    settle(qtbot, page)


def test_that_a_time_that_grows_while_one_types_is_never_cut(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    table = page.plan.table
    column = table.model_.column_of("time")
    before = table.header().sectionSize(column)
    (row,) = table.model_.rows
    longer = replace(row, cells=row.cells | {"time": "about 1 h 17 min, first 2 h 43 min 30 s"})
    table.show_rows(table.model_.columns, (longer,))
    grown = table.header().sectionSize(column)
    assert grown > before
    assert grown >= table.fontMetrics().horizontalAdvance(longer.cells["time"])
    table.show_rows(table.model_.columns, (row,))
    assert table.header().sectionSize(column) == grown, "columns keep still"


def test_that_the_item_models_hold_to_the_rules(qtbot: QtBot, page: SetupPage, qtmodeltester: ModelTester) -> None:
    checked: list[QAbstractItemModel] = [
        page.models.tree.model_,
        page.techniques.tree.model_,
        page.plan.table.model_,
    ]
    for model in checked:
        qtmodeltester.check(model)
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "1, 2")
    settle(qtbot, page)
    page.plan.table.model_.sort(1, Qt.SortOrder.DescendingOrder)
    page.models.search.setText("qwen")
    page.models.search.clear()
    for model in checked:
        qtmodeltester.check(model)
