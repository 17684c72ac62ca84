"""The registry of actions, the menus and the palette fed from it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from widgets.palette.matching import Candidate, rank, score
from widgets.palette.palette import ROWS, WIDTH, Palette, PaletteModel
from widgets.palette.shortcuts_sheet import ShortcutsSheet, grouped
from widgets.shell.actions import Action, Actions
from widgets.shell.menus import Menus
from widgets.theme.theme import Theme


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def actions(window: QMainWindow, theme: Theme, ran: list[str]) -> Actions:
    made = Actions(window, theme)
    made.add(
        Action(id="file.open", text="Open file", handler=lambda: ran.append("open"), shortcut="Ctrl+O", menu="File"),
        Action(
            id="compare.export",
            text="Export chart",
            handler=lambda: ran.append("export"),
            shortcut="Ctrl+E",
            menu="Compare/Export",
            page="compare",
            reason="only on the Compare page",
        ),
        Action(
            id="run.kill",
            text="Kill",
            handler=lambda: ran.append("kill"),
            menu="Run",
            enabled=lambda: False,
            reason="nothing runs",
        ),
    )
    return made


def test_that_an_action_of_another_page_does_nothing(actions: Actions, ran: list[str]) -> None:
    assert not actions.invoke("compare.export")
    actions.set_page("compare")
    assert actions.invoke("compare.export")
    assert ran == ["export"]


def test_that_a_disabled_action_says_why(actions: Actions) -> None:
    made = actions.qaction("run.kill")
    assert not made.isEnabled()
    assert made.toolTip() == "Kill: nothing runs"


def test_that_an_id_or_a_shortcut_can_be_taken_only_once(actions: Actions) -> None:
    with pytest.raises(ValueError, match="twice"):
        actions.add(Action(id="file.open", text="x", handler=print))
    with pytest.raises(ValueError, match=r"file\.open"):
        actions.add(Action(id="other", text="x", handler=print, shortcut="Ctrl+O"))


def test_that_what_a_page_will_bring_stands_in_its_place_from_the_start(actions: Actions, ran: list[str]) -> None:
    later = {"id": "compare.copy", "text": "Copy", "menu": "Compare", "shortcut": "Ctrl+D", "page": "compare"}
    actions.announce(Action(**later, handler=print, enabled=lambda: False, reason="no row is selected"))  # type: ignore[arg-type]
    actions.add(Action(id="last", text="Last", handler=print))
    made = actions.qaction("compare.copy")
    assert (made.isEnabled(), made.toolTip()) == (False, "Copy: show the Compare page first")
    actions.set_page("compare")
    assert not actions.invoke("compare.copy")
    actions.add(Action(**later, handler=lambda: ran.append("copy"), checked=lambda: True))  # type: ignore[arg-type]
    assert actions.qaction("compare.copy") is made
    assert (made.isEnabled(), made.isChecked()) == (True, True)
    made.trigger()
    assert ran == ["copy"]
    assert [a.id for a in actions.all()][-2:] == ["compare.copy", "last"]
    with pytest.raises(ValueError, match="twice"):
        actions.add(Action(**later, handler=print))  # type: ignore[arg-type]


def test_that_an_announced_action_takes_no_shortcut_that_is_taken(actions: Actions) -> None:
    actions.announce(Action(id="compare.copy", text="Copy", handler=print, page="compare"))
    with pytest.raises(ValueError, match=r"file\.open"):
        actions.add(Action(id="compare.copy", text="Copy", handler=print, page="compare", shortcut="Ctrl+O"))


def test_that_two_pages_may_share_a_shortcut(actions: Actions) -> None:
    actions.add(Action(id="setup.export", text="x", handler=print, shortcut="Ctrl+E", page="setup"))
    assert "setup.export" in actions


def test_that_a_shortcut_reaches_its_handler(
    qtbot: QtBot, window: QMainWindow, actions: Actions, ran: list[str]
) -> None:
    with qtbot.waitActive(window):
        window.show()
        window.activateWindow()
    qtbot.keyClick(window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    assert ran == ["open"]


def test_that_menus_follow_the_registry(qtbot: QtBot, window: QMainWindow, actions: Actions) -> None:
    Menus(window.menuBar(), actions)
    shown = [a.text() for a in window.menuBar().actions() if a.isVisible()]
    assert shown == ["&File", "&Run", "&Compare"]
    actions.remove(["file.open"])
    qtbot.waitUntil(lambda: [a.text() for a in window.menuBar().actions() if a.isVisible()] == ["&Run", "&Compare"])


def test_that_the_palette_runs_what_was_typed(
    qtbot: QtBot, window: QMainWindow, theme: Theme, actions: Actions, ran: list[str]
) -> None:
    palette = Palette(theme, actions, window)
    window.show()
    palette.open()
    qtbot.keyClicks(palette.field, "opfi")
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert ran == ["open"]
    assert not palette.isVisible()


def test_that_the_palette_offers_trials_and_says_which_was_picked(
    qtbot: QtBot, window: QMainWindow, theme: Theme, actions: Actions
) -> None:
    palette = Palette(theme, actions, window)
    window.show()
    palette.set_items([Candidate("trial:t-1", "Trial 118: SmolLM2 int8")])
    palette.open("118")
    with qtbot.waitSignal(palette.picked) as picked:
        qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert picked.args == ["trial:t-1"]


def test_that_the_palette_does_not_run_what_is_disabled(
    qtbot: QtBot, window: QMainWindow, theme: Theme, actions: Actions, ran: list[str]
) -> None:
    palette = Palette(theme, actions, window)
    window.show()
    palette.open("kill")
    qtbot.keyClick(palette.field, Qt.Key.Key_Return)
    assert ran == []
    assert palette.isVisible()
    qtbot.keyClick(palette.field, Qt.Key.Key_Escape)
    assert not palette.isVisible()


def test_that_an_open_palette_follows_the_window_and_the_text_size(
    qtbot: QtBot, window: QMainWindow, theme: Theme, actions: Actions
) -> None:
    actions.add(*(Action(id=f"many.{n}", text=f"Action {n}", handler=print) for n in range(20)))
    palette = Palette(theme, actions, window)
    window.show()
    palette.open()
    width, height = palette.width(), palette.list.height()
    window.resize(700, 300)
    qtbot.waitUntil(lambda: abs(palette.geometry().center().x() - window.width() // 2) <= 1)
    assert palette.width() == width
    qtbot.waitUntil(lambda: palette.geometry().bottom() < window.height())
    assert palette.list.height() < height
    window.resize(1200, 800)
    qtbot.waitUntil(lambda: palette.list.height() == height)
    theme.choose("light", 1.5)
    qtbot.waitUntil(lambda: palette.width() == theme.px(WIDTH) > width)
    assert palette.list.height() == ROWS * theme.height("row") > height
    assert palette.list.sizeHintForRow(0) == theme.height("row")
    assert abs(palette.geometry().center().x() - window.width() // 2) <= 1


def test_that_the_palette_model_keeps_qts_rules(qtbot: QtBot) -> None:
    model = PaletteModel()
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    model.set_rows([Candidate("a", "A"), Candidate("b", "B")])
    model.set_rows([])
    assert tester.model() is model


def test_that_word_starts_beat_letters_in_the_middle() -> None:
    found = rank("pq", [Candidate("a", "Opaque"), Candidate("b", "Pause queue")])
    assert found[0].id == "b"
    assert score("xyz", "Pause queue") is None


def test_that_recent_actions_come_first_without_a_pattern() -> None:
    rows = [Candidate(c, c) for c in "abc"]
    assert [c.id for c in rank("", rows, recent=["c"])] == ["c", "a", "b"]


def test_that_the_shortcut_sheet_lists_every_shortcut(
    qtbot: QtBot, window: QMainWindow, theme: Theme, actions: Actions
) -> None:
    window.show()
    sheet = ShortcutsSheet(theme, actions, window)
    sheet.open()
    assert sheet.isVisible()
    assert {name: [a.id for a in group] for name, group in grouped(actions.all()).items()} == {
        "File": ["file.open"],
        "Compare": ["compare.export"],
    }
    qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert not sheet.isVisible()
