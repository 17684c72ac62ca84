"""The Compare page's entries in the registry of actions, as data. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from widgets.actions import Action
from widgets.compare.charts_area import AGAINST
from widgets.compare.environment_sections import MOST_SIDES

if TYPE_CHECKING:
    from widgets.compare.page import ComparePage


class _Needs(NamedTuple):
    """When an action can run, and what is said while it cannot."""

    can: Callable[[], bool]
    reason: str


def page_actions(page: ComparePage) -> tuple[Action, ...]:
    """The page's actions; their handlers are methods of its parts."""
    deeds, viewing, outgoing = page.deeds, page.viewing, page.outgoing
    selected = deeds.selected
    loaded = _Needs(lambda: page.loaded is not None, "no experiment is shown")
    no_row = "no row is selected"
    cell = _Needs(page.has_cell, no_row)
    figure = _Needs(page.table.on_figure, "the current cell is no figure")
    rows = _Needs(lambda: bool(selected().rows), no_row)
    trials = _Needs(lambda: bool(selected().trials), no_row)
    sides = _Needs(lambda: 1 <= len(selected().rows) <= MOST_SIDES, "select one to four rows")
    configuration = _Needs(deeds.can_be_baseline, "select one configuration")
    failed = _Needs(lambda: bool(selected().failed), "no failed trial is selected")
    ended = _Needs(lambda: bool(selected().ended), "no ended trial is selected")
    one_ended = _Needs(lambda: len(selected().ended) == 1, "select one trial that has ended")

    def trade_off(id: str, title: str) -> Action:
        needs = _Needs(
            partial(page.charts.can_trade_off, id), f"this experiment has no figure of quality and {title.lower()}"
        )
        text = f"Chart quality against {title.lower()}"
        words = "trade-off pareto scatter"
        return _make(f"quality-{id}", text, "view", needs, partial(page.trade_off, id), words=words)

    return (
        _make("filter", "Filter the table", "find", loaded, page.focus_filter, shortcut="Ctrl+F", icon="filter"),
        _make(
            "by-trial",
            "A row for every trial",
            "rows",
            loaded,
            page.toggle_by_trial,
            on=lambda: viewing.choice.by_trial,
            shortcut="Ctrl+T",
            icon="table",
        ),
        _make(
            "differences",
            "Differences first",
            "rows",
            loaded,
            viewing.toggle_differences,
            on=lambda: viewing.choice.differences_first,
            words="constant columns fold",
        ),
        _make(
            "invalid",
            "Include invalid trials",
            "rows",
            loaded,
            viewing.toggle_invalid,
            on=lambda: viewing.include_invalid,
        ),
        _make("sort", "Sort by the current column", "rows", cell, page.sort_current, shortcut="Ctrl+Shift+O"),
        _make(
            "card",
            "Show how this number was made",
            "row",
            figure,
            page.show_card,
            icon="info",
            words="number card",
        ),
        _make("open", "Open the trial in Monitor", "row", trials, deeds.open, icon="pulse"),
        _make("baseline", "Set as baseline", "row", configuration, deeds.make_baseline, icon="pin"),
        _make("eye", "Hide from or show in the charts", "row", rows, page.toggle_eyes, icon="eye"),
        _make(
            "environments",
            "Compare environments",
            "row",
            sides,
            page.environments.show_selected,
            shortcut="Ctrl+D",
            icon="server",
            words="diff versions governor threads facts machine",
        ),
        _make("retry", "Retry failed trials of the selection", "again", failed, deeds.retry_failed),
        _make("again", "Run the selected trials again", "again", ended, deeds.run_again),
        _make(
            "edit", "Edit as new experiment", "again", trials, deeds.edit_as_new, icon="edit", words="setup run again"
        ),
        _make(
            "recompute",
            "Recompute the figures",
            "again",
            loaded,
            page.recompute,
            icon="refresh",
            words="metrics again formulas settings estimates stop",
        ),
        _make(
            "wall-meter",
            "Import wall meter readings…",
            "again",
            one_ended,
            deeds.import_meter,
            words="csv power plug energy",
        ),
        _make("rename", "Rename the experiment", "experiment", loaded, deeds.rename, icon="edit"),
        _make("delete", "Delete the selected trials", "experiment", trials, deeds.delete, icon="trash"),
        _make(
            "export",
            "Export charts and table",
            "export",
            loaded,
            outgoing.export_everything,
            shortcut="Ctrl+E",
            icon="export",
        ),
        _make(
            "bundle",
            "Export the whole experiment (Parquet bundle)…",
            "export",
            loaded,
            outgoing.export_bundle,
            words="records",
        ),
        _make(
            "texts",
            "Texts side by side",
            "view",
            loaded,
            page.texts.toggle,
            on=lambda: page.texts.open,
            shortcut="Ctrl+Shift+X",
            icon="file",
            words="written answers quality read prompts difference",
        ),
        *(trade_off(id, title) for id, title in AGAINST),
        _make(
            "copy-table", "Copy the table", "export", loaded, outgoing.copy_table, shortcut="Ctrl+Shift+C", icon="copy"
        ),
    )


def _make(
    id: str,
    text: str,
    group: str,
    needs: _Needs,
    handler: Callable[[], None],
    *,
    on: Callable[[], bool] | None = None,
    shortcut: str = "",
    icon: str = "",
    words: str = "",
) -> Action:
    return Action(
        id=f"compare.{id}",
        text=text,
        handler=handler,
        menu="Compare",
        group=group,
        page="compare",
        enabled=needs.can,
        reason=needs.reason,
        checked=on,
        shortcut=shortcut,
        icon=icon,
        words=words,
    )
