"""What the sheet of environments says: sides from selected rows, sections from a diff, text for the clipboard. Pure;
no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from widgets.compare.table.views import Loaded, RowView
from workbench.export.spreadsheet import tab_separated
from workbench.machines.environment_diff import NOT_RECORDED, EnvironmentDiff, Line, Side, side_of
from workbench.machines.environment_facts import GROUPS
from workbench.plan.labels import short_title
from workbench.units import counted

MOST_SIDES = 4
MOVES = "Different in every trial anyway"


@dataclass(frozen=True)
class Section:
    """A fold of the sheet. `grouped`: its title is the group of all its lines; others name it beside each line."""

    title: str
    lines: tuple[Line, ...]
    open: bool
    grouped: bool = True


def side_of_row(loaded: Loaded, row: RowView) -> Side:
    """A trial, or the trials of a configuration."""
    return side_of_trials(loaded, row.configuration, row.trial)


def side_of_trials(loaded: Loaded, configuration: str, trial: str = "") -> Side:
    """One trial, or without one all of a configuration's."""
    comparison = loaded.comparison
    found = next((r for r in comparison.rows if r.configuration == configuration), None)
    name = short_title(found.labels, comparison.varying, found.title) if found is not None else ""
    row = loaded.trial(trial) if trial else None
    if row is not None:
        return side_of(loaded.detail, [trial], f"Trial {row.number} · {name}")
    trials = [t.trial for t in loaded.trials_of(configuration)]
    return side_of(loaded.detail, trials, f"{name} · {counted(len(trials), 'trials')}")


def sections(diff: EnvironmentDiff, search: str = "") -> tuple[Section, ...]:
    """What differs by group, open; then folded what moves and what is the same. A search opens what it finds. Where
    nothing can differ (one trial), all facts stand open in their groups."""
    found = bool(search.strip())
    alone = not diff.differing and not diff.moving
    made = _by_group(diff.same if alone else diff.differing, search)
    if not alone:
        same = "The same for all" if len(diff.sides) != 2 else "The same for both"
        for title, lines in ((MOVES, diff.moving), (same, diff.same)):
            kept = _matching(lines, search)
            made += [Section(title, kept, open=found, grouped=False)] if kept else []
    return tuple(made)


def _by_group(lines: Sequence[Line], search: str) -> list[Section]:
    kept = _matching(lines, search)
    groups = ((group, tuple(line for line in kept if line.group == group)) for group in GROUPS)
    return [Section(group, inside, open=True) for group, inside in groups if inside]


def _matching(lines: Sequence[Line], search: str) -> tuple[Line, ...]:
    """Lines that hold every word, in their name, group or a value."""
    words = search.lower().split()

    def text(line: Line) -> str:
        return " ".join((line.title, line.name, line.group, *line.values, *(v for side in line.raw for v in side)))

    return tuple(line for line in lines if not words or all(w in text(line).lower() for w in words))


def counts(diff: EnvironmentDiff) -> str:
    """ "3 differ, 8 move with every trial, 96 are the same"."""
    if not diff.lines:
        return ""
    if not diff.differing and not diff.moving:
        return f"{len(diff.same)} facts" if len(diff.sides) == 1 else f"all {len(diff.same)} facts are the same"
    differ = f"{len(diff.differing)} differ" if len(diff.differing) != 1 else "1 differs"
    moving = f", {len(diff.moving)} move with every trial" if diff.moving else ""
    return f"{differ}{moving}, {len(diff.same)} the same"


def as_text(diff: EnvironmentDiff, lines: Sequence[Line] | None = None) -> str:
    """Tab-separated, whole values, under a head; all lines or the given ones."""
    rows = [("Fact", "Group", "Differs", *diff.sides)]
    for line in diff.lines if lines is None else lines:
        values = (" | ".join(side) or NOT_RECORDED for side in line.raw)
        rows.append((line.name, line.group, "yes" if line.differs else "no", *values))
    return tab_separated(rows)
