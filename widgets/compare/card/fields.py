"""The lines of a number's card: how it was made, what is left out, what to be wary of. Pure; no Qt."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from widgets.compare.table import cells
from widgets.compare.table.views import Column, Loaded
from workbench.comparison.results import Cell, Row
from workbench.comparison.trials import words
from workbench.machines.environment_notes import essentials
from workbench.metrics.model import Metric
from workbench.metrics.registry import find
from workbench.statistics.outliers import describe
from workbench.units import counted, format_value, range_ends, significant

Field = tuple[str, str, str]
"""Label, text, tone."""


def how(cell: Cell, column: Column, metric: Metric | None) -> list[Field]:
    """Method, n, interval and ratio."""
    summary = cell.summary
    if cell.interval is not None:
        ends = span(cell.interval.low, cell.interval.high, cell.unit, column.unit)
        said = f"95 %: {ends}{cells.unit_word(column.unit)}"
        interval = f"{said}; {summary}" if summary else said
    else:
        interval = f"None. {sentence(summary)}" if summary else "None: counted, not measured."
    method = "; ".join(part for part in (cell.made, cell.text) if part)
    fields = [("Method", sentence(method), ""), ("n", _count(cell, metric), ""), ("Interval", interval, "")]
    if cell.ratio_made:
        fields.append(("Ratio", f"From {cell.ratio_made}", ""))
    return fields


def _count(cell: Cell, metric: Metric | None) -> str:
    """What the figure and its ratio rest on."""
    if metric is not None and metric.compared:
        return f"{counted(cell.n, 'blocks')} of this configuration and its original"
    text = f"{counted(cell.n, 'trials')}, each in a fresh process"
    if cell.blocks and cell.word != "baseline" and cell.ratio is not None:
        text += f"; the ratio rests on {counted(cell.blocks, 'blocks')}"
    return text


def made_of(n: int, metric: Metric | None) -> str:
    """ "189 tokens": what one trial's figure was made of."""
    return counted(n, metric.counts if metric is not None else "readings")


def beside(metric: Metric | None, value_of: Callable[[str], float | None]) -> list[Field]:
    """The figures that this one is not to be read without, where they have a value."""
    named = []
    for id in metric.beside if metric is not None else ():
        value, known = value_of(id), find(id)
        if value is not None and known is not None:
            named.append(f"{known.title} {format_value(value, known.unit, known.shown_unit)}")
    return [("Beside it", "; ".join(named), "")] if named else []


def apart(loaded: Loaded, cell: Cell, trial: str = "") -> list[Field]:
    """The trials of a figure that lie apart (only `trial`, where given): they count, and more blocks help."""
    named = []
    for outlier in cell.outliers:
        found = loaded.trial(outlier.trial)
        if found is not None and trial in ("", outlier.trial):
            named.append(f"Trial {found.number} is {describe(outlier)}.")
    if not named:
        return []
    text = (
        f"{' '.join(named)} {'They count' if len(named) > 1 else 'It counts'}; more blocks show whether that is rare."
    )
    return [("Outlying", text, "warn")]


def left_out(loaded: Loaded, row: Row) -> list[Field]:
    """The trials of the configuration that do not count, and why."""
    named = []
    for trial in loaded.kept[row.configuration].excluded():
        word, _ = cells.trial_state(trial)
        codes = sorted(
            {words(r.code) for r in loaded.detail.reasons if r.trial == trial.trial and r.severity == "invalid"}
        )
        why = words(trial.failure) if trial.failure else ", ".join(codes)
        named.append(f"trial {trial.number} ({word}{f': {why}' if why else ''})")
    return [("Left out", sentence(", ".join(named)), "warn")] if named else []


def cautions(loaded: Loaded, row: Row) -> list[Field]:
    """What was wrong with trials that count all the same: each kind with how many, and one of them in words; or that
    nothing was."""
    numbers = {t.trial: t.number for t in loaded.kept[row.configuration].counted}
    found: dict[str, dict[str, str]] = {}
    for reason in loaded.detail.reasons:
        if reason.trial in numbers:
            found.setdefault(reason.code, {}).setdefault(reason.trial, reason.message)
    if numbers and not found:
        which = "The trial was" if len(numbers) == 1 else f"All {len(numbers)} trials were"
        return [("Checks", f"{which} found valid, without a caution.", "")]
    named = []
    for code, messages in found.items():
        trial, message = next(iter(messages.items()))
        of = f"{len(messages)} of {counted(len(numbers), 'trials')}"
        named.append(f"{sentence(words(code))} in {of}; trial {numbers[trial]}: {message}")
    return [("Cautions", " ".join(named), "warn")] if named else []


def where(loaded: Loaded, trials: Iterable[str]) -> list[Field]:
    """Where the trials ran, in a line."""
    said = essentials(loaded.detail.environments.get(t, {}) for t in trials)
    return [("Where", said, "")] if said else []


def unseen(cell: Cell) -> str:
    """How large a difference may be and still not show with these blocks."""
    if cell.ratio_interval is None:
        return 'That is not "the same".'
    half = 100 * (math.sqrt(cell.ratio_interval.high / cell.ratio_interval.low) - 1)
    return (
        f'That is not "the same": with {counted(cell.blocks, "blocks")} a difference under about '
        f"{significant(half, 2)} % does not show. More blocks narrow the interval."
    )


def span(low: float, high: float, unit: str = "", shown_unit: str = "") -> str:
    """ "324 to 350": both ends to the decimals that keep them apart."""
    return " to ".join(range_ends(low, high, unit, shown_unit))


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
