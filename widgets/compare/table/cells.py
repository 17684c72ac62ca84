"""One cell of the comparison in words: value, verdict, ratio, and why something is missing. Pure; no Qt."""

from __future__ import annotations

from collections.abc import Iterable

from widgets.compare.table.views import DASH, CellView, Column
from workbench.comparison.results import Cell, Comparison, Row
from workbench.comparison.trials import ConfigurationTrials, words
from workbench.export.tables import column_unit, with_error, with_mark
from workbench.metrics.registry import find
from workbench.statistics.outliers import MARK, describe
from workbench.store.operations import ReasonRow, TrialRow
from workbench.units import counted, format_range, practical_unit, ratio_parts, show

ARROWS = {"higher": "↑", "lower": "↓"}
_MOST_REASONS = 3
"""Reasons of warnings in a tooltip; trials have their own."""
MACHINE = "not available on this machine"


def metric_column(comparison: Comparison, metric: str) -> Column:
    """Title, unit with the direction that is better, and the definition as tooltip."""
    known = find(metric)
    unit = column_unit(comparison, metric)
    if not unit and known is not None:
        unit = known.shown_unit or known.unit
    title = known.title if known is not None else words(metric).capitalize()
    better = known.better if known is not None else "neither"
    plain = "" if unit == "ratio" else unit
    direction = f"{better.capitalize()} is better." if better in ARROWS else ""
    definition = f"{known.definition} {direction}".rstrip() if known is not None else ""
    return Column(
        key=f"metric:{metric}",
        kind="metric",
        title=title,
        detail=" ".join(part for part in (plain, ARROWS.get(better, "")) if part),
        metric=metric,
        unit=unit,
        better=better,
        definition=definition,
        tip=f"{title}. {definition}" if definition else title,
    )


def value_texts(values: Iterable[float | None], unit: str, shown: str) -> list[str]:
    """Values with three digits, four where different values would otherwise read the same; a dash for None."""
    listed = list(values)

    def texts(digits: int) -> list[str]:
        return [DASH if v is None else show(v, unit, shown, digits).text for v in listed]

    three = texts(3)
    different = len({v for v in listed if v is not None})
    return three if len({t for t in three if t != DASH}) >= different else texts(4)


def metric_cell(cell: Cell | None, column: Column, text: str, missing: str = "") -> CellView:
    """A configuration's cell. `missing` is the reason where the whole column has no value."""
    if cell is None or cell.value is None:
        reason = (cell.reason if cell is not None else "") or missing or MACHINE
        return CellView(
            text=DASH, missing=True, tip=reason, spoken=f"{column.title}: not available. {reason}", sort=None
        )
    unit = unit_word(column.unit)
    sort = (0, cell.value, "")
    text = with_mark(with_error(text, cell, column.unit), cell)
    if cell.word == "baseline":
        spoken = ", ".join(part for part in (f"{column.title}: {text}{unit}", "the baseline", cell.mark) if part)
        second = ", ".join(part for part in ("baseline", cell.mark) if part)
        tone = "mark" if cell.mark else "muted"
        return CellView(text=text, second=second, tone=tone, tip=_tip(cell, column), spoken=spoken, sort=sort)
    if cell.mark:  # its ratio says nothing
        spoken = f"{column.title}: {text}{unit}, {cell.mark}"
        return CellView(text=text, second=cell.mark, tone="mark", tip=_tip(cell, column), spoken=spoken, sort=sort)
    if cell.ratio is None:
        why = no_ratio(cell, column.metric)
        return CellView(
            text=text,
            second=why[0],
            tone="muted",
            tip=f"{why[1]} {_tip(cell, column)}".strip(),
            spoken=f"{column.title}: {text}{unit}. {why[1]}".strip(),
            sort=sort,
        )
    ends = (cell.ratio_interval.low, cell.ratio_interval.high) if cell.ratio_interval is not None else ()
    ratio, interval = ratio_parts(cell.ratio, *ends)
    tone = "" if cell.good is None else "good" if cell.good else "bad"
    said = f"{column.title}: {text}{unit}, {cell.word or 'no verdict'}, {ratio} of the baseline"
    return CellView(
        text=text,
        word=cell.word,
        second=ratio,
        rest=interval,
        tone=tone,
        tip=_tip(cell, column),
        spoken=f"{said}, 95 % interval {interval}" if interval else said,
        sort=sort,
    )


def no_ratio(cell: Cell, metric: str) -> tuple[str, str]:
    """Two words for the table and a sentence, where there is a value and no ratio."""
    known = find(metric)
    if known is not None and known.compared:
        return "to its original", "It is a ratio itself: to the original that its method names."
    if known is not None and known.same_scope:
        return "no ratio", "No ratio: the figures were taken over different data."
    if known is not None and known.by_device:
        return "no ratio", (
            "No ratio: the baseline has no value of this, or it ran on another kind of device, where this is another "
            "quantity."
        )
    if any(value <= 0 for _, value in cell.trial_values):
        return "no ratio", "No ratio: not all values are positive."
    return "no ratio", "No ratio: the baseline has no value of this, or none that can be compared with it."


def unit_word(unit: str) -> str:
    """ " tokens/s", or "" for a plain ratio."""
    return "" if unit in ("", "ratio") else f" {unit}"


def _tip(cell: Cell, column: Column) -> str:
    apart = f" {MARK}: {counted(len(cell.outliers), 'outlying trials')}." if cell.outliers else ""
    return f"{_made(cell, column)}{apart}"


def _made(cell: Cell, column: Column) -> str:
    if cell.error is not None:
        return f"± is the standard error over the questions: {cell.scope}. Enter or a click shows how it was made."
    count = counted(cell.n, "trials")
    if cell.interval is None:
        return f"{count}. Enter or a click shows how it was made."
    between = format_range(cell.interval.low, cell.interval.high, cell.unit, column.unit)
    return f"{count}, 95 % interval {between}{unit_word(column.unit)}. Enter or a click shows how it was made."


# --- trials ---------------------------------------------------------------------------------------


def trials_cell(row: Row, trials: Iterable[TrialRow], reasons: Iterable[ReasonRow] = ()) -> CellView:
    """How many trials count: "3", "2 of 3" with what became of the others, or with how many carry a warning."""
    listed = list(trials)
    running = sum(t.state == "running" for t in listed)
    waiting = sum(t.state not in ("ended", "running") for t in listed)
    open_ = [f"{n} {word}" for n, word in ((running, "running"), (waiting, "waiting")) if n]
    text = str(row.trials) if row.counted == row.trials else f"{row.counted} of {row.trials}"
    short = [trouble.short for trouble in row.failed]
    others = ", ".join((*map(str, row.failed), *open_))
    warned = {t.trial for t in listed if t.verdict == "warning"}
    said = [f"{len(warned)} warned"] if warned else []
    why = list(dict.fromkeys(r.message for r in reasons if r.trial in warned and r.severity != "invalid"))
    caution = (
        f"{counted(len(warned), 'trials')} with a warning: {' '.join(why[:_MOST_REASONS])}".rstrip(": ")
        if warned
        else ""
    )
    tip = f"{text} trials count. {others}".strip() if others else f"{text} trials, all of them count."
    spoken = "; ".join(part for part in (f"{text} trials{f': {others}' if others else ''}", caution) if part)
    return CellView(
        text=text,
        second=", ".join((*short, *open_) or said),
        tone="warn" if row.failed or (warned and not open_) else "muted",
        tip=f"{tip} {caution}".strip(),
        spoken=spoken,
        sort=(0, float(row.counted), ""),
    )


def trial_state(trial: TrialRow) -> tuple[str, str]:
    """What became of a trial in a word, and its tone."""
    if trial.state != "ended":
        return trial.state, "muted"
    if trial.outcome != "completed" and trial.verdict not in ("valid", "warning"):
        word = trial.outcome or "ended"
        return word, "error" if word in ("failed", "lost") else "warn"
    if trial.verdict == "invalid":
        return "invalid", "warn"
    if trial.verdict == "warning":
        return "warning", "warn"
    return (trial.verdict or "not judged yet"), "muted"


def trial_message(trial: TrialRow, reasons: Iterable[ReasonRow]) -> str:
    """Why a trial failed or does not count; "" for one that does."""
    if trial.state != "ended":
        return ""
    if trial.outcome in ("failed", "lost", "stopped") and trial.verdict not in ("valid", "warning"):
        said = " ".join(part for part in (trial.message, trial.advice) if part)
        what = words(trial.failure) if trial.failure else trial.outcome
        return said or f"The trial ended: {what}."
    if trial.verdict == "invalid":
        said = " ".join(r.message for r in reasons if r.trial == trial.trial and r.severity == "invalid")
        return said or "Its figures do not hold; no reason is stored."
    return ""


def cautions(trial: TrialRow, reasons: Iterable[ReasonRow]) -> str:
    return " ".join(r.message for r in reasons if r.trial == trial.trial and r.severity != "invalid")


def trial_cell(trial: TrialRow, kept: ConfigurationTrials, column: Column, of: Cell | None = None) -> CellView:
    """One figure of one trial, to four digits: trials of a configuration are close to one another. `of`: the
    configuration's cell, which says whether the trial is outlying."""
    row = kept.rows.get((trial.trial, column.metric))
    if row is None or row.value is None:
        reason = row.reason if row is not None and row.reason else _no_value(trial)
        return CellView(
            text=DASH, missing=True, tip=reason, spoken=f"{column.title}: not available. {reason}", sort=None
        )
    counts = trial in kept.counted
    text = show(row.value, row.unit, column.unit or practical_unit(row.value, row.unit), 4).text
    apart = next((describe(o) for o in (of.outliers if of is not None else ()) if o.trial == trial.trial), "")
    note = f"Outlying: {apart}" if apart else "" if counts else "Left out of the summary"
    return CellView(
        text=f"{text} {MARK}" if apart else text,
        tone="" if counts else "muted",
        tip=f"{note}. {row.method}" if note else row.method,
        spoken=f"{column.title}: {text}{unit_word(column.unit)}{f', {note.lower()}' if note else ''}",
        sort=(0, row.value, ""),
    )


def _no_value(trial: TrialRow) -> str:
    if trial.state != "ended":
        return f"This trial is {trial.state}."
    if trial.outcome != "completed":
        return trial.message or f"This trial was {trial.outcome}."
    return "Not computed by the version that stored this trial."
