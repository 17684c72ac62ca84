"""What every page offers in menus and palette before it is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtWidgets import QMainWindow
from pytestqt.qtbot import QtBot

from widgets.compare.entries import ENTRIES as COMPARE
from widgets.machines.entries import ENTRIES as MACHINES
from widgets.monitor.entries import ENTRIES as MONITOR
from widgets.palette.palette import Palette
from widgets.setup.entries import ENTRIES as SETUP
from widgets.shell.actions import MENUS, Action, Actions
from widgets.shell.entries import Does, Entry, announced, fulfilled
from widgets.shell.menus import Menus, in_groups
from widgets.theme.theme import Theme
from workbench.experiment.studies import STUDIES

PAGES = {"setup": SETUP, "monitor": MONITOR, "compare": COMPARE, "machines": MACHINES}


@pytest.fixture
def actions(window: QMainWindow, theme: Theme) -> Actions:
    made = Actions(window, theme)
    for entries in PAGES.values():
        made.announce(*announced(entries))
    return made


@pytest.mark.parametrize("page", PAGES)
def test_that_entries_are_named_after_their_page_and_stand_in_a_menu_there_is(page: str) -> None:
    assert PAGES[page]
    for entry in PAGES[page]:
        assert entry.page == page
        assert entry.menu in MENUS


def test_that_every_study_has_an_entry_in_its_words() -> None:
    texts = {e.id: e.text for e in SETUP if e.id.startswith("setup.study-")}
    assert texts.keys() == {f"setup.study-{s.id}" for s in STUDIES}
    for study in STUDIES:
        chosen = (f"{study.title} of the chosen {what}" for what in ("model", "shape"))
        assert texts[f"setup.study-{study.id}"] in chosen


@pytest.mark.parametrize("typed", ["Find a model", "Sensors and queue", "Copy machine report", "Texts side by side"])
def test_that_the_palette_finds_what_a_page_will_bring_and_says_where_it_is(
    window: QMainWindow, theme: Theme, actions: Actions, typed: str
) -> None:
    window.show()
    palette = Palette(theme, actions, window)
    palette.open(typed)
    found = palette.model.index(0).data(0x0100)
    assert (found.text, found.enabled) == (typed, False)
    assert found.detail.startswith("show the ")
    assert found.detail.endswith(" page first")
    palette.leave()


def test_that_on_another_page_an_action_says_which_page_and_not_what_is_missing_there(actions: Actions) -> None:
    ready = [True]
    does = {e.id: Does(print, lambda: ready[0], "no trial is in the charts") for e in MONITOR}
    actions.add(*fulfilled(MONITOR, does))
    actions.set_page("setup")
    assert actions.why_not("monitor.export") == "show the Monitor page first"
    actions.set_page("monitor")
    assert actions.why_not("monitor.export") == ""
    ready[0] = False
    assert actions.why_not("monitor.export") == "no trial is in the charts"
    actions.set_page("setup")
    assert actions.why_not("monitor.stop") == "no trial is in the charts"  # it would run from anywhere


def test_that_an_entry_that_does_nothing_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        fulfilled((Entry("setup.x", "X", "File"),), {})


def made_action(id: str, group: str) -> Action:
    return Action(id=id, text=id, handler=print, menu="File", group=group)


def test_that_groups_stand_together_and_quitting_ends_the_menu() -> None:
    given = [made_action("new", ""), made_action("quit", "quit"), made_action("save", "save"), made_action("open", "")]
    assert [a.id for a in in_groups(given)] == ["new", "open", "save", "quit"]


def test_that_what_pages_bring_comes_before_quit(qtbot: QtBot, window: QMainWindow, theme: Theme) -> None:
    actions = Actions(window, theme)
    actions.add(made_action("file.quit", "quit"))
    Menus(window.menuBar(), actions)
    actions.announce(*announced(SETUP))
    menu = window.menuBar().actions()[0].menu()

    def texts() -> list[str]:
        return [a.text() for a in menu.actions() if not a.isSeparator()]  # type: ignore[union-attr]

    wanted: Callable[[], bool] = lambda: len(texts()) > 4  # noqa: E731
    qtbot.waitUntil(wanted)
    assert texts()[-1] == "file.quit"
    assert texts()[:2] == ["Save experiment", "Save experiment as"]
