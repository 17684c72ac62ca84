"""Models in Setup: a hub id that is typed, the starter that is fetched, a folder that is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

import workbench.models.starter
from engines.protocol.places import Places
from tests.widgets.setup.kit import FakeWorkbench, settle
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from widgets.shell.targets import AddModel
from workbench.models.fetching import FetchError


def test_that_a_typed_hub_id_is_taken_with_enter(qtbot: QtBot, page: SetupPage) -> None:
    page.services.actions.invoke("setup.find")
    qtbot.keyClicks(page.models.search, "acme/tiny-1b")
    assert page.models.tree.model_.groups[0].rows[0].title == "Use hub id acme/tiny-1b"  # type: ignore[attr-defined]
    qtbot.keyClick(page.models.search, Qt.Key.Key_Return)
    settle(qtbot, page)
    assert page.draft.experiment.models == ("acme/tiny-1b",)
    assert page.models.search.text() == ""
    assert "downloaded" in page.plan.problems.problems[0].message


def test_that_the_starter_is_fetched_only_when_asked_with_progress_in_its_row(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    asked: list[Places] = []

    def ensure(places: Places, report: Callable[[float | None, str], None]) -> Path:
        asked.append(places)
        report(0.25, "Fetching 23 of 93 MB")
        assert go_on.wait(60)
        write_model(places.starter_model)
        return places.starter_model

    monkeypatch.setattr(workbench.models.starter, "ensure_starter", ensure)
    assert not asked
    tree = page.models.tree
    index = tree.model_.index_of("smollm2-135m-instruct")
    row = tree.model_.row(index)
    assert row is not None
    rect = tree._delegate.button_rect(tree.visualRect(index), row)
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    qtbot.waitUntil(lambda: "Fetching 23 of 93 MB" in tree.model_.row(tree.model_.index_of(row.key)).text)  # type: ignore[union-attr]
    assert page.model_search.fetching.fraction == 0.25
    go_on.set()
    qtbot.waitUntil(lambda: page.draft.experiment.models == ("smollm2-135m-instruct",))
    qtbot.waitUntil(lambda: page.model_search.library.starter_here)


def test_that_a_failed_fetch_says_so_and_can_be_tried_again(
    qtbot: QtBot, page: SetupPage, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    def ensure(places: Places, report: object) -> Path:
        raise FetchError("There is no network.", "Nothing was left half done; try again.")

    monkeypatch.setattr(workbench.models.starter, "ensure_starter", ensure)
    qtbot.mouseClick(page.plan.empty.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    row = page.models.tree.model_.row(page.models.tree.model_.index_of("smollm2-135m-instruct"))
    assert "There is no network." in row.text
    assert page.models.tree._delegate.button_text(row) == "Try again"


def test_that_a_dropped_model_is_listed_and_chosen(qtbot: QtBot, page: SetupPage, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    page.show_target(AddModel(broken))
    settle(qtbot, page)
    assert page.draft.experiment.models == (str(broken),)
    assert page.plan.problems.problems[0].place == str(broken)
    leave = next(b for b in page.plan.problems.findChildren(QPushButton) if b.text() == "Leave out")
    qtbot.mouseClick(leave, Qt.MouseButton.LeftButton)
    assert page.draft.experiment.models == ()


def write_model(folder: Path) -> None:
    """As much of a model folder as a look at it needs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
