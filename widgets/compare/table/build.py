"""From a loaded experiment and the user's choice to the table's rows: labels, filter, order. Pure; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from widgets.compare import matching
from widgets.compare.table import cells
from widgets.compare.table.views import CellView, Choice, Column, Loaded, RowView, SortKey, TableView
from workbench.comparison.results import Comparison, Row
from workbench.comparison.trials import ConfigurationTrials
from workbench.export.tables import default_metrics
from workbench.store.operations import TrialRow
from workbench.units import counted

_TRIALS = Column("trials", "trials", "Trials", tip="Trials whose figures count")
_TRIAL = Column("trials", "trials", "Trial", "outcome", tip="Number of the trial and what became of it")


def build(loaded: Loaded, choice: Choice) -> TableView:
    """The table as the user wants it."""
    comparison = loaded.comparison
    names = label_names(comparison)
    chosen = shown_metrics(comparison, choice.metrics)
    columns = (
        *label_columns(comparison, choice),
        _TRIAL if choice.by_trial else _TRIALS,
        *(cells.metric_column(comparison, m) for m in chosen),
    )
    wanted = matching.parse(choice.text, frozenset(names) | _EXTRA)
    make = _Maker(loaded, choice, columns, wanted)
    rows = make.trials() if choice.by_trial else make.configurations()
    shown = len(rows) if choice.by_trial else sum(len(r.children) for r in rows)
    ordered = _ordered(rows, columns, choice)
    return TableView(columns, ordered, shown, len(loaded.detail.trials), wanted.plain)


_EXTRA = frozenset({"trial", "block", "outcome", "verdict", "failure", "title"})
"""What the filter knows besides labels."""


def shown_metrics(comparison: Comparison, chosen: Sequence[str]) -> tuple[str, ...]:
    """Those of the chosen metrics that the experiment knows of, or the primary ones with values."""
    known = {*comparison.metrics, *comparison.unavailable}
    return tuple(m for m in chosen if m in known) or default_metrics(comparison)


def label_names(comparison: Comparison) -> tuple[str, ...]:
    """All labels in their natural order."""
    names: list[str] = []
    for row in comparison.rows:
        names += [n for n in row.labels if n not in names]
    return tuple(names)


def folded(comparison: Comparison, choice: Choice) -> tuple[str, ...]:
    """Labels that have no column now because they are the same in every row."""
    if not choice.differences_first or choice.show_constant:
        return ()
    shown = {n for c in label_columns(comparison, choice) for n in c.names}
    return tuple(n for n in label_names(comparison) if n in comparison.constant and n not in shown)


def label_columns(comparison: Comparison, choice: Choice) -> tuple[Column, ...]:
    """The model in a column of its own, the other labels two to a column; what differs first."""
    names = label_names(comparison)
    if choice.differences_first:
        first = [n for n in names if n in comparison.varying] or list(names[:1])
        rest = [n for n in names if n not in first] if choice.show_constant else []
        groups = (first, rest)
    else:
        groups = (list(names), [])
    columns: list[Column] = []
    for group in groups:
        alone = [n for n in group if n == "model"]
        others = [n for n in group if n != "model"]
        columns += [_label_column((n,)) for n in alone]
        columns += [_label_column(tuple(others[i : i + 2])) for i in range(0, len(others), 2)]
    return tuple(columns) or (_label_column(("configuration",)),)


def _label_column(names: tuple[str, ...]) -> Column:
    title = names[0][:1].upper() + names[0][1:]
    return Column(f"label:{names[0]}", "label", title, names[1] if len(names) > 1 else "", names=names)


class _Maker:
    """Makes rows; holds what all of them need."""

    def __init__(self, loaded: Loaded, choice: Choice, columns: tuple[Column, ...], wanted: matching.Filter) -> None:
        self._loaded = loaded
        self._choice = choice
        self._columns = columns
        self._wanted = wanted
        self._reasons = loaded.detail.reasons
        comparison = loaded.comparison
        self._texts = {
            c.metric: dict(
                zip(
                    (r.configuration for r in comparison.rows),
                    cells.value_texts(
                        (r.cells[c.metric].value if c.metric in r.cells else None for r in comparison.rows),
                        next((r.cells[c.metric].unit for r in comparison.rows if c.metric in r.cells), ""),
                        c.unit,
                    ),
                    strict=True,
                )
            )
            for c in columns
            if c.kind == "metric"
        }

    def configurations(self) -> tuple[RowView, ...]:
        return tuple(made for row in self._loaded.comparison.rows if (made := self._configuration(row)) is not None)

    def trials(self) -> tuple[RowView, ...]:
        found = []
        for row in self._loaded.comparison.rows:
            for trial in self._loaded.trials_of(row.configuration):
                if self._wanted.matches(self._known(row, trial)):
                    found.append(self._trial(row, trial, flat=True))
        return tuple(found)

    def _configuration(self, row: Row) -> RowView | None:
        trials = self._loaded.trials_of(row.configuration)
        if not self._wanted.matches(self._known(row)):
            trials = tuple(t for t in trials if self._wanted.matches(self._known(row, t)))
            if not trials:
                return None
        missing = self._loaded.comparison.unavailable

        def cell(column: Column) -> CellView:
            if column.kind == "label":
                return self._labels(row, column)
            if column.kind == "trials":
                return cells.trials_cell(row, self._loaded.trials_of(row.configuration), self._reasons)
            text = self._texts[column.metric][row.configuration]
            return cells.metric_cell(row.cells.get(column.metric), column, text, missing.get(column.metric, ""))

        return RowView(
            key=row.configuration,
            configuration=row.configuration,
            color=row.color,
            cells=tuple(cell(c) for c in self._columns),
            hidden=row.configuration in self._choice.hidden,
            baseline=row.is_baseline,
            children=tuple(self._trial(row, t, flat=False) for t in trials),
        )

    def _trial(self, row: Row, trial: TrialRow, *, flat: bool) -> RowView:
        kept: ConfigurationTrials = self._loaded.kept[row.configuration]
        word, tone = cells.trial_state(trial)
        message = cells.trial_message(trial, self._reasons)
        tip = message or cells.cautions(trial, self._reasons) or f"Trial {trial.number}: {word}"

        def cell(place: int, column: Column) -> CellView:
            if column.kind == "label":
                if flat:
                    return self._labels(row, column)
                text = f"Trial {trial.number} · block {trial.block + 1}" if place == 0 else ""
                return CellView(text=text, tip=tip, spoken=text, tone="muted", sort=(0, float(trial.number), ""))
            if column.kind == "trials":
                spoken = f"Trial {trial.number}, block {trial.block + 1}: {word}. {message}".strip()
                sort = (0, float(trial.number), "")
                if flat:
                    return CellView(text=str(trial.number), second=word, tone=tone, tip=tip, spoken=spoken, sort=sort)
                return CellView(text=word, tone=tone, tip=tip, spoken=spoken, sort=sort)
            return cells.trial_cell(trial, kept, column, row.cells.get(column.metric))

        return RowView(
            key=trial.trial,
            configuration=row.configuration,
            color=row.color,
            cells=tuple(cell(i, c) for i, c in enumerate(self._columns)),
            trial=trial.trial,
            flat=flat,
            hidden=row.configuration in self._choice.hidden,
            message=message,
            tone=tone,
        )

    def _labels(self, row: Row, column: Column) -> CellView:
        texts = [row.labels.get(n, "") or ("" if n != "configuration" else row.title) for n in column.names]
        spoken = ", ".join(f"{n} {t}" for n, t in zip(column.names, texts, strict=True) if t)
        second = texts[1] if len(texts) > 1 else ""
        return CellView(text=texts[0], rest=second, tip=row.title, spoken=spoken, sort=natural(" ".join(texts)))

    def _known(self, row: Row, trial: TrialRow | None = None) -> Mapping[str, str]:
        found = {**row.labels, "title": row.title}
        if trial is not None:
            found |= {
                "trial": str(trial.number),
                "block": str(trial.block + 1),
                "outcome": trial.outcome or trial.state,
                "verdict": trial.verdict or "",
                "failure": (trial.failure or "").replace("_", " "),
            }
        return found


def natural(text: str) -> SortKey:
    """Numbers by their size, "1,024" too; anything else as text after them."""
    first = text.split(" ")[0].replace(",", "")
    try:
        return 0, float(first), text
    except ValueError:
        return 1, 0.0, text.lower()


def _ordered(rows: Sequence[RowView], columns: Sequence[Column], choice: Choice) -> tuple[RowView, ...]:
    """By the chosen column, missing values last, the pinned baseline first in any order."""
    place = next((i for i, c in enumerate(columns) if c.key == choice.sort), None)
    pinned = [r for r in rows if r.baseline]
    others = [r for r in rows if not r.baseline]
    if place is None:
        return (*pinned, *others)

    def key(at: int) -> Callable[[RowView], SortKey]:
        def of(row: RowView) -> SortKey:
            found = row.cells[at].sort
            return found if found is not None else (9, 0.0, "")

        return of

    def sort(listed: Sequence[RowView]) -> list[RowView]:
        valued = [r for r in listed if r.cells[place].sort is not None]
        without = [r for r in listed if r.cells[place].sort is None]
        return sorted(valued, key=key(place), reverse=choice.descending) + without

    return tuple(replace(r, children=tuple(sort(r.children))) for r in (*pinned, *sort(others)))


def count_text(loaded: Loaded, view: TableView, filter_text: str) -> str:
    """ "9 trials", "4 of 9 trials" under a filter, "6 of 9 trials so far" while some have not ended."""
    total, unfinished, trials = view.total, loaded.unfinished, counted(view.total, "trials")
    if filter_text.strip():
        return f"{view.trials} of {trials}"
    if unfinished:
        return f"{total - unfinished} of {trials} so far"
    return trials
