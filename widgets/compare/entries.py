"""What Compare offers in menus and palette; `page_actions` says what each does. Main thread."""

from __future__ import annotations

from widgets.shell.entries import Entry
from workbench.experiment import MORE_BLOCKS

AGAINST = (("memory", "Memory"), ("speed", "Speed"), ("energy", "Energy"), ("parameters", "Parameters"))
"""What quality is set against with one click; see `workbench.comparison.trade_offs`."""


def _entry(id: str, text: str, group: str, shortcut: str = "", icon: str = "", words: str = "") -> Entry:
    return Entry(f"compare.{id}", text, "Compare", group, shortcut, icon, words)


ENTRIES = (
    _entry("filter", "Filter the table", "find", shortcut="Ctrl+F", icon="filter"),
    _entry("by-trial", "A row for every trial", "rows", shortcut="Ctrl+T", icon="table"),
    _entry("differences", "Differences first", "rows", words="constant columns fold"),
    _entry("invalid", "Include invalid trials", "rows"),
    _entry("sort", "Sort by the current column", "rows", shortcut="Ctrl+Shift+O"),
    _entry("card", "Show how this number was made", "row", icon="info", words="number card"),
    _entry("open", "Open the trial in Monitor", "row", icon="pulse"),
    _entry("baseline", "Set as baseline", "row", icon="pin"),
    _entry("eye", "Hide from or show in the charts", "row", icon="eye"),
    _entry(
        "environments",
        "Compare environments",
        "row",
        shortcut="Ctrl+D",
        icon="server",
        words="diff versions governor threads facts machine",
    ),
    _entry("retry", "Retry failed trials of the selection", "again"),
    _entry("resume", "Resume the selected trials", "again", icon="play", words="continue checkpoint training stopped"),
    _entry("again", "Run the selected trials again", "again"),
    _entry("more", f"Run {MORE_BLOCKS} more blocks", "again", words="trials repeat narrower intervals outlying"),
    _entry("edit", "Edit as new experiment", "again", icon="edit", words="setup run again"),
    _entry(
        "recompute",
        "Recompute the figures",
        "again",
        icon="refresh",
        words="metrics again formulas settings estimates stop",
    ),
    _entry("wall-meter", "Import wall meter readings…", "again", words="csv power plug energy"),
    _entry("rename", "Rename the experiment", "experiment", icon="edit"),
    _entry("delete", "Delete the selected trials", "experiment", icon="trash"),
    _entry("export", "Export charts and table", "export", shortcut="Ctrl+E", icon="export"),
    _entry("copy-table", "Copy the table", "export", shortcut="Ctrl+Shift+C", icon="copy"),
    _entry("bundle", "Export the whole experiment (Parquet bundle)…", "export", words="records"),
    _entry(
        "texts",
        "Texts side by side",
        "view",
        shortcut="Ctrl+Shift+X",
        icon="file",
        words="written answers quality read prompts difference",
    ),
    *(
        _entry(f"quality-{id}", f"Chart quality against {title.lower()}", "view", words="trade-off pareto scatter")
        for id, title in AGAINST
    ),
)
