"""The kinds of work in Setup: each shows its own panels and keeps its own form."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QComboBox, QToolButton
from pytestqt.qtbot import QtBot

from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder
from tests.widgets.setup.kit import QWEN, SMOL, click_row, settle, type_into
from widgets.setup.draft import State, dump_session, load_session
from widgets.setup.kinds import TrainingPanels
from widgets.setup.page import SetupPage
from widgets.setup.panels import NARROW
from widgets.setup.training.panel import PretrainingPanel
from widgets.shell.targets import UseModels
from workbench.experiment.experiment import Experiment, TechniqueChoice, WorkloadChoice


def turn(qtbot: QtBot, page: SetupPage, title: str) -> None:
    """Click a kind of work in the toolbar."""
    button = next(b for b in page.tools.kind.findChildren(QToolButton) if b.text() == title)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, page)


def test_that_each_kind_keeps_its_form(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "prompt_tokens", "256, 512")
    click_row(qtbot, page.techniques.tree, "precision.bfloat16", 35)
    settle(qtbot, page)
    inference = page.draft.experiment
    turn(qtbot, page, "Fine-tuning")
    assert page.draft.experiment.workload == WorkloadChoice.of("training")
    type_into(qtbot, page, "learning_rate", "0.0001, 0.001")
    click_row(qtbot, page.models.tree, QWEN)
    settle(qtbot, page)
    training = page.draft.experiment
    turn(qtbot, page, "Inference")
    back = page.draft.experiment
    assert (back.workload, back.techniques) == (inference.workload, inference.techniques)
    assert back.models == (SMOL, QWEN), "what both share keeps its value"
    turn(qtbot, page, "Fine-tuning")
    assert page.draft.experiment == training
    assert page.workload.fields["learning_rate"].line.text() == "1e-4, 1e-3"


def test_that_nothing_of_another_kind_is_shown_or_planned(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    click_row(qtbot, page.techniques.tree, "precision.bfloat16", 35)
    settle(qtbot, page)
    turn(qtbot, page, "Fine-tuning")
    assert "prompt_tokens" not in page.workload.fields
    assert {row.key for group in page.techniques.tree.model_.groups for row in group.rows} >= {"finetune.lora"}
    assert not page.planned or not any(
        "no effect" in problem.message for c in page.planned.plan.configurations for problem in c.problems
    )
    turn(qtbot, page, "Inference")
    assert not any(t.id.startswith("finetune.") for c in page.planned.plan.configurations for t in c.techniques)
    assert not any("no effect" in p.message for c in page.planned.plan.configurations for p in c.problems)


def test_that_the_kind_is_chosen_by_keyboard_and_undone(qtbot: QtBot, page: SetupPage) -> None:
    first = next(b for b in page.tools.kind.findChildren(QToolButton) if b.text() == "Inference")
    first.setFocus()
    qtbot.keyClick(page.tools.kind, Qt.Key.Key_Right)
    assert page.draft.experiment.workload.kind == "training"
    page.undo_stack.undo()
    assert page.draft.experiment.workload.kind == "inference"
    assert page.tools.kind.index == 0


def test_that_a_mistake_in_one_kind_does_not_stop_the_other(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "prompt_tokens", "0")
    assert page.run_reason
    turn(qtbot, page, "Fine-tuning")
    assert page.run_reason != "Prompt is 1 to 1,000,000 tokens, not 0."
    turn(qtbot, page, "Inference")
    assert page.workload.fields["prompt_tokens"].line.text() == "128"
    assert not page.run_reason


def test_that_the_forms_of_all_kinds_are_there_in_the_next_session() -> None:
    inference = Experiment(techniques=(TechniqueChoice("precision.bfloat16"),), models=("a",))
    state = State(inference, inference).turned("training")
    again = load_session(dump_session(state))
    assert again == state
    assert again.turned("inference").experiment == inference


def test_that_a_narrow_window_puts_data_and_training_in_tabs(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Fine-tuning")
    kind = page.kind
    assert isinstance(kind, TrainingPanels)
    assert kind.data.isVisible()
    assert kind.work.isVisible()
    page.resize(NARROW - 72 - 1, 600)
    assert kind.pair.tabs.isVisible()
    assert not kind.work.isVisible()
    kind.pair.tabs.setCurrentIndex(1)
    assert kind.work.isVisible()
    assert page.machine.isVisible(), "the machine keeps its place"
    page.resize(1368, 800)
    assert kind.data.isVisible()
    assert kind.work.isVisible()


def test_that_the_training_form_shows_what_has_an_effect(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Fine-tuning")
    kind = page.kind
    assert isinstance(kind, TrainingPanels)
    fields = kind.work.fields
    assert kind.training.batch.hint.text() == "4 × 128 = 512 tokens a step"
    assert not fields["token_budget"].isVisibleTo(kind.work)
    kind.training.stop_at.choose(1)
    settle(qtbot, page)
    assert page.draft.experiment.workload.values("token_budget") == (60 * 512,), "what the steps amount to"
    assert fields["token_budget"].isVisibleTo(kind.work)
    assert kind.training.batch.hint.text() == "4 × 128 = 512 tokens a step, 60 steps"
    type_into(qtbot, page, "accumulation", "2, 4")
    settle(qtbot, page)
    assert kind.training.batch.hint.text() == "8 × 128 = 1,024 tokens a step, 30 steps; first of the sweep"
    page.undo_stack.undo()
    page.undo_stack.undo()
    assert page.draft.experiment.workload == WorkloadChoice.of("training"), "a stop and its budget are one step"


def test_that_what_other_settings_make_void_is_grey_with_the_reason(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Fine-tuning")
    every = page.workload.fields["evaluate_every"].line
    own = page.techniques.form.fields["learning_rate"].line
    assert every.isEnabled()
    assert own.isEnabled(), "a rate of 0 takes each method's own"
    type_into(qtbot, page, "evaluation_tokens", "0")
    assert not every.isEnabled()
    assert every.toolTip() == "No tokens are evaluated"
    type_into(qtbot, page, "learning_rate", "1e-3")
    settle(qtbot, page)
    own = page.techniques.form.fields["learning_rate"].line
    assert not own.isEnabled()
    assert own.toolTip() == "The learning rate under Training is used for all methods."


def test_that_learning_rates_are_written_as_powers_of_ten(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Fine-tuning")
    type_into(qtbot, page, "learning_rate", "1e-4, 0.0003, 1e-3, 0.02")
    assert page.draft.experiment.workload.values("learning_rate") == (1e-4, 3e-4, 1e-3, 0.02)
    turn(qtbot, page, "Inference")
    turn(qtbot, page, "Fine-tuning")
    assert page.workload.fields["learning_rate"].line.text() == "1e-4, 3e-4, 1e-3, 0.02"


def test_that_a_fine_tuning_becomes_models_that_are_trained_first_and_can_be_had_back(
    qtbot: QtBot, page: SetupPage
) -> None:
    assert not page.openings.trains()
    click_row(qtbot, page.models.tree, SMOL)
    turn(qtbot, page, "Fine-tuning")
    training = page.draft.experiment
    assert isinstance(page.kind, TrainingPanels)
    qtbot.mouseClick(page.kind.training.train_first, Qt.MouseButton.LeftButton)
    settle(qtbot, page)
    made = page.draft.experiment
    assert made.workload.kind == "inference"
    (first,) = made.trained
    assert made.models == (SMOL, first.ref)
    cells = page.planned.plan.configurations
    assert {str(c.workload.__struct_config__.tag) for c in cells} == {"training", "inference"}
    assert page.plan.table.model_.rowCount() == 3, "the training, and both models in use"
    page.undo_stack.undo()
    settle(qtbot, page)
    assert page.draft.experiment == training
    page.openings.train_first()
    page.openings.train_first()
    assert page.openings._problems.isVisible(), "inference trains nothing"


@pytest.mark.parametrize(
    ("kind", "words", "name"), [("Inference", "demo", "Precision"), ("Fine-tuning", "LoRA", "LoRA on")]
)
def test_that_an_empty_plan_offers_an_example_of_its_kind(
    qtbot: QtBot, page: SetupPage, monkeypatch: pytest.MonkeyPatch, kind: str, words: str, name: str
) -> None:
    monkeypatch.setattr(page.model_search, "lacks_starter", lambda: False)
    turn(qtbot, page, kind)
    page._show_empty()
    button = page.plan.empty.button
    assert words in button.text()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(qtbot, page)
    assert page.draft.experiment.name.startswith(name)


def test_that_the_wheel_scrolls_a_form_and_changes_no_choice(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Fine-tuning")
    before = page.draft.experiment
    boxes = page.findChildren(QComboBox)
    assert len([box for box in boxes if box.isEnabled()]) >= 3
    for box in boxes:
        box.setFocus()
        middle = box.rect().center()
        turned = QWheelEvent(
            QPointF(middle), QPointF(box.mapToGlobal(middle)), QPoint(), QPoint(0, -120),
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(box, turned)
    assert page.draft.experiment == before


def test_that_pretraining_has_its_shapes_text_and_loop(qtbot: QtBot, page: SetupPage) -> None:
    turn(qtbot, page, "Pretraining")
    assert page.draft.experiment.workload == WorkloadChoice.of("pretraining")
    click_row(qtbot, page.models.tree, "shape/tiny")
    type_into(qtbot, page, "vocabulary_tokens", "1000, 2000")
    type_into(qtbot, page, "learning_rate", "0.001, 0.003")
    settle(qtbot, page)
    assert page.draft.experiment.models == ("shape/tiny",)
    assert "finetune.lora" not in {r.key for group in page.techniques.tree.model_.groups for r in group.rows}
    assert page.planned is not None
    cells = page.planned.plan.configurations
    assert len(cells) == 4
    assert all(cell.memory.trained_parameters == cell.memory.parameters for cell in cells)
    panel = page.workload
    assert isinstance(panel, PretrainingPanel)
    assert not panel.train_first.isVisible()
    panel.data.line.setFocus()
    panel.data.line.selectAll()
    qtbot.keyClicks(panel.data.line, "nothing.txt")
    qtbot.keyClick(panel.data.line, Qt.Key.Key_Return)
    assert page.draft.experiment.workload.values("data") == ("nothing.txt",)


def test_that_what_was_trained_is_compared_in_use_with_what_it_was_trained_from(
    qtbot: QtBot, page: SetupPage, tmp_path: Path
) -> None:
    turn(qtbot, page, "Fine-tuning")
    before = page.draft.experiment
    base = ModelOrder(ref=SMOL, title="small", kind="folder")
    folders = []
    for trial in ("t-1", "t-2"):
        made = Made(artifact="adapter", trial=trial, title="x", experiment_title="notes", step=1, base=base)
        folders.append(artifacts.place_of(tmp_path, trial, "adapter"))
        artifacts.write(folders[-1], made, lambda draft: None)
    page.show_target(UseModels((*folders, tmp_path / "gone")))
    settle(qtbot, page)
    made_of = page.draft.experiment
    assert made_of.models == (SMOL, *map(str, folders))
    assert (made_of.name, made_of.workload.kind) == ("notes, in use", "inference")
    page.undo_stack.undo()
    assert page.draft.experiment == before
    page.show_target(UseModels((tmp_path / "gone",)))
    assert page.draft.experiment == before
    assert page.services.toasts.history[-1].message == "What the trial kept is not there any more."
