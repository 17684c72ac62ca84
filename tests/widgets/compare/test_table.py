"""The table of the Compare page: its model, sorting, filter, eyes, keyboard, columns, and how much is painted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QCursor, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import MEMORY, SPEED, choose, index_of
from widgets.compare import make_page
from widgets.compare.loading import compared
from widgets.compare.page import ComparePage
from widgets.compare.table.build import build
from widgets.compare.table.delegate import CompareDelegate
from widgets.compare.table.model import CompareModel
from widgets.compare.table.views import Choice, Loaded, RowView, TableView
from widgets.shell.services import Services
from workbench.store.operations import ExperimentDetail


def test_that_the_model_keeps_the_rules_of_item_models(qtmodeltester: ModelTester, loaded: Loaded) -> None:
    model = CompareModel()
    model.show_view(build(loaded, Choice()))
    qtmodeltester.check(model)
    assert model.show_view(build(loaded, Choice(hidden=frozenset({"c-int8"})))), "same rows stay in place"
    assert not model.show_view(build(loaded, Choice(by_trial=True)))
    qtmodeltester.check(model)
    model.show_view(TableView())
    assert model.rowCount() == 0


def test_that_cells_speak_whole_sentences(loaded: Loaded) -> None:
    model = CompareModel()
    model.show_view(build(loaded, Choice(metrics=(SPEED,))))
    spoken = str(model.find("c-bfloat16", 2).data(Qt.ItemDataRole.AccessibleTextRole))
    assert "Decode throughput" in spoken
    assert "faster" in spoken
    assert "95 % interval" in spoken


def test_that_a_click_on_a_head_sorts_and_chooses_the_bars(qtbot: QtBot, page: ComparePage) -> None:
    place = next(i for i, c in enumerate(page.table.view.columns) if c.metric == MEMORY)
    head = page.table.head
    at = QPoint(head.sectionViewportPosition(place) + head.sectionSize(place) // 2, head.height() // 2)
    qtbot.mouseClick(head.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert page.viewing.choice.sort == f"metric:{MEMORY}"
    assert page.charts.bars.view.chart.id == f"bars:{MEMORY}"


def test_that_the_filter_follows_the_typing(qtbot: QtBot, page: ComparePage) -> None:
    qtbot.keyClicks(page.tools.filter, "precision:int")
    qtbot.waitUntil(lambda: page.tools.count.text() == "3 of 12 trials")
    qtbot.keyClick(page.tools.filter, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: page.tools.count.text() == "12 trials")


def test_that_the_eye_takes_a_row_out_of_the_charts(qtbot: QtBot, page: ComparePage) -> None:
    rect = page.table.visualRect(index_of(page, "c-int8"))
    at = page.table.compare_delegate.parts(rect)["eye"].center()
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert page.viewing.choice.hidden == {"c-int8"}
    for chart in page.charts.charts:
        assert "c-int8" not in [s.key for s in chart.series]
    assert len(page.table.view.rows) == 4


def test_that_the_keyboard_reaches_cells_rows_and_the_card(qtbot: QtBot, page: ComparePage) -> None:
    page.table.setFocus()
    choose(page, "c-bfloat16")
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert page.table.open_rows() == ("c-bfloat16",)
    qtbot.keyClick(page.table, Qt.Key.Key_Left)
    assert page.table.open_rows() == ()
    qtbot.keyClick(page.table, Qt.Key.Key_Right)
    qtbot.keyClick(page.table, Qt.Key.Key_Right)
    assert page.table.view.columns[page.table.currentIndex().column()].metric == SPEED
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert page.card.card is not None
    qtbot.keyClick(page.card, Qt.Key.Key_Escape)
    assert page.card.card is None
    assert not page.card.isVisible()


def test_that_chosen_columns_are_remembered(qtbot: QtBot, page: ComparePage, services: Services) -> None:
    page.viewing.set_columns((MEMORY, "perplexity"))
    assert [c.metric for c in page.table.view.columns if c.metric] == [MEMORY, "perplexity"]
    services.actions.remove([a.id for a in services.actions.all()])
    second = make_page(services)
    assert isinstance(second, ComparePage)
    qtbot.addWidget(second)
    assert second.viewing.choice.metrics == (MEMORY, "perplexity")
    second.shutdown()


def test_that_the_menu_of_columns_opens_without_taking_the_click_that_opens_it(page: ComparePage) -> None:
    """The menu is taller than the room under its button and covers it: the release comes to one of its entries."""
    button, window, left = page.tools.columns, page.windowHandle(), Qt.MouseButton.LeftButton
    page.move(-400, 300)
    QApplication.processEvents()
    seen: list[tuple[bool, bool, bool]] = []

    def while_open() -> None:
        menu = QApplication.activePopupWidget()
        assert isinstance(menu, QMenu)
        try:
            places = (QPoint(button.width() // 2, y) for y in range(button.height()))
            covered = ((at, menu.actionAt(menu.mapFromGlobal(button.mapToGlobal(at)))) for at in places)
            at, under = next((at, a) for at, a in covered if a is not None and a.isCheckable())
            before = under.isChecked()
            QTest.mouseRelease(window, left, pos=button.mapTo(page, at))
            opened = under.isChecked()
            QTest.mouseClick(menu, left, pos=menu.actionGeometry(under).center())
            seen.append((opened == before, under.isChecked() == before, menu.isVisible()))
        finally:
            menu.close()

    QCursor.setPos(button.mapToGlobal(button.rect().center()))
    QTimer.singleShot(0, while_open)
    QTest.mousePress(window, left, pos=button.mapTo(page, button.rect().center()))
    assert seen == [(True, False, True)], "the release changes nothing, a click does, and the menu stays open"


def test_that_of_a_thousand_trials_one_screenful_is_painted(
    page: ComparePage, detail: ExperimentDetail, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = build(compared(detail), Choice())
    rows = tuple(copy_of(r, i) for i in range(25) for r in view.rows)
    big = TableView(view.columns, rows, 300, 300)
    page.table.show_view(big, "", False)
    page.table.expandAll()
    painted: list[tuple[str, int]] = []
    ground = CompareDelegate._ground  # of every cell; Qt keeps to the `paint` that it has seen

    def counted(self: CompareDelegate, painter: QPainter, option: object, row: RowView, rect: QRect) -> None:
        painted.append((row.key, rect.x()))
        ground(self, painter, option, row, rect)

    monkeypatch.setattr(CompareDelegate, "_ground", counted)
    page.table.grab()
    assert len(rows) + sum(len(r.children) for r in rows) > 300
    screenful = (
        page.table.viewport().height() // page.services.theme.px(18) + 2
    ) * page.table.compare_model.columnCount()
    assert painted
    assert len(painted) <= screenful
    assert len(painted) == len(set(painted)), "every cell once"


def copy_of(row: RowView, i: int) -> RowView:
    """The same row under another key."""
    children = tuple(replace(c, key=f"{c.key}-{i}", trial=f"{c.trial}-{i}") for c in row.children)
    return replace(row, key=f"{row.key}-{i}", baseline=False, children=children)
