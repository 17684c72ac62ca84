"""What can be done to rows and experiments, from baseline to recompute, and what the menu offers of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder
from engines.protocol.places import Places
from tests.widgets.compare.kit import FakeWorkbench, choose, failed_trial, index_of
from widgets.compare.page import ComparePage
from widgets.shell.services import Services
from widgets.shell.targets import EditAsNew, UseModels
from workbench.store.operations import Rename, SetBaseline


def test_that_a_baseline_is_stored_judged_anew_and_taken_back(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench
) -> None:
    choose(page, "c-int8")
    page.row_actions.make_baseline()
    qtbot.waitUntil(lambda: page.table.view.rows[0].configuration == "c-int8")
    assert page.table.view.rows[0].baseline
    assert workbench.asked == [SetBaseline(experiment="e-fake", configuration="c-int8")]
    assert page.undo_stack.undoText() == "the baseline"
    page.undo_stack.undo()
    qtbot.waitUntil(lambda: page.table.view.rows[0].configuration == "c-float32")
    assert page.undo_stack.undoText() == ""


def test_that_deleting_asks_once_in_place(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    trial = failed_trial(page)
    page.table.expand(index_of(page, "c-float16"))
    choose(page, trial)
    qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    assert page.ask.isVisible()
    assert "permanently" in page.ask.text.text()
    page.ask.refuse.click()
    assert workbench.asked == []
    page.row_actions.delete()
    page.ask.agree.click()
    qtbot.waitUntil(lambda: ("delete", (trial,)) in workbench.asked)
    assert not page.ask.isVisible()


def test_that_failed_trials_are_tried_again(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    choose(page, "c-float16")
    page.row_actions.retry_failed()
    qtbot.waitUntil(lambda: ("retry", (failed_trial(page),)) in workbench.asked)


def test_that_only_what_left_a_checkpoint_is_resumed(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    choose(page, "c-float16")
    trial = failed_trial(page)
    more: dict[str, Callable[[], None]] = dict.fromkeys(("card", "eye", "environments"), lambda: None)
    assert not any("Resume" in a.text() for a in page.row_actions.menu(more).actions())
    workbench.resumable = (trial, *(t.trial for t in workbench.details[0].trials if t.outcome == "completed"))
    menu = page.row_actions.menu(more)
    (action,) = [a for a in menu.actions() if a.text() == "Resume the trial from the last checkpoint"]
    action.trigger()
    qtbot.waitUntil(lambda: ("resume", (trial,)) in workbench.asked)


def test_that_an_experiment_is_renamed_in_place(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    page.row_actions.rename()
    page.ask.field.setText("another name")
    qtbot.keyClick(page.ask.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: Rename(experiment="e-fake", name="another name") in workbench.asked)
    qtbot.waitUntil(lambda: page.tools.experiments.rows[0].name == "another name")


def test_that_edit_as_new_goes_to_setup(page: ComparePage, services: Services) -> None:
    choose(page, "c-int8")
    page.row_actions.edit_as_new()
    (name, target), *_ = services.navigate.asked  # type: ignore[attr-defined]
    assert name == "setup"
    assert isinstance(target, EditAsNew)


def test_that_recomputing_is_of_the_shown_experiment_and_stops_when_asked_again(
    page: ComparePage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(page.recomputing, "start", lambda *given: asked.append(given))
    monkeypatch.setattr(page.recomputing, "stop", lambda: asked.append("stop"))
    page.recompute()
    page.recomputing.running = True
    page.recompute()
    assert asked == [("e-fake", "“precision of SmolLM2”"), "stop"]


def test_that_the_menu_offers_only_what_can_be_done(page: ComparePage) -> None:
    choose(page, "c-float32")
    menu = page.row_actions.menu(
        {"card": page.show_card, "eye": page.toggle_eyes, "environments": page.environments.show_selected}
    )
    texts = " | ".join(a.text() for a in menu.actions())
    assert "Set as baseline" not in texts, "it is the baseline"
    assert "Retry" not in texts, "none of its trials failed"
    assert "Hide from the charts" in texts
    assert "wall meter" not in texts, "a meter's readings are of one trial"
    menu.close()


def test_that_stored_work_is_offered_where_it_can_be_done(page: ComparePage, services: Services) -> None:
    choose(page, "c-float32")
    assert services.actions.is_enabled("compare.recompute")
    assert services.actions.is_enabled("compare.bundle")
    assert not services.actions.is_enabled("compare.wall-meter")
    page.toggle_by_trial()
    page.table.setCurrentIndex(page.table.compare_model.index(0, 0))
    services.actions.update()
    assert len(page.row_actions.selected().ended) == 1
    assert services.actions.is_enabled("compare.wall-meter")
    exports = " | ".join(a.text() for a in page.tools.export.menu().actions())
    assert "Whole experiment (Parquet bundle)" in exports


def test_that_actions_say_why_they_are_disabled(page: ComparePage, services: Services) -> None:
    page.table.selectionModel().clear()
    services.actions.update()
    assert not services.actions.is_enabled("compare.delete")
    assert "no row is selected" in services.actions.qaction("compare.delete").toolTip()
    choose(page, "c-float16")
    assert services.actions.is_enabled("compare.delete")
    assert services.actions.is_enabled("compare.retry")


def test_that_what_a_trial_has_kept_is_used_as_a_model(
    page: ComparePage, workbench: FakeWorkbench, services: Services, tmp_path: Path
) -> None:
    more: dict[str, Callable[[], None]] = dict.fromkeys(("card", "eye", "environments"), lambda: None)
    workbench.places = Places(*(tmp_path / name for name in ("data", "state", "cache", "config", "run")))
    choose(page, "c-int8")
    assert not any("as a model" in a.text() for a in page.row_actions.menu(more).actions())
    trial = next(t.trial for t in workbench.details[0].trials if t.configuration == "c-int8")
    made = Made(
        artifact="adapter", trial=trial, title="x", experiment_title="e", step=1,
        base=ModelOrder(ref="starter", title="starter", kind="folder"),
    )  # fmt: skip
    folder = artifacts.place_of(workbench.places.artifacts, trial, "adapter")
    artifacts.write(folder, made, lambda draft: None)
    (action,) = [a for a in page.row_actions.menu(more).actions() if a.text() == "Use what was trained as a model"]
    action.trigger()
    assert ("setup", UseModels((folder,))) in services.navigate.asked  # type: ignore[attr-defined]
