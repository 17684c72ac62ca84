"""Fields, trees and panels of the Setup page: mistakes, sweeps, undo, keyboard, narrow windows."""

from __future__ import annotations

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.widgets.setup.kit import QWEN, SMOL, click_row, settle, type_into
from widgets.setup.page import SetupPage
from workbench.experiment.experiment import TechniqueChoice


def test_that_a_wrong_value_is_said_at_its_field_and_holds_run_back(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    type_into(qtbot, page, "prompt_tokens", "128, 0")
    field = page.workload.fields["prompt_tokens"]
    assert field.message.text() == "Prompt is 1 to 1,000,000 tokens, not 0."
    assert field.line.property("invalid") == "true"
    assert not page.run_bar.run.isEnabled()
    assert page.run_bar.left_out.text() == "Prompt is 1 to 1,000,000 tokens, not 0."
    click_row(qtbot, page.models.tree, QWEN)
    settle(qtbot, page)
    assert field.line.text() == "128, 0", "other edits leave the text that is being mended alone"
    type_into(qtbot, page, "prompt_tokens", "128, 256")
    settle(qtbot, page)
    assert not field.message.isVisible()
    assert page.run_bar.run.isEnabled()


def test_that_a_parameter_in_the_form_sweeps_its_technique(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    page.techniques.tree.choose("precision.int8")
    field = page.techniques.form.fields["compute"]
    field.line.selectAll()
    qtbot.keyClicks(field.line, "auto, float32")
    settle(qtbot, page)
    assert page.draft.experiment.techniques[-1] == TechniqueChoice("precision.int8", {"compute": ("auto", "float32")})
    assert len(page.plan.table.model_.rows) == 3
    field.line.selectAll()
    qtbot.keyClicks(field.line, "float8")
    assert "is auto, float32, bfloat16 or float16" in field.message.text()
    assert "Compute" in page.run_reason


def test_that_an_empty_seed_is_drawn_for_each_run_and_a_typed_one_is_kept(qtbot: QtBot, page: SetupPage) -> None:
    field = page.workload.fields["seed"]
    assert field.line.text() == ""
    assert field.line.placeholderText() == "drawn"
    assert "a seed drawn for each run" in page.workload.run.order_hint.text()
    type_into(qtbot, page, "seed", "12")
    assert page.draft.experiment.seed == 12
    assert "seed 12" in page.workload.run.order_hint.text()
    field.line.selectAll()
    qtbot.keyClick(field.line, Qt.Key.Key_Delete)
    assert page.draft.experiment.seed is None
    assert field.error == ""
    page.workload.fields["requests"].line.selectAll()
    qtbot.keyClick(page.workload.fields["requests"].line, Qt.Key.Key_Delete)
    assert page.workload.fields["requests"].error, "other fields need a value"


def test_that_undo_brings_back_what_was_typed_over(qtbot: QtBot, page: SetupPage) -> None:
    type_into(qtbot, page, "batch_size", "2, 4")
    assert page.draft.experiment.workload.values("batch_size") == (2, 4)
    assert page.undo_stack.undoText() == "changing the workload"
    page.undo_stack.undo()
    assert page.workload.fields["batch_size"].line.text() == "1"
    assert page.undo_stack.undoText() == ""


def test_that_trees_are_worked_by_keyboard(qtbot: QtBot, page: SetupPage) -> None:
    tree = page.models.tree
    page.models.search.setFocus()
    qtbot.keyClick(page.models.search, Qt.Key.Key_Down)
    tree.choose(SMOL)
    qtbot.keyClick(tree, Qt.Key.Key_Space)
    assert page.draft.experiment.models == (SMOL,)
    qtbot.keyClick(tree, Qt.Key.Key_Space)
    assert page.draft.experiment.models == ()
    techniques = page.techniques.tree
    techniques.choose("precision.bfloat16")
    qtbot.keyClick(techniques, Qt.Key.Key_Space)
    assert [c.id for c in page.draft.experiment.techniques] == ["precision.float32", "precision.bfloat16"]


def test_that_the_workload_is_never_narrower_than_its_fields_and_units(qtbot: QtBot, page: SetupPage) -> None:
    page.resize(1440, 760)
    page.kind.setSizes([1300, 40])
    field = page.workload.fields["prompt_tokens"]
    right = field.mapTo(page.workload, field.rect().topRight()).x()
    assert right < page.workload.width()
