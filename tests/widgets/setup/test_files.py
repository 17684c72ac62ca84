"""Where an experiment comes from and goes to: files, stored trials, presets, the next session."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from tests.widgets.setup.kit import QWEN, SMOL, FakeWorkbench, click_row, open_page, settle, type_into
from widgets.setup.draft import State
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from widgets.shell.targets import EditAsNew, NewExperiment, OpenExperimentFile
from workbench.experiment.experiment import Experiment, WorkloadChoice
from workbench.experiment.file import dump, load

FIVE_MISTAKES = """schema = 1
models = 3
[techniques]
precison = "int8"
[workload]
prompt_tokens = "many"
batch = 2
[run]
trials = 0
"""


def test_that_a_file_with_five_mistakes_shows_them_all_and_changes_nothing(
    qtbot: QtBot, page: SetupPage, tmp_path: Path
) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    path = tmp_path / "wrong.toml"
    path.write_text(FIVE_MISTAKES)
    page.show_target(OpenExperimentFile(path))
    qtbot.waitUntil(page.file_problems.isVisible)
    assert len(page.file_problems.problems) == 5
    assert all(p.place.startswith("line ") for p in page.file_problems.problems)
    assert page.draft.experiment.models == (SMOL,)


def test_that_a_file_is_opened_edited_and_saved(qtbot: QtBot, page: SetupPage, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(dump(Experiment(name="mine", models=(SMOL,))))
    page.show_target(OpenExperimentFile(path))
    qtbot.waitUntil(lambda: page.draft.path == path)
    assert page.tools.name.text() == "mine"
    assert page.tools.name.suffix == ""
    assert page.run_bar.command.text() == f"llm-workbench run {path}"
    assert not page.run_bar.save.isVisible()
    type_into(qtbot, page, "new_tokens", "32")
    assert page.tools.name.suffix == "edited"
    assert page.run_bar.save.isVisible()
    page.services.actions.invoke("setup.save")
    qtbot.waitUntil(lambda: page.draft.is_on_disk)
    assert load(path)[0] == Experiment(name="mine", models=(SMOL,), workload=WorkloadChoice.of(new_tokens=(32,)))
    page.tools.menu_opened.emit()
    assert page.tools.recent.menu().actions()[0].toolTip() == str(path)


def test_that_an_unsaved_experiment_is_not_written_by_run(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    page.run()
    qtbot.waitUntil(lambda: bool(fake.runs))
    assert list(folder.iterdir()) == []


def test_that_a_stored_trial_is_edited_as_a_new_experiment(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, services: Services
) -> None:
    fake.definition = dump(
        Experiment(name="stored", seed=5, models=(QWEN,), workload=WorkloadChoice.of(batch_size=(3,)))
    )
    page.show_target(EditAsNew("t-1"))
    qtbot.waitUntil(lambda: page.draft.experiment.name == "stored")
    assert page.tools.origin.text() == "Based on trial 118"
    assert page.draft.path is None
    assert page.draft.experiment.seed is None, "a new experiment draws an order of its own"
    page.show_target(EditAsNew("t-9"))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].message == "There is no such trial."


def test_that_starting_over_can_be_undone(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    page.show_target(NewExperiment())
    assert page.draft.experiment == Experiment()
    page.undo_stack.undo()
    assert page.draft.experiment.models == (SMOL,)


def test_that_typing_is_undone_as_one_step_and_a_load_as_another(qtbot: QtBot, page: SetupPage, tmp_path: Path) -> None:
    before = page.draft.experiment
    for name in ("a", "ab"):
        page.session.edit(Experiment(name=name), "renaming", "name")
    page.files.save(page.draft.experiment, tmp_path / "ab.toml")
    qtbot.waitUntil(lambda: page.draft.is_on_disk)
    page.session.edit(Experiment(name="abc"), "renaming", "name")
    page.session.load(State(Experiment(name="other")), "opening other")
    assert page.undo_stack.undoText() == "opening other"
    for name in ("abc", "ab", before.name):  # what was saved in between is a step of its own
        page.undo_stack.undo()
        assert page.draft.experiment.name == page.tools.name.text() == name
    assert not page.undo_stack.canUndo()


def test_that_the_experiment_is_there_again_in_the_next_session(
    qtbot: QtBot, services: Services, fake: FakeWorkbench
) -> None:
    first = open_page(qtbot, services)
    click_row(qtbot, first.models.tree, SMOL)
    type_into(qtbot, first, "prompt_tokens", "64, 96")
    first.save_layout(services.settings)
    first.shutdown()
    services.actions.remove([a.id for a in services.actions.all() if a.id.startswith("setup.")])
    second = open_page(qtbot, services)
    assert second.draft.experiment.models == (SMOL,)
    assert second.workload.fields["prompt_tokens"].line.text() == "64, 96"
    second.shutdown()


def test_that_a_preset_fills_the_form(qtbot: QtBot, page: SetupPage) -> None:
    action = next(a for a in page.tools.presets.menu().actions() if a.text() == "Batch size")
    action.trigger()
    settle(qtbot, page)
    assert page.workload.fields["batch_size"].line.text() == "1, 2, 4, 8"
    assert any("is not downloaded" in p.message for p in page.plan.problems.problems)
    fetch = [b for b in page.plan.problems.findChildren(QPushButton) if b.text() == "Fetch, 93 MB"]
    assert len(fetch) == 1
