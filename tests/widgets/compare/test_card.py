"""The card of a figure: how it opens and closes, what it follows, what it copies and opens."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import SPEED, choose, index_of
from widgets.compare.page import ComparePage
from widgets.shell.services import Services
from widgets.shell.targets import ShowTrial


def test_that_a_click_on_a_figure_opens_its_card_and_one_elsewhere_closes_it(qtbot: QtBot, page: ComparePage) -> None:
    index = index_of(page, "c-int8", SPEED)
    place = page.table.visualRect(index).center()
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert page.card.card.title == "int8"
    assert page.card.width() == 360
    assert page.rect().contains(page.card.geometry())
    qtbot.mouseClick(page.notes, Qt.MouseButton.LeftButton, pos=QPoint(4, 4))
    assert page.card.card is None


def test_that_a_pinned_card_stays_and_follows_its_figures(qtbot: QtBot, page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.card.pin.setChecked(True)
    qtbot.mouseClick(page.notes, Qt.MouseButton.LeftButton, pos=QPoint(4, 4))
    assert page.card.card is not None
    before = page.card.card
    page.viewing.toggle_invalid()
    qtbot.waitUntil(lambda: page.card.card is not None and page.card.card != before)


def test_that_the_card_goes_with_its_row(page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.viewing.set_text("float32")
    assert page.card.card is None


def test_that_the_card_copies_its_number_with_where_it_comes_from(page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.card._copy()
    text = QGuiApplication.clipboard().text()
    assert "Decode throughput" in text
    assert "e-fake" in text
    assert "llm-workbench" in text


def test_that_the_card_opens_its_trials_in_monitor(page: ComparePage, services: Services) -> None:
    page.card_place.open(choose(page, "c-bfloat16", SPEED))
    page.card._open_trial()
    (name, target), *_ = services.navigate.asked  # type: ignore[attr-defined]
    assert name == "monitor"
    assert isinstance(target, ShowTrial)
