"""What the Compare page's entries in the registry of actions do, and when they can. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from widgets.actions import Action
from widgets.compare.entries import AGAINST, ENTRIES, Entry, as_action
from widgets.compare.environment_sections import MOST_SIDES

if TYPE_CHECKING:
    from widgets.compare.page import ComparePage


class _Needs(NamedTuple):
    """When an action can run, and what is said while it cannot."""

    can: Callable[[], bool]
    reason: str


class _Does(NamedTuple):
    """What an entry does on a page; `on` says whether a checkable one is checked."""

    needs: _Needs
    handler: Callable[[], None]
    on: Callable[[], bool] | None = None


def page_actions(page: ComparePage) -> tuple[Action, ...]:
    """The page's actions, one of each of `ENTRIES`; their handlers are methods of its parts."""
    does = _of_table(page) | _of_rows(page) | _of_experiment(page)
    return tuple(_action(entry, does[entry.id]) for entry in ENTRIES)


def _of_table(page: ComparePage) -> dict[str, _Does]:
    viewing = page.viewing
    loaded = _loaded(page)
    cell = _Needs(page.has_cell, "no row is selected")
    figure = _Needs(page.table.on_figure, "the current cell is no figure")
    return {
        "filter": _Does(loaded, page.focus_filter),
        "by-trial": _Does(loaded, page.toggle_by_trial, lambda: viewing.choice.by_trial),
        "differences": _Does(loaded, viewing.toggle_differences, lambda: viewing.choice.differences_first),
        "invalid": _Does(loaded, viewing.toggle_invalid, lambda: viewing.include_invalid),
        "sort": _Does(cell, page.sort_current),
        "card": _Does(figure, page.show_card),
    }


def _of_rows(page: ComparePage) -> dict[str, _Does]:
    deeds, selected = page.deeds, page.deeds.selected
    no_row = "no row is selected"
    rows = _Needs(lambda: bool(selected().rows), no_row)
    trials = _Needs(lambda: bool(selected().trials), no_row)
    sides = _Needs(lambda: 1 <= len(selected().rows) <= MOST_SIDES, "select one to four rows")
    configuration = _Needs(deeds.can_be_baseline, "select one configuration")
    failed = _Needs(lambda: bool(selected().failed), "no failed trial is selected")
    ended = _Needs(lambda: bool(selected().ended), "no ended trial is selected")
    one_ended = _Needs(lambda: len(selected().ended) == 1, "select one trial that has ended")
    return {
        "open": _Does(trials, deeds.open),
        "baseline": _Does(configuration, deeds.make_baseline),
        "eye": _Does(rows, page.toggle_eyes),
        "environments": _Does(sides, page.environments.show_selected),
        "retry": _Does(failed, deeds.retry_failed),
        "again": _Does(ended, deeds.run_again),
        "edit": _Does(trials, deeds.edit_as_new),
        "wall-meter": _Does(one_ended, deeds.import_meter),
        "delete": _Does(trials, deeds.delete),
    }


def _of_experiment(page: ComparePage) -> dict[str, _Does]:
    outgoing, loaded = page.outgoing, _loaded(page)

    def against(id: str, title: str) -> _Does:
        reason = f"this experiment has no figure of quality and {title.lower()}"
        return _Does(_Needs(partial(page.charts.can_trade_off, id), reason), partial(page.trade_off, id))

    return {
        "recompute": _Does(loaded, page.recompute),
        "rename": _Does(loaded, page.deeds.rename),
        "export": _Does(loaded, outgoing.export_everything),
        "bundle": _Does(loaded, outgoing.export_bundle),
        "texts": _Does(loaded, page.texts.toggle, lambda: page.texts.open),
        "copy-table": _Does(loaded, outgoing.copy_table),
        **{f"quality-{id}": against(id, title) for id, title in AGAINST},
    }


def _loaded(page: ComparePage) -> _Needs:
    return _Needs(lambda: page.loaded is not None, "no experiment is shown")


def _action(entry: Entry, does: _Does) -> Action:
    return as_action(entry, does.handler, enabled=does.needs.can, reason=does.needs.reason, checked=does.on)
