"""The Compare page's entries in the registry of actions, as data. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from widgets.actions import Action
from widgets.compare.charts_area import AGAINST


def compare_actions(
    do: Mapping[str, Callable[[], None]], can: Mapping[str, Callable[[], bool]], on: Mapping[str, Callable[[], bool]]
) -> tuple[Action, ...]:
    """`do` handles, `can` says what is possible now, `on` what is switched on; by the part of the id after the dot."""
    nothing = "no experiment is shown"
    rows = "no row is selected"

    def make(id: str, text: str, group: str, needs: str, reason: str, **more: str) -> Action:
        return Action(
            id=f"compare.{id}",
            text=text,
            handler=do[id],
            menu="Compare",
            group=group,
            page="compare",
            enabled=can[needs],
            reason=reason,
            checked=on.get(id),
            **more,
        )

    return (
        make("filter", "Filter the table", "find", "loaded", nothing, shortcut="Ctrl+F", icon="filter"),
        make("by-trial", "A row for every trial", "rows", "loaded", nothing, shortcut="Ctrl+T", icon="table"),
        make("differences", "Differences first", "rows", "loaded", nothing, words="constant columns fold"),
        make("invalid", "Include invalid trials", "rows", "loaded", nothing),
        make("sort", "Sort by the current column", "rows", "cell", rows, shortcut="Ctrl+Shift+O"),
        make(
            "card",
            "Show how this number was made",
            "row",
            "figure",
            "the current cell is no figure",
            icon="info",
            words="number card",
        ),
        make("open", "Open the trial in Monitor", "row", "trials", rows, icon="pulse"),
        make("baseline", "Set as baseline", "row", "configuration", "select one configuration", icon="pin"),
        make("eye", "Hide from or show in the charts", "row", "rows", rows, icon="eye"),
        make(
            "environments",
            "Compare environments",
            "row",
            "sides",
            "select one to four rows",
            shortcut="Ctrl+D",
            icon="server",
            words="diff versions governor threads facts machine",
        ),
        make("retry", "Retry failed trials of the selection", "again", "failed", "no failed trial is selected"),
        make("again", "Run the selected trials again", "again", "ended", "no ended trial is selected"),
        make("edit", "Edit as new experiment", "again", "trials", rows, icon="edit", words="setup run again"),
        make(
            "recompute",
            "Recompute the figures",
            "again",
            "loaded",
            nothing,
            icon="refresh",
            words="metrics again formulas settings estimates stop",
        ),
        make(
            "wall-meter",
            "Import wall meter readings…",
            "again",
            "one-ended",
            "select one trial that has ended",
            words="csv power plug energy",
        ),
        make("rename", "Rename the experiment", "experiment", "loaded", nothing, icon="edit"),
        make("delete", "Delete the selected trials", "experiment", "trials", rows, icon="trash"),
        make("export", "Export charts and table", "export", "loaded", nothing, shortcut="Ctrl+E", icon="export"),
        make("bundle", "Export the whole experiment (Parquet bundle)…", "export", "loaded", nothing, words="records"),
        make(
            "texts",
            "Texts side by side",
            "view",
            "loaded",
            nothing,
            shortcut="Ctrl+Shift+X",
            icon="file",
            words="written answers quality read prompts difference",
        ),
        *(
            make(
                f"quality-{id}",
                f"Chart quality against {title.lower()}",
                "view",
                f"quality-{id}",
                f"this experiment has no figure of quality and {title.lower()}",
                words="trade-off pareto scatter",
            )
            for id, title in AGAINST
        ),
        make("copy-table", "Copy the table", "export", "loaded", nothing, shortcut="Ctrl+Shift+C", icon="copy"),
    )
