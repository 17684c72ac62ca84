"""Environments side by side on the Compare page: sections, search, copying, and the ways to open the sheet."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import SPEED, choose, index_of
from tests.workbench.synthetic_experiment import experiment_detail
from widgets.compare.environment.sections import MOVES, as_text, counts, sections, side_of_row, side_of_trials
from widgets.compare.environment.table import EnvironmentModel, EnvironmentTable
from widgets.compare.page import ComparePage
from widgets.compare.table.views import Loaded
from widgets.shell.services import Services
from workbench.machines.environment_diff import EnvironmentDiff, compare_environments
from workbench.store.operations import ExperimentDetail


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    """Two blocks; the governor changed before the last trial, and load moves with every one."""
    made = experiment_detail(blocks=2, fail=False, disturb=False)
    environments = {
        t.trial: {
            "package.torch": "2.13.0",
            "cpu.governor": "powersave" if t is made.trials[-1] else "performance",
            "load.average_1m": f"0.{t.number}",
            "cpu.flags": "avx " * 300 + ("avx512f" if t is made.trials[-1] else "fma"),
        }
        for t in made.trials
    }
    return msgspec.structs.replace(made, environments=environments)


@pytest.fixture
def diff(loaded: Loaded) -> EnvironmentDiff:
    first, last = loaded.detail.trials[0], loaded.detail.trials[-1]
    return compare_environments(*(side_of_trials(loaded, t.configuration, t.trial) for t in (first, last)))


def test_that_sections_show_what_differs_and_fold_the_rest(diff: EnvironmentDiff) -> None:
    made = sections(diff)
    assert [s.title for s in made if s.open] == ["What is run", "Machine"]
    assert [s.title for s in made if not s.open] == [MOVES, "The same for both"]
    assert {line.name for line in made[1].lines} == {"cpu.governor", "cpu.flags"}
    assert "3 differ, 1 move" in counts(diff)


def test_that_a_search_opens_what_it_finds_and_looks_into_values(diff: EnvironmentDiff) -> None:
    (found,) = sections(diff, "TORCH 2.13")
    assert (found.title, found.open) == ("The same for both", True)
    assert [line.name for line in found.lines] == ["package.torch"]
    assert [line.name for s in sections(diff, "powersave") for line in s.lines] == ["cpu.governor"]
    assert sections(diff, "no such fact") == ()


def test_that_one_trial_alone_shows_all_its_facts_open(loaded: Loaded) -> None:
    trial = loaded.detail.trials[0]
    alone = compare_environments(side_of_trials(loaded, trial.configuration, trial.trial))
    made = sections(alone)
    assert made
    assert all(s.open and s.grouped for s in made)
    assert counts(alone).endswith("facts")


def test_that_the_model_keeps_the_rules_of_item_models(qtmodeltester: ModelTester, diff: EnvironmentDiff) -> None:
    model = EnvironmentModel()
    model.show_diff(diff)
    assert model.rowCount() == 4
    assert model.columnCount() == 3
    qtmodeltester.check(model)
    model.show_diff(compare_environments())
    assert model.rowCount() == 0


def test_that_whole_values_are_copied_and_long_ones_are_in_the_tooltip(
    qtbot: QtBot, services: Services, diff: EnvironmentDiff
) -> None:
    table = EnvironmentTable(services.theme)
    qtbot.addWidget(table)
    table.show_diff(diff)
    machine = table.facts.index(1, 0)
    row = next(r for r in range(2) if table.facts.index(r, 0, machine).data() == "Instruction sets")
    value = table.facts.index(row, 1, machine)
    assert len(str(value.data(Qt.ItemDataRole.ToolTipRole))) > 1000
    table.selectionModel().select(
        value, QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
    )
    table.copy()
    copied = QGuiApplication.clipboard().text().splitlines()
    assert len(copied) == 2
    assert copied[1].startswith("cpu.flags\tMachine\tyes\t")
    assert len(copied[1]) > 2000
    assert as_text(diff).count("\n") == len(diff.lines) + 1


# --- on the page ----------------------------------------------------------------------------------


def select(shown: ComparePage, *keys: str) -> None:
    for place, key in enumerate(keys):
        flags = QItemSelectionModel.SelectionFlag
        how = (flags.Select if place else flags.ClearAndSelect) | flags.Rows
        shown.table.selectionModel().select(index_of(shown, key), how)


def trigger(services: Services) -> None:
    services.actions.update()
    services.actions.qaction("compare.environments").trigger()


def test_that_two_selected_trials_are_compared_and_escape_closes(
    qtbot: QtBot,
    page: ComparePage,
    services: Services,
) -> None:
    first, last = page.loaded.detail.trials[0], page.loaded.detail.trials[-1]
    select(page, first.trial, last.trial)
    trigger(services)
    sheet = page.environment
    assert sheet.isVisible()
    assert [side.partition(" ·")[0] for side in sheet.diff.sides] == [f"Trial {first.number}", f"Trial {last.number}"]
    sheet.search.setText("governor")
    assert sheet.table.facts.rowCount() == 1
    qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert sheet.search.text() == ""
    assert sheet.isVisible()
    qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert not sheet.isVisible()


def test_that_a_configuration_row_stands_for_its_trials(page: ComparePage, services: Services) -> None:
    select(page, "c-int8")
    trigger(services)
    (side,) = page.environment.diff.sides
    assert side.endswith("· 2 trials")
    assert page.loaded is not None
    view = next(r for r in page.table.view.rows if r.configuration == "c-int8")
    assert len(side_of_row(page.loaded, view).trials) == 2


def test_that_nothing_is_offered_without_a_selection(page: ComparePage, services: Services) -> None:
    page.table.selectionModel().clear()
    services.actions.update()
    assert not services.actions.qaction("compare.environments").isEnabled()
    page.environments.show_selected()
    assert not page.environment.isVisible()


def test_that_the_card_names_the_essentials_and_leads_to_the_sheet(
    qtbot: QtBot,
    page: ComparePage,
) -> None:
    page.card_place.open(choose(page, "c-int8", SPEED))
    assert ("Where", "torch 2.13.0", "") in page.card.card.fields
    page.card._environment.click()
    assert page.environment.isVisible()
    assert page.card.card is None, "the card makes room"


def test_that_trials_without_facts_are_said_to_have_none(page: ComparePage) -> None:
    assert page.loaded is not None
    page.environment.show_sides([side_of_trials(page.loaded, "no-such-configuration")])
    assert page.environment.empty.title.text() == "No facts are stored"


def test_that_a_changed_environment_is_a_note_under_the_table(page: ComparePage) -> None:
    note = page.loaded.comparison.footnotes[0]
    assert "did not share one environment" in note
    assert "Processor governor" in note
    assert note in page.notes._all.text()
