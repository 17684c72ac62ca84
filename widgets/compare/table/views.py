"""What the comparison table shows, as values: columns, rows, cells. Pure; no Qt."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from workbench.comparison.results import Comparison
from workbench.comparison.trials import ConfigurationTrials
from workbench.store.operations import ExperimentDetail, TrialRow

DASH = "–"
SortKey = tuple[int, float, str]
"""Sorts numbers before texts."""


@dataclass(frozen=True)
class Loaded:
    """An experiment as it was read, with what was computed from it."""

    detail: ExperimentDetail
    comparison: Comparison
    include_invalid: bool
    kept: dict[str, ConfigurationTrials] = field(default_factory=dict, compare=False, repr=False)

    @property
    def unfinished(self) -> int:
        return sum(t.state != "ended" for t in self.detail.trials)

    def trial(self, id: str) -> TrialRow | None:
        return next((t for t in self.detail.trials if t.trial == id), None)

    def trials_of(self, configuration: str) -> tuple[TrialRow, ...]:
        """In the order they ran."""
        mine = [t for t in self.detail.trials if t.configuration == configuration]
        return tuple(sorted(mine, key=lambda t: (t.block, t.position, t.number)))


@dataclass(frozen=True)
class Choice:
    """How the user wants to see the table."""

    metrics: tuple[str, ...] = ()
    """Columns; () for the primary ones."""
    by_trial: bool = False
    differences_first: bool = True
    show_constant: bool = False
    text: str = ""
    """The filter."""
    sort: str = ""
    """Key of a column; "" is the plan's order."""
    descending: bool = False
    hidden: frozenset[str] = frozenset()
    """Configurations whose eye is closed."""

    def sorted_by(self, column: Column) -> Choice:
        """The next step of a click on a column's head: best (or first) on top, then turned around, then the plan's
        order again."""
        first_descending = column.better == "higher"
        if self.sort != column.key:
            return replace(self, sort=column.key, descending=first_descending)
        if self.descending == first_descending:
            return replace(self, descending=not first_descending)
        return replace(self, sort="", descending=False)


@dataclass(frozen=True)
class Column:
    key: str
    """ "label:precision", "trials", "metric:perplexity"."""
    kind: Literal["label", "trials", "metric"]
    title: str
    detail: str = ""
    """Second line of the head: unit and direction, or the second label."""
    names: tuple[str, ...] = ()
    """Labels of a label column, at most two."""
    metric: str = ""
    unit: str = ""
    """Shown unit of a metric."""
    better: str = ""
    definition: str = ""
    tip: str = ""


@dataclass(frozen=True)
class CellView:
    """Up to two lines: `word` and `text`, then `second` and `rest`. `word` and `second` are in `tone`."""

    text: str = ""
    word: str = ""
    second: str = ""
    rest: str = ""
    tone: str = ""
    """ "good", "bad", "warn", "mark", "error", "muted" or ""."""
    tip: str = ""
    spoken: str = ""
    """The whole cell in words, for a screen reader."""
    missing: bool = False
    sort: SortKey | None = None
    """None sorts last, whichever way."""


@dataclass(frozen=True)
class RowView:
    key: str
    """Configuration id, or trial id."""
    configuration: str
    color: int
    cells: tuple[CellView, ...]
    trial: str = ""
    """Trial id; "" for a configuration."""
    flat: bool = False
    """A trial in a row of its own, not under its configuration."""
    hidden: bool = False
    baseline: bool = False
    message: str = ""
    """Why the trial failed or does not count; painted across the row."""
    tone: str = ""
    """Of the message."""
    children: tuple[RowView, ...] = ()


@dataclass(frozen=True)
class TableView:
    columns: tuple[Column, ...] = ()
    rows: tuple[RowView, ...] = ()
    trials: int = 0
    """Trials behind the rows that are shown."""
    total: int = 0
    plain: tuple[str, ...] = ()
    """Words of the filter that are no regular expression."""

    def column(self, key: str) -> Column | None:
        return next((c for c in self.columns if c.key == key), None)
