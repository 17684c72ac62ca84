"""A trial that lies apart, in the table and on the card, and the blocks that are offered for it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import SPEED, FakeWorkbench, choose, index_of
from tests.workbench.synthetic_experiment import slowed_detail
from widgets.compare.page import ComparePage
from widgets.compare.table.views import CellView
from widgets.shell.services import Services
from workbench.store.operations import ExperimentDetail

SLOWED = slowed_detail()


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    return SLOWED[0]


def cell(page: ComparePage, key: str) -> CellView:
    index = index_of(page, key, SPEED)
    row = page.table.compare_model.row_at(index)
    return row.cells[index.column()]


def test_that_the_figure_and_its_trial_carry_the_mark_and_say_it(page: ComparePage) -> None:
    marked = cell(page, "c-bfloat16")
    assert marked.text.endswith(" †")
    assert marked.word == "faster" or marked.rest, "the verdict stays"
    assert "†: 1 outlying trial." in marked.tip
    trial = cell(page, SLOWED[1])
    assert trial.text.endswith(" †")
    assert "Outlying: 28 % below the median of the others" in trial.tip
    assert ", outlying: 28 % below" in trial.spoken
    for other in ("c-float32", "c-int8"):
        assert "†" not in cell(page, other).text
        assert "outlying" not in cell(page, other).tip
    assert any("† Outlying trials" in note for note in page.notes._notes)


def test_that_its_card_says_which_and_offers_more_blocks(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench, services: Services
) -> None:
    page.card_place.open(choose(page, "c-float32", SPEED))
    assert not page.card.more.isVisible()
    page.card_place.open(choose(page, "c-bfloat16", SPEED))
    fields = {name: text for name, text, _ in page.card.card.fields}
    number = int(SLOWED[1].removeprefix("t-"))
    assert fields["Outlying"].startswith(f"Trial {number} is 28 % below the median of the others")
    assert fields["Outlying"].endswith("It counts; more blocks show whether that is rare.")
    assert page.card.more.isVisible()
    assert page.card.rect().contains(page.card.more.geometry())
    qtbot.mouseClick(page.card.more, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ("more", "e-fake", 5) in workbench.asked)
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].message == "5 more blocks are queued: 20 trials."


def test_that_the_card_of_the_trial_itself_says_it_and_those_of_others_do_not(page: ComparePage) -> None:
    for trial, told in ((SLOWED[1], True), ("t-001", False)):
        page.card_place.open(choose(page, trial, SPEED))
        assert ("Outlying" in {name for name, _, _ in page.card.card.fields}) == told
        assert page.card.more.isVisible() == told


def test_that_the_menu_of_a_row_offers_more_blocks(page: ComparePage, qtbot: QtBot, workbench: FakeWorkbench) -> None:
    choose(page, "c-int8")
    menu = page.row_actions.menu({"card": page.show_card, "eye": page.toggle_eyes, "environments": page.show_card})
    (offer,) = [a for a in menu.actions() if a.text() == "Run 5 more blocks of the experiment"]
    offer.trigger()
    qtbot.waitUntil(lambda: ("more", "e-fake", 5) in workbench.asked)
