"""What the Compare page's entries in the registry of actions do, and when they can. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from widgets.compare.entries import AGAINST, ENTRIES
from widgets.compare.environment.sections import MOST_SIDES
from widgets.compare.page import ComparePage
from widgets.shell.actions import Action
from widgets.shell.entries import Does, fulfilled


class _Needs(NamedTuple):
    """When an action can run, and what is said while it cannot."""

    can: Callable[[], bool]
    reason: str


def page_actions(page: ComparePage) -> tuple[Action, ...]:
    """The page's actions, one of each of `ENTRIES`; their handlers are methods of its parts."""
    does = _of_table(page) | _of_rows(page) | _of_experiment(page)
    return fulfilled(ENTRIES, {f"compare.{id}": made for id, made in does.items()})


def _of_table(page: ComparePage) -> dict[str, Does]:
    viewing = page.viewing
    loaded = _loaded(page)
    cell = _Needs(page.has_cell, "no row is selected")
    figure = _Needs(page.table.on_figure, "the current cell is no figure")
    return {
        "filter": Does(page.focus_filter, *loaded),
        "by-trial": Does(page.toggle_by_trial, *loaded, lambda: viewing.choice.by_trial),
        "differences": Does(viewing.toggle_differences, *loaded, lambda: viewing.choice.differences_first),
        "invalid": Does(viewing.toggle_invalid, *loaded, lambda: viewing.include_invalid),
        "sort": Does(page.sort_current, *cell),
        "card": Does(page.show_card, *figure),
    }


def _of_rows(page: ComparePage) -> dict[str, Does]:
    row_actions, selected = page.row_actions, page.row_actions.selected
    no_row = "no row is selected"
    rows = _Needs(lambda: bool(selected().rows), no_row)
    trials = _Needs(lambda: bool(selected().trials), no_row)
    sides = _Needs(lambda: 1 <= len(selected().rows) <= MOST_SIDES, "select one to four rows")
    configuration = _Needs(row_actions.can_be_baseline, "select one configuration")
    failed = _Needs(lambda: bool(selected().failed), "no failed trial is selected")
    resumable = _Needs(lambda: bool(selected().resumable), "no selected trial left a checkpoint to resume from")
    ended = _Needs(lambda: bool(selected().ended), "no ended trial is selected")
    one_ended = _Needs(lambda: len(selected().ended) == 1, "select one trial that has ended")
    return {
        "open": Does(row_actions.open, *trials),
        "baseline": Does(row_actions.make_baseline, *configuration),
        "eye": Does(page.toggle_eyes, *rows),
        "environments": Does(page.environments.show_selected, *sides),
        "retry": Does(row_actions.retry_failed, *failed),
        "resume": Does(row_actions.resume, *resumable),
        "again": Does(row_actions.run_again, *ended),
        "edit": Does(row_actions.edit_as_new, *trials),
        "wall-meter": Does(row_actions.import_meter, *one_ended),
        "delete": Does(row_actions.delete, *trials),
    }


def _of_experiment(page: ComparePage) -> dict[str, Does]:
    exporting, loaded = page.exporting, _loaded(page)

    def against(id: str, title: str) -> Does:
        reason = f"this experiment has no figure of quality and {title.lower()}"
        return Does(partial(page.trade_off, id), partial(page.charts.can_trade_off, id), reason)

    return {
        "more": Does(page.row_actions.more_blocks, *loaded),
        "recompute": Does(page.recompute, *loaded),
        "rename": Does(page.row_actions.rename, *loaded),
        "export": Does(exporting.export_everything, *loaded),
        "bundle": Does(exporting.export_bundle, *loaded),
        "texts": Does(page.texts.toggle, *loaded, lambda: page.texts.open),
        "copy-table": Does(exporting.copy_table, *loaded),
        **{f"quality-{id}": against(id, title) for id, title in AGAINST},
    }


def _loaded(page: ComparePage) -> _Needs:
    return _Needs(lambda: page.loaded is not None, "no experiment is shown")
