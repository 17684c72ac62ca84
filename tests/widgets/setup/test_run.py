"""The way from nothing to the queue: what is planned, what is run, and what is said where neither can be."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from engines.models import identity
from engines.protocol.client import RunnerError
from engines.protocol.problems import Problem, ProblemsFound
from tests.widgets.setup.kit import QWEN, SMOL, FakeWorkbench, click_row, settle, type_into
from tests.workbench.models.test_models import CONFIG, make_folder
from widgets.parts.components import ToolButton
from widgets.setup.page import SetupPage
from widgets.shell.services import Services
from widgets.shell.targets import ShowTrial


def test_that_two_models_two_techniques_and_a_sweep_become_the_trials_that_are_run(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, services: Services
) -> None:
    assert page.plan.empty.isVisible()
    assert not page.run_bar.run.isEnabled()
    click_row(qtbot, page.models.tree, SMOL)
    click_row(qtbot, page.models.tree, QWEN)
    click_row(qtbot, page.techniques.tree, "precision.int8", 34)
    type_into(qtbot, page, "prompt_tokens", "64..128 x2")
    type_into(qtbot, page, "new_tokens", "8")
    quick = next(b for b in page.workload.run.repetitions.findChildren(ToolButton) if b.text() == "Quick 3")
    qtbot.mouseClick(quick, Qt.MouseButton.LeftButton)
    settle(qtbot, page)

    assert len(page.plan.table.model_.rows) == 8
    assert page.plan.header.count.text() == "8 configurations × 3 trials"
    assert [c.title for c in page.plan.table.model_.columns][1:4] == ["Model", "Precision", "Prompt"]
    assert page.run_bar.run.shown.startswith("Run 24 trials  about ")
    assert page.models.header.count.text() == "2 selected"

    qtbot.mouseClick(page.run_bar.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(services.navigate.asked))  # type: ignore[attr-defined]
    (plan,) = fake.runs
    assert plan.trials == 24
    assert plan.experiment.models == (SMOL, QWEN)
    assert [c.id for c in plan.experiment.techniques] == ["precision.float32", "precision.int8"]
    assert plan.experiment.workload.values("prompt_tokens") == (64, 128)
    assert plan.experiment.run.trials == 3
    assert services.navigate.asked == [("monitor", ShowTrial("t-1"))]  # type: ignore[attr-defined]


def test_that_nothing_is_planned_or_run_on_the_main_thread(qtbot: QtBot, page: SetupPage, fake: FakeWorkbench) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    page.run()
    qtbot.waitUntil(lambda: bool(fake.runs))
    assert all(name.startswith("bridge") for name in fake.threads)


def test_that_run_during_planning_runs_what_stands_in_the_form(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench
) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    fake.gate = threading.Event()
    type_into(qtbot, page, "new_tokens", "16")
    page.run()
    assert not fake.runs
    fake.gate.set()
    qtbot.waitUntil(lambda: bool(fake.runs))
    assert fake.runs[0].experiment.workload.values("new_tokens") == (16,)


def test_that_typing_fast_plans_only_the_newest(qtbot: QtBot, page: SetupPage, fake: FakeWorkbench) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    before = len(fake.planned)
    type_into(qtbot, page, "prompt_tokens", "12345")
    settle(qtbot, page)
    assert fake.planned[-1].workload.values("prompt_tokens") == (12345,)
    assert len(fake.planned) - before <= 2


def test_that_a_failure_to_run_is_told_and_leaves_everything(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, services: Services
) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    fake.run_error = ProblemsFound((Problem(severity="error", place="x", message="The runner is full."),))
    qtbot.mouseClick(page.run_bar.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert "The runner is full." in services.toasts.history[-1].message
    assert page.run_bar.run.isEnabled()
    assert page.draft.experiment.models == (SMOL,)


def test_that_a_runner_that_does_not_answer_is_explained_in_place(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench
) -> None:
    fake.plan_error = RunnerError("The runner did not answer.", code="link")
    click_row(qtbot, page.models.tree, SMOL)
    qtbot.waitUntil(lambda: page.planned is None)
    assert page.plan.empty.title.text() == "The plan could not be made"
    assert "did not answer" in page.plan.empty.text.text()
    assert not page.run_bar.run.isEnabled()
    fake.plan_error = None
    qtbot.mouseClick(page.plan.empty.button, Qt.MouseButton.LeftButton)
    settle(qtbot, page)
    assert page.plan.table.isVisible()


def test_that_a_model_is_run_once_its_files_are_read(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the plan says how far that is, Run waits, and the window goes on."""
    monkeypatch.setattr(identity, "SMALL_BYTES", -1)
    may = threading.Event()
    digests = fake.identities._digests
    read = digests.of
    monkeypatch.setattr(digests, "of", lambda *arguments: may.wait(60) and read(*arguments))
    page.planner._reading.setInterval(5)
    folder = make_folder(tmp_path / "large", {**CONFIG, "max_position_embeddings": 4096})
    page.session.edit(msgspec.structs.replace(page.draft.experiment, models=(str(folder),)), "a model")
    qtbot.waitUntil(lambda: page.session.is_planned)  # it plans again every 5 ms
    assert not page.run_bar.run.isEnabled()
    assert "being read" in page.run_bar.run.toolTip()
    assert any("The files of large are being read: 0%" in p.message for p in page.planned.view.problems)  # type: ignore[union-attr]
    assert page.plan.table.model_.rows, "the plan is there meanwhile"
    page.run()
    may.set()
    qtbot.waitUntil(page.run_bar.run.isEnabled)
    assert fake.runs == [], "nothing starts by itself"
    qtbot.mouseClick(page.run_bar.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(fake.runs))
    assert all(c.model.fingerprint.startswith("sha256:") for c in fake.runs[0].configurations)
