"""Setup with two engines: task, prompts, depth, quality, engine settings, the plan, studies, installing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from engines.catalogue import engines
from engines.protocol.messages import Package, ProbeResult
from engines.protocol.tasks import LOCAL_TASKS, PAPER_TASKS, QUESTIONS
from tests.tiny_gguf import write_tiny_gguf
from tests.widgets.setup.kit import FakeWorkbench
from widgets.opening.dropped import target_of
from widgets.setup.edits import set_engine, set_tasks
from widgets.setup.page import SetupPage
from widgets.setup.plan.rows import plan_view
from widgets.setup.workload.engine_group import summary
from widgets.setup.workload.task_list import task_rows
from widgets.shell.services import Services
from widgets.shell.targets import InstallPackages, UsePrompts
from workbench.experiment.experiment import Experiment, TechniqueChoice
from workbench.experiment.studies import STUDIES
from workbench.plan.plan import Plan

RANDOM = "random:smollm2-135m-instruct"


def with_packages(workbench: FakeWorkbench, *names: str, ready: tuple[str, ...] = ()) -> None:
    """The fake's machine with other packages; one that is not named here is missing."""
    known = ("torch", "transformers", "torchao", "llama-cpp-python", "gguf", "lm-eval")
    packages = tuple(
        Package(name=n, version="1") if n in names else Package(name=n, install=f'python -m pip install "{n}"')
        for n in known
    )
    real = workbench.probe

    def probe(*, refresh: bool = False) -> ProbeResult:
        return msgspec.structs.replace(real(refresh=refresh), packages=packages, task_data=ready)

    workbench.probe = probe  # type: ignore[method-assign]


def choose(qtbot: QtBot, page: SetupPage, *models: str, techniques: tuple[str, ...] = ()) -> Plan:
    """The plan of these models and techniques."""
    experiment = Experiment(models=models, techniques=tuple(TechniqueChoice(t) for t in techniques))
    page.session.edit(experiment, "a test")
    return planned(qtbot, page)


def planned(qtbot: QtBot, page: SetupPage) -> Plan:
    qtbot.waitUntil(lambda: page.session.is_planned)
    return page.planned.plan


def pick(box: QComboBox, text: str) -> None:
    """As a person chooses: the entry becomes current and `activated` is told."""
    index = box.findText(text)
    assert index >= 0, text
    box.setCurrentIndex(index)
    box.activated.emit(index)


def type_in(qtbot: QtBot, line: object, text: str) -> None:
    line.setFocus()  # type: ignore[attr-defined]
    line.selectAll()  # type: ignore[attr-defined]
    qtbot.keyClicks(line, text)


# --- workload ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "id"), [("Answer questions", "answer"), ("Summarise", "summarise")])
def test_that_the_task_is_chosen_and_undone(qtbot: QtBot, page: SetupPage, title: str, id: str) -> None:
    pick(page.workload.task, title)
    assert page.draft.experiment.workload.values("task")[0] == id
    page.undo_stack.undo()
    assert page.draft.experiment.workload.values("task")[0] == "generate"
    assert page.workload.task.currentText() == "Generate text"


def test_that_depth_sweeps_and_the_plan_shows_it(qtbot: QtBot, page: SetupPage) -> None:
    choose(qtbot, page, RANDOM)
    type_in(qtbot, page.workload.fields["depth_tokens"].line, "0, 512")
    assert page.draft.experiment.workload.values("depth_tokens") == (0, 512)
    plan = planned(qtbot, page)
    assert "depth_tokens" in {c.key for c in plan_view(plan).columns}
    # transformers cannot start at a depth yet: the row says so
    assert any("context depth" in p.message for c in plan.configurations for p in c.problems)


def test_that_written_texts_and_questions_reach_the_experiment(qtbot: QtBot, page: SetupPage) -> None:
    type_in(qtbot, page.workload.fields["text_tokens"].line, "64")
    assert page.draft.experiment.workload.values("text_tokens")[0] == 64
    assert not page.workload.fields["task_samples"].line.isEnabled()
    page.editor.tasks(("gsm8k-sample",))
    assert page.workload.fields["task_samples"].line.isEnabled()


def test_that_a_prompt_file_is_dropped_shown_and_taken_back(
    qtbot: QtBot,
    page: SetupPage,
    tmp_path: Path,
) -> None:
    file = tmp_path / "my prompts.txt"
    file.write_text("one\ntwo\n")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(file))])
    drop = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    page.workload.prompts.dropEvent(drop)
    assert page.draft.experiment.workload.values("prompt_file")[0] == str(file)
    assert str(file) in page.workload.prompts.button.toolTip()
    qtbot.mouseClick(page.workload.prompts.clear, Qt.MouseButton.LeftButton)
    assert page.draft.experiment.workload.values("prompt_file")[0] == ""
    assert page.workload.prompts.button.text() == "Built-in"
    page.undo_stack.undo()
    assert page.draft.experiment.workload.values("prompt_file")[0] == str(file)


def test_that_a_file_of_prompts_dropped_anywhere_is_for_setup(page: SetupPage, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "x"}\n')
    assert target_of(file) == UsePrompts(file)
    page.show_target(UsePrompts(file))
    assert page.draft.experiment.workload.values("prompt_file")[0] == str(file)


# --- tasks --------------------------------------------------------------------------------------------


def test_that_tasks_are_grey_with_a_reason_until_their_questions_are_here() -> None:
    first = LOCAL_TASKS[0].id
    rows = {r.id: r for r in task_rows((), (first,), True)}
    assert not rows[first].reason
    assert all("not on this computer" in r.reason for id, r in rows.items() if id != first)
    assert all("lm-eval" in r.reason for r in task_rows((), (first,), False))
    assert not any(r.reason for r in task_rows((), None, None))


def test_that_a_harness_task_is_added_by_name_and_an_unknown_one_says_so(
    qtbot: QtBot,
    page: SetupPage,
) -> None:
    field = page.workload.tasks.other
    type_in(qtbot, field, "arc_easy")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert page.draft.experiment.workload.values("tasks")[0] == ("lm-eval:arc_easy",)
    assert page.workload.tasks.boxes["lm-eval:arc_easy"].isChecked()
    type_in(qtbot, field, "two words")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert page.draft.experiment.workload.values("tasks")[0] == ("lm-eval:arc_easy",)
    assert "Nobody knows" in next(r.reason for r in task_rows(("hella",), (), True) if r.id == "hella")


def test_that_a_ticked_task_is_unticked_even_where_it_cannot_run(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
) -> None:
    with_packages(fake, "torch")
    page.editor.tasks((LOCAL_TASKS[0].id,))
    page.look_again()
    planned(qtbot, page)
    boxes = page.workload.tasks.boxes
    qtbot.waitUntil(lambda: not boxes[LOCAL_TASKS[1].id].isEnabled() if LOCAL_TASKS[1].id in boxes else False)
    box = page.workload.tasks.boxes[LOCAL_TASKS[0].id]
    assert box.isEnabled()
    box.click()
    assert page.draft.experiment.workload.values("tasks")[0] == ()


def test_that_what_tasks_lack_is_a_button_away_on_the_machines_page(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
    services: Services,
) -> None:
    asked = services.navigate.asked  # type: ignore[attr-defined]
    with_packages(fake, "torch")
    page.look_again()
    listed = page.workload.tasks
    qtbot.waitUntil(lambda: "lm-eval" in listed.buttons)
    assert list(listed.buttons) == ["lm-eval"]  # one for all of them
    qtbot.mouseClick(listed.buttons["lm-eval"], Qt.MouseButton.LeftButton)
    with_packages(fake, "torch", "lm-eval")
    page.look_again()
    qtbot.waitUntil(lambda: QUESTIONS in listed.buttons)
    assert "3 MB" in listed.buttons[QUESTIONS].text()
    qtbot.mouseClick(listed.buttons[QUESTIONS], Qt.MouseButton.LeftButton)
    assert asked == [("machines", InstallPackages(("lm-eval",))), ("machines", InstallPackages((QUESTIONS,)))]
    with_packages(fake, "torch", "lm-eval", ready=tuple(task.id for task in LOCAL_TASKS))
    page.look_again()
    qtbot.waitUntil(lambda: not listed.buttons)
    assert all(box.isEnabled() for box in listed.boxes.values())


def test_that_the_papers_tasks_are_called_by_their_names() -> None:
    rows = task_rows([task.id for task in PAPER_TASKS], (), True)[len(LOCAL_TASKS) :]
    assert [row.title for row in rows] == ["MMLU-Pro", "BBH", "GPQA", "IFEval", "MATH (hard)", "MuSR"]
    assert all(row.checked and not row.reason for row in rows)
    tips = {row.title: row.tip for row in rows}
    assert "account" in tips["GPQA"]
    assert "lm-eval[math]" in tips["MATH (hard)"]
    assert "24 parts" in tips["BBH"]


def test_that_a_task_is_named_once() -> None:
    assert set_tasks(Experiment(), ("a", "b", "a")).workload.values("tasks")[0] == ("a", "b")


# --- engine -------------------------------------------------------------------------------------------


def test_that_the_engine_group_is_folded_and_says_what_is_set(qtbot: QtBot, page: SetupPage) -> None:
    group = page.workload.engine
    assert not group.body.isVisible()
    assert group.summary.text() == "Automatic: by technique"
    qtbot.mouseClick(group.head, Qt.MouseButton.LeftButton)
    assert group.body.isVisibleTo(group)
    pick(group.choices["id"], "llama.cpp")
    type_in(qtbot, group.fields["threads"].line, "4")
    pick(group.choices["flash_attention"], "On")
    group.boxes["memory_map"].click()
    settings = page.draft.experiment.engine
    assert (settings.id, settings.threads) == ("llama.cpp", 4)
    assert settings.own == {"flash_attention": "on", "memory_map": False}
    assert summary(settings, engines()) == "llama.cpp, 4 threads, flash attention on, memory map off"
    assert not group.choices["attention"].isEnabled()
    assert "transformers" in group.choices["attention"].toolTip()


def test_that_engine_edits_are_undone_one_by_one(qtbot: QtBot, page: SetupPage) -> None:
    group = page.workload.engine
    group.set_open(True)
    pick(group.choices["id"], "transformers")
    type_in(qtbot, group.fields["batch_tokens"].line, "77")  # its engine runs nothing: the field is grey
    assert page.draft.experiment.engine.own == {}
    pick(group.choices["attention"], "eager")
    page.undo_stack.undo()
    assert page.draft.experiment.engine.own == {}
    page.undo_stack.undo()
    assert page.draft.experiment.engine.id == "auto"
    assert group.choices["id"].currentText() == "Automatic"


def test_that_a_wrong_number_is_said_and_the_last_good_one_stays(qtbot: QtBot, page: SetupPage) -> None:
    group = page.workload.engine
    group.set_open(True)
    field = group.fields["gpu_layers"]
    type_in(qtbot, field.line, "-7")
    assert field.error
    assert page.draft.experiment.engine.own == {}
    assert page.run_reason == field.error


def test_that_a_key_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        set_engine(Experiment(), "colour", 1)


# --- the plan -----------------------------------------------------------------------------------------


def test_that_a_plan_of_two_engines_names_each_row_s(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
) -> None:
    with_packages(fake, "torch", "transformers", "torchao", "llama-cpp-python", "gguf")
    plan = choose(qtbot, page, RANDOM, techniques=("precision.float32", "precision.q4_k_m"))
    view = plan_view(plan)
    assert "engine" in {c.key for c in view.columns}
    assert [r.cells["engine"] for r in view.rows] == ["transformers", "llama.cpp"]
    assert not any("made first" in p.message for p in view.rows[0].problems)


def test_that_a_rung_joins_a_gguf_file_s_own_precision_and_nothing_else(
    qtbot: QtBot, page: SetupPage, fake: FakeWorkbench, tmp_path: Path
) -> None:
    with_packages(fake, "torch", "transformers", "torchao", "llama-cpp-python", "gguf")
    page.look_again()
    choose(qtbot, page, str(write_tiny_gguf(tmp_path / "tiny.gguf")))
    page.editor.technique("precision.q4_0", True)
    plan = planned(qtbot, page)
    assert [c.technique_title("precision") for c in plan.configurations] == ["GGUF as it is", "Q4_0"]
    assert all(c.runnable for c in plan.configurations)


def test_that_a_plan_of_one_ordinary_engine_has_no_column_for_it(qtbot: QtBot, page: SetupPage) -> None:
    assert "engine" not in {c.key for c in plan_view(choose(qtbot, page, RANDOM)).columns}


# --- installing and studies -----------------------------------------------------------------------------


def test_that_a_grey_technique_leads_to_the_sheet_that_installs_it(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
    services: Services,
) -> None:
    with_packages(fake, "torch", "transformers", "torchao")
    choose(qtbot, page, RANDOM)
    page.look_again()
    planned(qtbot, page)
    page.techniques.tree.choose("precision.q4_k_m")
    button = page.techniques.form._install
    qtbot.waitUntil(button.isVisible)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert services.navigate.asked[-1] == (  # type: ignore[attr-defined]
        "machines",
        InstallPackages(("llama-cpp-python", "gguf")),
    )


def test_that_a_plan_s_row_offers_to_install_and_the_experiment_stays(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
    services: Services,
) -> None:
    with_packages(fake, "torch", "transformers", "torchao", "gguf")
    plan = choose(qtbot, page, RANDOM, techniques=("precision.q4_k_m",))
    before = page.draft.experiment
    fix = next(f for p in plan.configurations[0].problems for f in p.fixes if f.path == "install")
    assert fix.label == "Install llama.cpp"
    page.editor.fix(plan.configurations[0].hash, fix)
    assert page.draft.experiment == before
    assert services.navigate.asked[-1][1] == InstallPackages(("llama-cpp-python",))  # type: ignore[attr-defined]


def test_that_a_study_is_made_of_the_chosen_model_and_this_machine(
    qtbot: QtBot,
    page: SetupPage,
    fake: FakeWorkbench,
    services: Services,
) -> None:
    with_packages(fake, "torch", "transformers")
    choose(qtbot, page, RANDOM)
    menu = page.tools.presets.menu()
    next(a for a in menu.actions() if a.text() == "Precision study").trigger()
    qtbot.waitUntil(lambda: page.draft.state.origin == STUDIES[0].title)
    made = page.draft.experiment
    assert made.models == (RANDOM,)
    ids = {c.id for c in made.techniques}
    assert "precision.bfloat16" in ids
    assert "precision.int8" not in ids  # no torchao here
    assert made.workload.whole("text_tokens")[0] > 0
    assert "left out" in services.toasts.history[-1].message
    page.undo_stack.undo()
    assert page.draft.experiment.techniques == ()


def test_that_a_study_without_its_model_opens_as_the_preset_stands(qtbot: QtBot, page: SetupPage) -> None:
    page.openings.study("precision")
    qtbot.waitUntil(lambda: page.draft.state.origin == "Preset")
    assert "precision.q4_k_m" in {c.id for c in page.draft.experiment.techniques}


def test_that_a_study_of_a_model_that_is_not_there_changes_nothing(qtbot: QtBot, page: SetupPage) -> None:
    choose(qtbot, page, "no-such-model")
    before = page.draft.experiment
    page.openings.study("precision")
    qtbot.waitUntil(page.file_problems.isVisible)
    assert page.draft.experiment == before
