"""Which experiment the Compare page reads and when, and what stays over a refresh."""

from __future__ import annotations

import msgspec
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import MEMORY, FakeWorkbench, choose, failed_trial, index_of
from widgets.compare import make_page
from widgets.compare.page import ComparePage
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment
from workbench.running.events import StoreChanged
from workbench.store.operations import ExperimentDetail


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


def test_that_including_invalid_trials_is_read_anew_and_counts_them(qtbot: QtBot, page: ComparePage) -> None:
    page.viewing.toggle_invalid()
    qtbot.waitUntil(lambda: page.loaded is not None and page.loaded.include_invalid)
    row = next(r for r in page.loaded.comparison.rows if r.configuration == "c-int8")
    assert row.counted == 3


def another(detail: ExperimentDetail, id: str, number: int) -> ExperimentDetail:
    row = msgspec.structs.replace(detail.experiment, experiment=id, number=number)
    return msgspec.structs.replace(detail, experiment=row)
