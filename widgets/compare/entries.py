"""What Compare offers in menus and palette, as data: there from the start, before the page and its libraries are.

`page_actions` says what each does; until the page is made, the window announces them. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from widgets.actions import Action

AGAINST = (("memory", "Memory"), ("speed", "Speed"), ("energy", "Energy"))
"""What quality is set against with one click; see `workbench.trade_offs`."""


class Entry(NamedTuple):
    """How an action is named, where it stands and how it is found."""

    id: str
    text: str
    group: str
    shortcut: str = ""
    icon: str = ""
    words: str = ""


ENTRIES = (
    Entry("filter", "Filter the table", "find", shortcut="Ctrl+F", icon="filter"),
    Entry("by-trial", "A row for every trial", "rows", shortcut="Ctrl+T", icon="table"),
    Entry("differences", "Differences first", "rows", words="constant columns fold"),
    Entry("invalid", "Include invalid trials", "rows"),
    Entry("sort", "Sort by the current column", "rows", shortcut="Ctrl+Shift+O"),
    Entry("card", "Show how this number was made", "row", icon="info", words="number card"),
    Entry("open", "Open the trial in Monitor", "row", icon="pulse"),
    Entry("baseline", "Set as baseline", "row", icon="pin"),
    Entry("eye", "Hide from or show in the charts", "row", icon="eye"),
    Entry(
        "environments",
        "Compare environments",
        "row",
        shortcut="Ctrl+D",
        icon="server",
        words="diff versions governor threads facts machine",
    ),
    Entry("retry", "Retry failed trials of the selection", "again"),
    Entry("again", "Run the selected trials again", "again"),
    Entry("edit", "Edit as new experiment", "again", icon="edit", words="setup run again"),
    Entry(
        "recompute",
        "Recompute the figures",
        "again",
        icon="refresh",
        words="metrics again formulas settings estimates stop",
    ),
    Entry("wall-meter", "Import wall meter readings…", "again", words="csv power plug energy"),
    Entry("rename", "Rename the experiment", "experiment", icon="edit"),
    Entry("delete", "Delete the selected trials", "experiment", icon="trash"),
    Entry("export", "Export charts and table", "export", shortcut="Ctrl+E", icon="export"),
    Entry("copy-table", "Copy the table", "export", shortcut="Ctrl+Shift+C", icon="copy"),
    Entry("bundle", "Export the whole experiment (Parquet bundle)…", "export", words="records"),
    Entry(
        "texts",
        "Texts side by side",
        "view",
        shortcut="Ctrl+Shift+X",
        icon="file",
        words="written answers quality read prompts difference",
    ),
    *(
        Entry(f"quality-{id}", f"Chart quality against {title.lower()}", "view", words="trade-off pareto scatter")
        for id, title in AGAINST
    ),
)


def announced() -> tuple[Action, ...]:
    """The entries before the page was made: none can run, and each says why."""
    return tuple(as_action(entry, _nothing, enabled=_never, reason="show the Compare page first") for entry in ENTRIES)


def as_action(
    entry: Entry,
    handler: Callable[[], None],
    *,
    enabled: Callable[[], bool],
    reason: str,
    checked: Callable[[], bool] | None = None,
) -> Action:
    """An entry with what it does."""
    return Action(
        id=f"compare.{entry.id}",
        text=entry.text,
        handler=handler,
        menu="Compare",
        group=entry.group,
        page="compare",
        enabled=enabled,
        reason=reason,
        checked=checked,
        shortcut=entry.shortcut,
        icon=entry.icon,
        words=entry.words,
    )


def _nothing() -> None:
    """There is no page yet."""


def _never() -> bool:
    return False
