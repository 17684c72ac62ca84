"""The Setup page driven as a person would: clicks, keys, and what reaches the workbench."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QAbstractItemModel, QPoint, Qt
from PySide6.QtWidgets import QCheckBox, QMenu, QPushButton, QSplitter
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

import workbench.starter
from engines.protocol.client import RunnerError
from engines.protocol.messages import Device, Package, ProbeResult
from engines.protocol.places import Places
from widgets.components import ToolButton
from widgets.services import Services
from widgets.setup import make_page, planner
from widgets.setup.check_tree import CheckTree
from widgets.setup.page import SetupPage
from widgets.setup.panels import NARROW
from widgets.targets import AddModel, EditAsNew, NewExperiment, OpenExperimentFile, ShowTrial
from workbench.events import Event
from workbench.experiment import Experiment, TechniqueChoice, Workload, dump, load
from workbench.models import resolve
from workbench.plan import Plan, make_plan
from workbench.problems import Problem, ProblemsFound
from workbench.starter import StarterError
from workbench.store.operations import (
    ExperimentDetail,
    ExperimentRow,
    GetExperiment,
    GetTrial,
    ListTrials,
    Operation,
    StoreError,
    TrialRow,
)

GIB = 2**30
QWEN, SMOL, LLAMA = "random:qwen2.5-0.5b-instruct", "random:smollm2-135m-instruct", "random:llama-3.1-8b-instruct"
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


class FakeWorkbench:
    """Plans for real on a machine of 16 GiB, keeps what was run, answers from memory."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.runs: list[Plan] = []
        self.planned: list[Experiment] = []
        self.threads: set[str] = set()
        self.plan_error: Exception | None = None
        self.run_error: Exception | None = None
        self.gate: threading.Event | None = None
        self.definition = ""

    def listen(self, _listener: Callable[[Event], None]) -> Callable[[], None]:
        return lambda: None

    def probe(self, *, refresh: bool = False) -> ProbeResult:
        device = Device(
            id="cpu",
            title="Test processor",
            memory_total_bytes=16 * GIB,
            memory_free_bytes=12 * GIB,
            details={"cores": "4", "threads_default": "3"},
        )
        packages = tuple(Package(name=n, version="1") for n in ("torch", "transformers", "torchao"))
        return ProbeResult(machine="host", devices=(device,), sensors=(), packages=packages, facts={})

    def plan(self, experiment: Experiment, base: Path | None = None) -> Plan:
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            assert self.gate.wait(60)
        if self.plan_error is not None:
            raise self.plan_error
        self.planned.append(experiment)
        models = {ref: resolve(ref, self.places, base or Path.cwd()) for ref in experiment.models}
        return make_plan(experiment, models, self.probe())

    def run(self, plan: Plan) -> str:
        self.threads.add(threading.current_thread().name)
        if self.run_error is not None:
            raise self.run_error
        self.runs.append(plan)
        return "e-1"

    def submit_operation(self, operation: Operation[object]) -> Future[object]:
        future: Future[object] = Future()
        if isinstance(operation, ListTrials):
            future.set_result((trial_row("t-2", 1), trial_row("t-1", 0)))
        elif isinstance(operation, GetTrial) and operation.trial == "t-1":
            future.set_result(trial_row("t-1", 0))
        elif isinstance(operation, GetExperiment):
            future.set_result(self._detail())
        else:
            future.set_exception(StoreError("There is no such trial."))
        return future

    def _detail(self) -> ExperimentDetail:
        row = ExperimentRow(
            experiment="e-1",
            number=1,
            name="stored",
            created_at="",
            baseline=None,
            trials=1,
            waiting=0,
            completed=1,
            failed=0,
            definition=self.definition,
        )
        return ExperimentDetail(experiment=row, configurations=(), trials=(), metrics=(), reasons=(), environments={})


def trial_row(trial: str, position: int) -> TrialRow:
    return TrialRow(
        trial=trial,
        number=118,
        experiment="e-1",
        experiment_name="stored",
        configuration="c",
        title="t",
        color=0,
        block=0,
        position=position,
        machine="this",
        device="cpu",
        state="waiting",
        outcome=None,
        failure=None,
        message=None,
        advice=None,
        verdict=None,
        last_seq=0,
        submitted_at="",
        started_at=None,
        ended_at=None,
        duration_s=None,
    )


@pytest.fixture
def fake(services: Services, home: Places, monkeypatch: pytest.MonkeyPatch) -> FakeWorkbench:
    monkeypatch.setattr(planner, "DELAY_MS", 5)
    monkeypatch.setenv("HF_HOME", str(home.cache / "hf"))
    monkeypatch.setenv("HOME", str(home.cache / "user"))
    made = FakeWorkbench(home)
    services.bridge.attach(made)  # type: ignore[arg-type]
    return made


@pytest.fixture
def page(qtbot: QtBot, services: Services, fake: FakeWorkbench) -> Iterator[SetupPage]:
    made = open_page(qtbot, services)
    yield made
    made.shutdown()


def open_page(qtbot: QtBot, services: Services) -> SetupPage:
    made = make_page(services)
    assert isinstance(made, SetupPage)
    qtbot.addWidget(made)
    made.resize(1368, 800)
    made.show()
    services.actions.set_page("setup")
    made.activated()
    qtbot.waitUntil(lambda: made.planned is not None and made.shelf.library.scanned)
    return made


def settle(qtbot: QtBot, page: SetupPage) -> None:
    """Until the plan is of what stands in the form."""
    qtbot.waitUntil(lambda: page.planner.is_current and page._is_planned)


def click_row(qtbot: QtBot, tree: CheckTree, key: str, x: int = 20) -> None:
    """Click a row of a tree where its tick is."""
    index = tree.model_.index_of(key)
    assert index.isValid(), key
    tree.scrollTo(index)
    rect = tree.visualRect(index)
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(rect.left() + x, rect.center().y()))


def type_into(qtbot: QtBot, page: SetupPage, key: str, text: str) -> None:
    field = page.workload.fields[key].line
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, text)


# --- the way from nothing to the queue ----------------------------------------------------------------


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
    quick = next(b for b in page.workload.repetitions.findChildren(ToolButton) if b.text() == "Quick 3")
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
    assert plan.experiment.workload.prompt_tokens == (64, 128)
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
    assert fake.runs[0].experiment.workload.new_tokens == (16,)


def test_that_typing_fast_plans_only_the_newest(qtbot: QtBot, page: SetupPage, fake: FakeWorkbench) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    before = len(fake.planned)
    type_into(qtbot, page, "prompt_tokens", "12345")
    settle(qtbot, page)
    assert fake.planned[-1].workload.prompt_tokens == (12345,)
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


# --- fields -------------------------------------------------------------------------------------------


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
    assert "is one of auto, float32, bfloat16, float16" in field.message.text()
    assert "Compute" in page.run_reason


def test_that_undo_brings_back_what_was_typed_over(qtbot: QtBot, page: SetupPage) -> None:
    type_into(qtbot, page, "batch_size", "2, 4")
    assert page.draft.experiment.workload.batch_size == (2, 4)
    assert page.undo_text() == "changing the workload"
    assert page.undo()
    assert page.workload.fields["batch_size"].line.text() == "1"
    assert page.undo_text() == ""


# --- the plan -----------------------------------------------------------------------------------------


def test_that_a_fix_is_one_click_in_the_row(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    table = page.plan.table
    (row,) = table.model_.rows
    assert row.state == "cannot"
    assert [f.label for f in row.fixes][-1] == "Leave out"
    rect = table.visualRect(table.model_.index(0, table.model_.column_of("problems")))
    button = next(b for b in table.delegate_.buttons(rect, row) if b.text == "Use int8")
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=button.rect.center())
    settle(qtbot, page)
    assert [c.id for c in page.draft.experiment.techniques] == ["precision.int8"]
    assert table.model_.rows[0].state == "runs"


def test_that_alt_enter_offers_the_fixes_as_a_menu(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    table = page.plan.table
    table.setCurrentIndex(table.model_.index(0, 0))
    page.services.actions.invoke("setup.fixes")
    menu = table.findChild(QMenu)
    assert menu is not None
    assert [a.text() for a in menu.actions()][-1] == "Leave out"
    menu.actions()[0].trigger()
    menu.close()
    assert page.draft.experiment.techniques


def test_that_a_row_is_left_out_and_taken_in_by_keyboard(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "1, 2")
    settle(qtbot, page)
    table = page.plan.table
    table.setCurrentIndex(table.model_.index(0, 0))
    chosen = table.current_row
    assert chosen is not None
    qtbot.keyClick(table, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert [r.state for r in table.model_.rows] == ["left_out", "runs"]
    assert page.run_bar.left_out.text() == "1 of 2 configurations left out"
    assert table.current_row is not None
    assert table.current_row.hash == chosen.hash
    qtbot.keyClick(table, Qt.Key.Key_Space)
    settle(qtbot, page)
    assert page.draft.experiment.run.skip == ()


def test_that_a_time_that_grows_while_one_types_is_never_cut(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    settle(qtbot, page)
    table = page.plan.table
    column = table.model_.column_of("time")
    before = table.header().sectionSize(column)
    (row,) = table.model_.rows
    longer = replace(row, cells=row.cells | {"time": "about 1 h 17 min, first 2 h 43 min 30 s"})
    table.show_rows(table.model_.columns, (longer,))
    grown = table.header().sectionSize(column)
    assert grown > before
    assert grown >= table.fontMetrics().horizontalAdvance(longer.cells["time"])
    table.show_rows(table.model_.columns, (row,))
    assert table.header().sectionSize(column) == grown, "columns keep still"


def test_that_the_workload_is_never_narrower_than_its_fields_and_units(qtbot: QtBot, page: SetupPage) -> None:
    page.resize(1440, 760)
    pair = page.panels.pair
    split = pair.findChild(QSplitter, "pair")
    assert split is not None
    qtbot.waitUntil(lambda: not pair.narrow)
    split.setSizes([40, 400])
    field = page.workload.fields["prompt_tokens"]
    right = field.mapTo(page.workload, field.rect().topRight()).x()
    assert right < page.workload.width()


def test_that_the_filter_shows_what_cannot_run(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    click_row(qtbot, page.models.tree, LLAMA)
    settle(qtbot, page)
    assert [b.text() for b in page.plan.filter.findChildren(ToolButton)][:2] == ["All 2", "Cannot run 1"]
    page.plan.filter.choose(1)
    assert [r.state for r in page.plan.table.model_.rows] == ["cannot"]


def test_that_a_header_click_sorts(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "4, 1, 2")
    settle(qtbot, page)
    model = page.plan.table.model_
    column = model.column_of("batch")
    model.sort(column, Qt.SortOrder.AscendingOrder)
    assert [r.cells["batch"] for r in model.rows] == ["1", "2", "4"]
    model.sort(column, Qt.SortOrder.DescendingOrder)
    assert [r.cells["batch"] for r in model.rows] == ["4", "2", "1"]


def test_that_the_item_models_hold_to_the_rules(qtbot: QtBot, page: SetupPage, qtmodeltester: ModelTester) -> None:
    checked: list[QAbstractItemModel] = [
        page.models.tree.model_,
        page.techniques.tree.model_,
        page.plan.table.model_,
    ]
    for model in checked:
        qtmodeltester.check(model)
    click_row(qtbot, page.models.tree, SMOL)
    type_into(qtbot, page, "batch_size", "1, 2")
    settle(qtbot, page)
    page.plan.table.model_.sort(1, Qt.SortOrder.DescendingOrder)
    page.models.search.setText("qwen")
    page.models.search.clear()
    for model in checked:
        qtmodeltester.check(model)


# --- models -------------------------------------------------------------------------------------------


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

    monkeypatch.setattr(workbench.starter, "ensure_starter", ensure)
    assert not asked
    tree = page.models.tree
    index = tree.model_.index_of("smollm2-135m-instruct")
    row = tree.model_.row(index)
    assert row is not None
    rect = tree._delegate.button_rect(tree.visualRect(index), row)
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    qtbot.waitUntil(lambda: "Fetching 23 of 93 MB" in tree.model_.row(tree.model_.index_of(row.key)).text)  # type: ignore[union-attr]
    assert page.shelf.fetching.fraction == 0.25
    go_on.set()
    qtbot.waitUntil(lambda: page.draft.experiment.models == ("smollm2-135m-instruct",))
    qtbot.waitUntil(lambda: page.shelf.library.starter_here)


def test_that_a_failed_fetch_says_so_and_can_be_tried_again(
    qtbot: QtBot, page: SetupPage, monkeypatch: pytest.MonkeyPatch, services: Services
) -> None:
    def ensure(places: Places, report: object) -> Path:
        raise StarterError("There is no network.", "Nothing was left half done; try again.")

    monkeypatch.setattr(workbench.starter, "ensure_starter", ensure)
    qtbot.mouseClick(page.plan.empty.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    row = page.models.tree.model_.row(page.models.tree.model_.index_of("smollm2-135m-instruct"))
    assert row is not None
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


# --- files, targets, session --------------------------------------------------------------------------


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
    assert load(path)[0] == Experiment(name="mine", models=(SMOL,), workload=Workload(new_tokens=(32,)))
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
    fake.definition = dump(Experiment(name="stored", models=(QWEN,), workload=Workload(batch_size=(3,))))
    page.show_target(EditAsNew("t-1"))
    qtbot.waitUntil(lambda: page.draft.experiment.name == "stored")
    assert page.tools.origin.text() == "Based on trial 118"
    assert page.draft.path is None
    page.show_target(EditAsNew("t-9"))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].message == "There is no such trial."


def test_that_starting_over_can_be_undone(qtbot: QtBot, page: SetupPage) -> None:
    click_row(qtbot, page.models.tree, SMOL)
    page.show_target(NewExperiment())
    assert page.draft.experiment == Experiment()
    page.undo()
    assert page.draft.experiment.models == (SMOL,)


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
    action = next(a for a in page.tools.presets.menu().actions() if a.text() == "batch size")
    action.trigger()
    settle(qtbot, page)
    assert page.workload.fields["batch_size"].line.text() == "1, 2, 4, 8"
    assert any("is not on this computer" in p.message for p in page.plan.problems.problems)
    fetch = [b for b in page.plan.problems.findChildren(QPushButton) if b.text() == "Fetch, 93 MB"]
    assert len(fetch) == 1


# --- layout -------------------------------------------------------------------------------------------


def test_that_a_narrow_window_puts_workload_and_machine_in_tabs(qtbot: QtBot, page: SetupPage) -> None:
    assert page.workload.isVisible()
    assert page.machine.isVisible()
    page.resize(NARROW - 72 - 1, 600)
    assert page.panels.pair.tabs.isVisible()
    assert not page.machine.isVisible()
    page.panels.pair.tabs.setCurrentIndex(1)
    assert page.machine.isVisible()
    assert page.machine.findChild(QCheckBox) is not None
    page.resize(1368, 800)
    assert page.workload.isVisible()
    assert page.machine.isVisible()


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


def write_model(folder: Path) -> None:
    """As much of a model folder as a look at it needs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
