"""The Compare page with real widgets: reading, table, card, charts, edits, exports, and what stays over a refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PySide6.QtCore import QModelIndex, QPoint, QRect, Qt
from PySide6.QtGui import QGuiApplication, QPainter
from PySide6.QtWidgets import QFileDialog
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from tests.workbench.synthetic_experiment import experiment_detail
from widgets.compare import make_page
from widgets.compare.build import build
from widgets.compare.delegate import CompareDelegate
from widgets.compare.loading import compared
from widgets.compare.model import CompareModel
from widgets.compare.page import ComparePage
from widgets.compare.views import Choice, Loaded, RowView, TableView
from widgets.services import Services
from widgets.targets import EditAsNew, ShowExperiment, ShowTrial
from workbench.events import StoreChanged
from workbench.store.operations import (
    ExperimentDetail,
    GetExperiment,
    ListExperiments,
    Rename,
    SetBaseline,
    StoreError,
)

SPEED, MEMORY = "decode_tokens_per_second", "memory_mean_bytes"


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    return experiment_detail(blocks=3)


@pytest.fixture(scope="module")
def loaded(detail: ExperimentDetail) -> Loaded:
    return compared(detail)


class FakeWorkbench:
    """Holds experiments; remembers what was asked of it."""

    def __init__(self, *details: ExperimentDetail) -> None:
        self.details = list(details)
        self.asked: list[object] = []
        self.reads = 0
        self._pool = ThreadPoolExecutor(1)

    def listen(self, listener: object) -> Callable[[], None]:
        return lambda: None

    def submit_operation(self, operation: object) -> Future[Any]:
        return self._pool.submit(self._execute, operation)

    def _execute(self, operation: object) -> object:
        if isinstance(operation, ListExperiments):
            return tuple(d.experiment for d in self.details)
        if isinstance(operation, GetExperiment):
            self.reads += 1
            for found in self.details:
                if found.experiment.experiment == operation.experiment:
                    return found
            raise StoreError("There is no such experiment.", code="not_found")
        self.asked.append(operation)
        if isinstance(operation, SetBaseline):
            self._change(0, baseline=operation.configuration)
        elif isinstance(operation, Rename):
            self._change(0, name=operation.name)
        return None

    def _change(self, place: int, **values: Any) -> None:
        old = self.details[place]
        self.details[place] = msgspec.structs.replace(old, experiment=msgspec.structs.replace(old.experiment, **values))

    def delete(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("delete", trials))
        return trials

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("retry", trials))
        return tuple(f"{t}-again" for t in trials)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def workbench(services: Services, detail: ExperimentDetail) -> Iterator[FakeWorkbench]:
    fake = FakeWorkbench(detail)
    services.bridge.attach(fake)  # type: ignore[arg-type]
    yield fake
    services.bridge.detach()
    fake.close()


@pytest.fixture
def page(qtbot: QtBot, services: Services, workbench: FakeWorkbench) -> Iterator[ComparePage]:
    made = make_page(services)
    assert isinstance(made, ComparePage)
    qtbot.addWidget(made)
    made.resize(1368, 780)
    with qtbot.waitExposed(made):
        made.show()
    services.actions.set_page("compare")
    made.activated()
    qtbot.waitUntil(lambda: made.loaded is not None)
    yield made
    made.deactivated()
    made.shutdown()


def index_of(page: ComparePage, key: str, metric: str = "") -> QModelIndex:
    place = next((i for i, c in enumerate(page.table.view.columns) if c.metric == metric), 0) if metric else 0
    return page.table.compare_model.find(key, place)


def choose(page: ComparePage, key: str, metric: str = "") -> QModelIndex:
    index = index_of(page, key, metric)
    page.table.setCurrentIndex(index)
    return index


def failed_trial(page: ComparePage) -> str:
    assert page.loaded is not None
    return next(t.trial for t in page.loaded.detail.trials if t.outcome == "failed")


# --- model ----------------------------------------------------------------------------------------


def test_that_the_model_keeps_the_rules_of_item_models(qtmodeltester: ModelTester, loaded: Loaded) -> None:
    model = CompareModel()
    model.show_view(build(loaded, Choice()))
    qtmodeltester.check(model)
    assert model.show_view(build(loaded, Choice(hidden=frozenset({"c-int8"})))), "same rows stay in place"
    assert not model.show_view(build(loaded, Choice(by_trial=True)))
    qtmodeltester.check(model)
    model.show_view(TableView())
    assert model.rowCount() == 0


def test_that_cells_speak_whole_sentences(loaded: Loaded) -> None:
    model = CompareModel()
    model.show_view(build(loaded, Choice(metrics=(SPEED,))))
    spoken = str(model.find("c-bfloat16", 2).data(Qt.ItemDataRole.AccessibleTextRole))
    assert "Decode throughput" in spoken
    assert "faster" in spoken
    assert "95 % interval" in spoken


# --- reading --------------------------------------------------------------------------------------


def test_that_the_newest_experiment_is_shown_first(page: ComparePage) -> None:
    assert page.experiment.loader.experiment == "e-fake"
    assert page.tools.count.text() == "12 trials"
    assert len(page.table.view.rows) == 4


def test_that_without_experiments_the_page_offers_one_action(
    qtbot: QtBot, services: Services, workbench: FakeWorkbench
) -> None:
    workbench.details = []
    made = make_page(services)
    assert isinstance(made, ComparePage)
    qtbot.addWidget(made)
    made.activated()
    qtbot.waitUntil(lambda: made.figures.empty.title.text() == "Nothing to compare yet")
    made.figures.empty.button.click()
    assert services.navigate.asked == [("setup", None)]  # type: ignore[attr-defined]
    made.deactivated()
    made.shutdown()


def test_that_only_changes_of_the_shown_experiment_are_read(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench
) -> None:
    reads = workbench.reads
    page.refresh(StoreChanged(experiments=("e-other",)))
    qtbot.wait(600)
    assert workbench.reads == reads
    for _ in range(20):
        page.refresh(StoreChanged(trials=(failed_trial(page),)))
    qtbot.waitUntil(lambda: workbench.reads > reads)
    qtbot.wait(600)
    assert workbench.reads == reads + 1, "a burst is one reading"


def test_that_a_deleted_experiment_gives_way_to_the_newest(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench, detail: ExperimentDetail
) -> None:
    other = msgspec.structs.replace(
        detail, experiment=msgspec.structs.replace(detail.experiment, experiment="e-next", number=13)
    )
    workbench.details = [other]
    page.experiment.loader.again()
    qtbot.waitUntil(lambda: page.loaded is not None and page.experiment.loader.experiment == "e-next")


def another(detail: ExperimentDetail, id: str, number: int) -> ExperimentDetail:
    row = msgspec.structs.replace(detail.experiment, experiment=id, number=number)
    return msgspec.structs.replace(detail, experiment=row)


def test_that_the_next_session_shows_the_same_experiment_unless_a_newer_one_has_come(
    qtbot: QtBot, page: ComparePage, services: Services, workbench: FakeWorkbench, detail: ExperimentDetail
) -> None:
    workbench.details.append(another(detail, "e-old", 3))
    page.experiment.loader.again()
    page.show_target(ShowExperiment("e-old"))
    qtbot.waitUntil(lambda: page.loaded is not None and page.loaded.detail.experiment.experiment == "e-old")
    page.save_layout(services.settings)
    page.deactivated()

    def opened() -> str:
        services.actions.remove([a.id for a in services.actions.all()])
        made = make_page(services)
        assert isinstance(made, ComparePage)
        qtbot.addWidget(made)
        made.restore_layout(services.settings)
        made.refresh(StoreChanged())
        made.activated()
        qtbot.waitUntil(lambda: made.loaded is not None)
        made.deactivated()
        made.shutdown()
        return made.experiment.loader.experiment

    assert opened() == "e-old"
    workbench.details.insert(0, another(detail, "e-new", 13))
    assert opened() == "e-new"
    workbench.details = workbench.details[1:2]  # what was shown is gone
    assert opened() == "e-fake"


def test_that_another_page_can_ask_for_an_experiment(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench, detail: ExperimentDetail
) -> None:
    older = msgspec.structs.replace(
        detail, experiment=msgspec.structs.replace(detail.experiment, experiment="e-old", number=3)
    )
    workbench.details.append(older)
    page.show_target(ShowExperiment("e-old"))
    qtbot.waitUntil(lambda: page.loaded is not None and page.loaded.detail.experiment.experiment == "e-old")
    page.activated()
    qtbot.wait(100)
    assert page.experiment.loader.experiment == "e-old", "what was chosen stays"


def test_that_selection_open_rows_and_scroll_stay_over_a_refresh(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench, detail: ExperimentDetail
) -> None:
    page.table.expand(index_of(page, "c-float16"))
    choose(page, "c-int8", MEMORY)
    gone = detail.trials[0].trial
    workbench.details[0] = msgspec.structs.replace(detail, trials=tuple(t for t in detail.trials if t.trial != gone))
    reads = workbench.reads
    page.refresh(StoreChanged(experiments=("e-fake",)))
    qtbot.waitUntil(lambda: workbench.reads > reads)
    qtbot.waitUntil(lambda: page.table.view.total == 11)
    assert page.table.open_rows() == ("c-float16",)
    assert [r.key for r in page.table.chosen()] == ["c-int8"]
    assert page.table.view.columns[page.table.currentIndex().column()].metric == MEMORY


# --- table ----------------------------------------------------------------------------------------


def test_that_a_click_on_a_head_sorts_and_chooses_the_bars(page: ComparePage) -> None:
    place = next(i for i, c in enumerate(page.table.view.columns) if c.metric == MEMORY)
    page.table.head.sectionClicked.emit(place)
    assert page.viewing.choice.sort == f"metric:{MEMORY}"
    assert page.charts.bars.view.chart is not None
    assert page.charts.bars.view.chart.id == f"bars:{MEMORY}"


def test_that_the_filter_follows_the_typing(qtbot: QtBot, page: ComparePage) -> None:
    qtbot.keyClicks(page.tools.filter, "precision:int")
    qtbot.waitUntil(lambda: page.tools.count.text() == "3 of 12 trials")
    qtbot.keyClick(page.tools.filter, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: page.tools.count.text() == "12 trials")


def test_that_the_eye_takes_a_row_out_of_the_charts(qtbot: QtBot, page: ComparePage) -> None:
    rect = page.table.visualRect(index_of(page, "c-int8"))
    at = page.table.compare_delegate.parts(rect)["eye"].center()
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert page.viewing.choice.hidden == {"c-int8"}
    for chart in page.charts.charts:
        assert "c-int8" not in [s.key for s in chart.series]
    assert len(page.table.view.rows) == 4


def test_that_the_keyboard_reaches_cells_rows_and_the_card(qtbot: QtBot, page: ComparePage) -> None:
    page.table.setFocus()
    choose(page, "c-bfloat16")
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert page.table.open_rows() == ("c-bfloat16",)
    qtbot.keyClick(page.table, Qt.Key.Key_Left)
    assert page.table.open_rows() == ()
    qtbot.keyClick(page.table, Qt.Key.Key_Right)
    qtbot.keyClick(page.table, Qt.Key.Key_Right)
    assert page.table.view.columns[page.table.currentIndex().column()].metric == SPEED
    qtbot.keyClick(page.table, Qt.Key.Key_Return)
    assert page.card.card is not None
    qtbot.keyClick(page.card, Qt.Key.Key_Escape)
    assert page.card.card is None
    assert not page.card.isVisible()


def test_that_including_invalid_trials_is_read_anew_and_counts_them(qtbot: QtBot, page: ComparePage) -> None:
    page.viewing.toggle_invalid()
    qtbot.waitUntil(lambda: page.loaded is not None and page.loaded.include_invalid)
    assert page.loaded is not None
    row = next(r for r in page.loaded.comparison.rows if r.configuration == "c-int8")
    assert row.counted == 3


def test_that_chosen_columns_are_remembered(qtbot: QtBot, page: ComparePage, services: Services) -> None:
    page.viewing.set_columns((MEMORY, "perplexity"))
    assert [c.metric for c in page.table.view.columns if c.metric] == [MEMORY, "perplexity"]
    services.actions.remove([a.id for a in services.actions.all()])
    second = make_page(services)
    assert isinstance(second, ComparePage)
    qtbot.addWidget(second)
    assert second.viewing.choice.metrics == (MEMORY, "perplexity")
    second.shutdown()


# --- card -----------------------------------------------------------------------------------------


def test_that_a_click_on_a_figure_opens_its_card_and_one_elsewhere_closes_it(qtbot: QtBot, page: ComparePage) -> None:
    index = index_of(page, "c-int8", SPEED)
    place = page.table.visualRect(index).center()
    qtbot.mouseClick(page.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert page.card.card is not None
    assert page.card.card.title == "int8"
    assert page.card.width() == 360
    assert page.rect().contains(page.card.geometry())
    qtbot.mouseClick(page.notes, Qt.MouseButton.LeftButton, pos=QPoint(4, 4))
    assert page.card.card is None


def test_that_a_pinned_card_stays_and_follows_its_figures(qtbot: QtBot, page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.card.pin.setChecked(True)
    qtbot.mouseClick(page.notes, Qt.MouseButton.LeftButton, pos=QPoint(4, 4))
    assert page.card.card is not None
    before = page.card.card
    page.viewing.toggle_invalid()
    qtbot.waitUntil(lambda: page.card.card is not None and page.card.card != before)


def test_that_the_card_goes_with_its_row(page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.viewing.set_text("float32")
    assert page.card.card is None


def test_that_the_card_copies_its_number_with_where_it_comes_from(page: ComparePage) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    page.card._copy()
    text = QGuiApplication.clipboard().text()
    assert "Decode throughput" in text
    assert "e-fake" in text
    assert "llm-workbench" in text


def test_that_the_card_opens_its_trials_in_monitor(page: ComparePage, services: Services) -> None:
    page.card_place.open(choose(page, "c-bfloat16", SPEED))
    page.card._open_trial()
    (name, target), *_ = services.navigate.asked  # type: ignore[attr-defined]
    assert name == "monitor"
    assert isinstance(target, ShowTrial)


# --- edits ----------------------------------------------------------------------------------------


def test_that_a_baseline_is_stored_judged_anew_and_taken_back(
    qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench
) -> None:
    choose(page, "c-int8")
    page.deeds.make_baseline()
    qtbot.waitUntil(lambda: page.table.view.rows[0].configuration == "c-int8")
    assert page.table.view.rows[0].baseline
    assert workbench.asked == [SetBaseline(experiment="e-fake", configuration="c-int8")]
    assert page.undo_text() == "the baseline"
    assert page.undo()
    qtbot.waitUntil(lambda: page.table.view.rows[0].configuration == "c-float32")
    assert page.undo_text() == ""


def test_that_deleting_asks_once_in_place(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    trial = failed_trial(page)
    page.table.expand(index_of(page, "c-float16"))
    choose(page, trial)
    qtbot.keyClick(page.table, Qt.Key.Key_Delete)
    assert page.ask.isVisible()
    assert "for good" in page.ask.text.text()
    page.ask.refuse.click()
    assert workbench.asked == []
    page.deeds.delete()
    page.ask.agree.click()
    qtbot.waitUntil(lambda: ("delete", (trial,)) in workbench.asked)
    assert not page.ask.isVisible()


def test_that_failed_trials_are_tried_again(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    choose(page, "c-float16")
    page.deeds.retry_failed()
    qtbot.waitUntil(lambda: ("retry", (failed_trial(page),)) in workbench.asked)


def test_that_an_experiment_is_renamed_in_place(qtbot: QtBot, page: ComparePage, workbench: FakeWorkbench) -> None:
    page.deeds.rename()
    page.ask.field.setText("another name")
    qtbot.keyClick(page.ask.field, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: Rename(experiment="e-fake", name="another name") in workbench.asked)
    qtbot.waitUntil(lambda: page.tools.experiments.rows[0].name == "another name")


def test_that_edit_as_new_goes_to_setup(page: ComparePage, services: Services) -> None:
    choose(page, "c-int8")
    page.deeds.edit_as_new()
    (name, target), *_ = services.navigate.asked  # type: ignore[attr-defined]
    assert name == "setup"
    assert isinstance(target, EditAsNew)


def test_that_the_menu_offers_only_what_can_be_done(page: ComparePage) -> None:
    choose(page, "c-float32")
    menu = page.deeds.menu(
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
    assert len(page.deeds.selected().ended) == 1
    assert services.actions.is_enabled("compare.wall-meter")
    exports = " | ".join(a.text() for a in page.tools.export.menu().actions())
    assert "Whole experiment (Parquet bundle)" in exports


def test_that_the_whole_experiment_goes_to_the_folder_that_is_named(
    page: ComparePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(page.outgoing.bundles, "export", lambda *given: asked.append(given))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(tmp_path / "mine"), ""))
    page.tools.bundle_asked.emit()
    assert asked == [("e-fake", tmp_path / "mine")]


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


def test_that_actions_say_why_they_are_disabled(page: ComparePage, services: Services) -> None:
    page.table.selectionModel().clear()
    services.actions.update()
    assert not services.actions.is_enabled("compare.delete")
    assert "no row is selected" in services.actions.qaction("compare.delete").toolTip()
    choose(page, "c-float16")
    assert services.actions.is_enabled("compare.delete")
    assert services.actions.is_enabled("compare.retry")


# --- charts and exports ---------------------------------------------------------------------------


def test_that_charts_say_what_they_show(page: ComparePage) -> None:
    for panel in (page.charts.scatter, page.charts.bars):
        assert panel.accessibleDescription()
        assert panel.view.marks is not None


def test_that_the_axes_of_the_trade_off_are_chosen(page: ComparePage) -> None:
    page.charts._choose_up(MEMORY)
    chart = page.charts.scatter.view.chart
    assert chart is not None
    assert chart.id == f"scatter:{SPEED}:{MEMORY}"


def test_that_a_narrow_window_shows_the_charts_behind_tabs(qtbot: QtBot, page: ComparePage) -> None:
    page.resize(1048, 560)
    qtbot.waitUntil(lambda: page.charts.narrow)
    assert page.charts.scatter.isVisible()
    assert not page.charts.bars.isVisible()
    page.charts.tabs.setCurrentIndex(1)
    assert page.charts.bars.isVisible()
    page.resize(1368, 780)
    qtbot.waitUntil(lambda: page.charts.scatter.isVisible() and page.charts.bars.isVisible())


def test_that_an_export_writes_into_the_chosen_folder_and_says_where(
    qtbot: QtBot, page: ComparePage, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    page.outgoing.export(("svg", "csv"))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    toast = services.toasts.history[-1]
    assert toast.severity == "good"
    assert toast.advice == str(tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir() if p.suffix in (".svg", ".csv"))
    assert "precision-of-smollm2.csv" in names
    assert "precision-of-smollm2-trade-off.svg" in names
    assert "precision-of-smollm2-decode-throughput.svg" in names


def test_that_an_export_that_cannot_be_written_says_what_is_safe(
    qtbot: QtBot, page: ComparePage, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(blocked))
    page.outgoing.export(("csv",))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].severity == "error"
    assert "not touched" in services.toasts.history[-1].advice


def test_that_one_chart_is_exported_in_the_format_asked_for(
    qtbot: QtBot, page: ComparePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    page.charts.bars._export_as("pdf")
    qtbot.waitUntil((tmp_path / "mine.pdf").exists)


def test_that_the_chart_is_copied_as_image_and_as_values(page: ComparePage) -> None:
    page.charts.bars.copy_values()
    assert "int8" in QGuiApplication.clipboard().text()
    page.charts.bars.copy_image()
    assert not QGuiApplication.clipboard().pixmap().isNull()


def test_that_of_a_thousand_trials_one_screenful_is_painted(
    page: ComparePage, detail: ExperimentDetail, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = build(compared(detail), Choice())
    rows = tuple(copy_of(r, i) for i in range(25) for r in view.rows)
    big = TableView(view.columns, rows, 300, 300)
    page.table.show_view(big, "", False)
    page.table.expandAll()
    painted: list[tuple[str, int]] = []
    ground = CompareDelegate._ground  # of every cell; Qt keeps to the `paint` that it has seen

    def counted(self: CompareDelegate, painter: QPainter, option: object, row: RowView, rect: QRect) -> None:
        painted.append((row.key, rect.x()))
        ground(self, painter, option, row, rect)

    monkeypatch.setattr(CompareDelegate, "_ground", counted)
    page.table.grab()
    assert len(rows) + sum(len(r.children) for r in rows) > 300
    screenful = (
        page.table.viewport().height() // page.services.theme.px(18) + 2
    ) * page.table.compare_model.columnCount()
    assert painted
    assert len(painted) <= screenful
    assert len(painted) == len(set(painted)), "every cell once"


def copy_of(row: RowView, i: int) -> RowView:
    """The same row under another key."""
    children = tuple(replace(c, key=f"{c.key}-{i}", trial=f"{c.trial}-{i}") for c in row.children)
    return replace(row, key=f"{row.key}-{i}", baseline=False, children=children)
