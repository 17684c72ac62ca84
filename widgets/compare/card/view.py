"""What the card of a number says: the value, how it was made, and what may be concluded. Pure; no Qt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from widgets.compare.card.fields import apart, beside, cautions, how, left_out, made_of, sentence, unseen, where
from widgets.compare.table import cells
from widgets.compare.table.views import Column, Loaded
from workbench.comparison.results import Cell, Comparison, Row
from workbench.export.provenance import of_comparison
from workbench.export.tables import with_error
from workbench.metrics.registry import find
from workbench.metrics.tasks import NEAR
from workbench.plan.labels import short_title
from workbench.statistics.intervals import Interval
from workbench.units import format_ratio, scale, show, significant


@dataclass(frozen=True)
class Strip:
    """Trial values on a line, in the shown unit."""

    values: tuple[float, ...] = ()
    left_out: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    baseline: float | None = None
    baseline_text: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """What the line spans: values and baseline with some air; an interval far beyond them is cut."""
        points = [*self.values, *self.left_out, *([self.baseline] if self.baseline is not None else [])]
        low, high = min(points, default=0.0), max(points, default=1.0)
        span = (high - low) or abs(high) * 0.1 or 1.0
        if self.interval is not None:
            low, high = max(min(low, self.interval[0]), low - span), min(max(high, self.interval[1]), high + span)
        air = (high - low) * 0.06 or span
        return low - air if low - air > 0 or low <= 0 else 0.0, high + air


@dataclass(frozen=True)
class Card:
    title: str
    color: int
    metric: str
    configuration: str
    trial: str
    """The trial to open; of a configuration the newest."""
    value: str
    unit: str
    of_trial: bool = False
    """Whether the figure is one trial's."""
    chip: str = ""
    status: str = "neutral"
    """ "good", "bad", "warn", "error" or "neutral"."""
    strip: Strip | None = None
    fields: tuple[tuple[str, str, str], ...] = ()
    """(label, text, tone)."""
    offers_blocks: bool = False
    """Whether more blocks are offered: a trial lies apart."""
    provenance: str = ""
    """The whole card as text for the clipboard."""


def configuration_card(loaded: Loaded, configuration: str, column: Column) -> Card | None:
    """The card of a configuration's figure; None where the configuration is gone."""
    comparison = loaded.comparison
    row = next((r for r in comparison.rows if r.configuration == configuration), None)
    if row is None:
        return None
    missing = comparison.unavailable.get(column.metric, "")
    cell = row.cells.get(column.metric) or Cell(column.metric, None, reason=missing)
    known = find(column.metric)
    name = _name(comparison, row)
    trials = loaded.trials_of(configuration)
    open_ = next((t.trial for t in reversed(trials) if t.state == "ended"), trials[-1].trial if trials else "")
    shown = cells.metric_cell(cell, column, _value(cell, column), missing)
    fields = [("Definition", column.definition or column.title, "")]
    fields += how(cell, column, known) if cell.value is not None else [("Missing", shown.tip, "warn")]
    window = cell.scope or (known.window if known is not None else "")
    fields += [("Window", sentence(window), "")] if window else []
    fields += beside(known, lambda id: row.cells[id].value if id in row.cells else None)
    fields += apart(loaded, cell)
    fields += left_out(loaded, row)
    fields += cautions(loaded, row)
    fields += where(loaded, (t.trial for t in loaded.kept[configuration].counted))
    if cell.value is not None:
        tone = "" if cell.good is None else "good" if cell.good else "bad"
        fields.append(("Verdict", verdict(cell, column, comparison), tone))
    card = Card(
        title=name,
        color=row.color,
        metric=column.title,
        configuration=configuration,
        trial=open_,
        value="not available" if cell.value is None else with_error(_value(cell, column), cell, column.unit),
        unit="" if cell.value is None else cells.unit_word(column.unit).strip(),
        chip=_chip(cell),
        status="warn" if cell.mark else "neutral" if cell.good is None else "good" if cell.good else "bad",
        strip=_strip(loaded, row, cell, column) if cell.value is not None else None,
        fields=tuple(fields),
        offers_blocks=bool(cell.outliers),
    )
    return _with_provenance(card, comparison)


def trial_card(loaded: Loaded, trial: str, column: Column) -> Card | None:
    """The card of one trial's figure."""
    comparison, found = loaded.comparison, loaded.trial(trial)
    row = next((r for r in comparison.rows if found is not None and r.configuration == found.configuration), None)
    if found is None or row is None:
        return None
    kept, known = loaded.kept[row.configuration], find(column.metric)
    stored = kept.rows.get((trial, column.metric))
    of = row.cells.get(column.metric)
    shown = cells.trial_cell(found, kept, column, of)
    word, tone = cells.trial_state(found)
    counts = found in kept.counted
    fields = [("Definition", column.definition or column.title, "")]
    if stored is not None and stored.value is not None:
        fields.append(("Method", sentence(stored.method), ""))
        if stored.n is not None:
            fields.append(("Made of", made_of(stored.n, known), ""))
        window = stored.scope or (known.window if known is not None else "")
        fields += [("Window", sentence(window), "")] if window else []
    else:
        fields.append(("Missing", shown.tip, "warn"))
    values = {id: stored.value for (of, id), stored in kept.rows.items() if of == trial}
    fields += beside(known, values.get)
    fields.append(("Trial", f"Number {found.number}, block {found.block + 1}, seed {found.seed}", ""))
    lies_apart = apart(loaded, of, trial) if of is not None else []
    fields += lies_apart
    fields += where(loaded, (trial,))
    message = cells.trial_message(found, loaded.detail.reasons) or cells.cautions(found, loaded.detail.reasons)
    if counts:
        fields.append(("Verdict", f"Counts in the summary. {message}".strip(), "warn" if message else ""))
    else:
        fields.append(("Verdict", f"Left out of the summary: {word}. {message}".strip(), tone))
    value = "not available" if shown.missing else shown.text
    card = Card(
        title=f"Trial {found.number} · {_name(comparison, row)}",
        color=row.color,
        metric=column.title,
        configuration=row.configuration,
        trial=trial,
        of_trial=True,
        value=value,
        unit="" if shown.missing else cells.unit_word(column.unit).strip(),
        chip=word,
        status={"warn": "warn", "error": "error"}.get(tone, "neutral"),
        fields=tuple(fields),
        offers_blocks=bool(lies_apart),
    )
    return _with_provenance(card, comparison)


def verdict(cell: Cell, column: Column, comparison: Comparison) -> str:
    """The verdict in a sentence."""
    pinned = next((r for r in comparison.rows if r.is_baseline), None)
    against = f"the baseline {_name(comparison, pinned)}" if pinned is not None else "the baseline"
    if cell.mark == NEAR:
        return "Not better than chance; no ratio is shown."
    if cell.word == "baseline":
        return "This is the baseline: the others are compared with it."
    if cell.ratio is None:
        return cells.no_ratio(cell, column.metric)[1]
    ends = (cell.ratio_interval.low, cell.ratio_interval.high) if cell.ratio_interval is not None else ()
    ratio = format_ratio(cell.ratio, *ends)
    if not cell.word:
        why = "One block carries" if cell.blocks < 2 else "The error over the text is not known; the ratio has"
        return f"{ratio} of {against}. {why} no interval, so there is no verdict."
    if cell.word == "the same":
        return f"The same as {against}: the figure is deterministic."
    if cell.word == "no difference shown":
        return f"No difference from {against} is shown: {ratio} includes 1. {unseen(cell)}"
    if cell.word.startswith("equivalent"):
        return f"{cell.word[:1].upper()}{cell.word[1:]} to {against}: {ratio}."
    return f"{cell.word[:1].upper()}{cell.word[1:]} than {against}: {ratio}."


def _name(comparison: Comparison, row: Row) -> str:
    return short_title(row.labels, comparison.varying, row.title)


def _value(cell: Cell, column: Column) -> str:
    return "" if cell.value is None else show(cell.value, cell.unit, column.unit, 4 if cell.error is None else 3).text


def _chip(cell: Cell) -> str:
    """ "faster: 1.19× [1.15, 1.23]", without the interval where it is long."""
    if cell.mark:
        return ", ".join(part for part in ("baseline" if cell.word == "baseline" else "", cell.mark) if part)
    if cell.ratio is None or cell.word == "baseline":
        return cell.word
    ends = (cell.ratio_interval.low, cell.ratio_interval.high) if cell.ratio_interval is not None else ()
    before = f"{cell.word}: " if cell.word else ""
    whole = f"{before}{format_ratio(cell.ratio, *ends)}"
    return whole if len(whole) <= 28 else f"{before}{format_ratio(cell.ratio)}"


def _strip(loaded: Loaded, row: Row, cell: Cell, column: Column) -> Strip:
    factor = scale(cell.unit, column.unit)
    kept = loaded.kept[row.configuration]
    left_out = tuple(v / factor for _, _, v in kept.values(column.metric, kept.excluded()))
    pinned = next((r.cells.get(column.metric) for r in loaded.comparison.rows if r.is_baseline), None)
    comparable = cell.ratio is not None and not row.is_baseline and pinned is not None and pinned.value is not None
    baseline = pinned.value / factor if comparable and pinned is not None and pinned.value is not None else None
    return Strip(
        values=tuple(v / factor for _, v in cell.trial_values),
        left_out=left_out,
        interval=_ends(cell.interval, factor),
        baseline=baseline,
        baseline_text="" if baseline is None else f"baseline {significant(baseline, 3)}",
    )


def _ends(interval: Interval | None, factor: float) -> tuple[float, float] | None:
    return None if interval is None else (interval.low / factor, interval.high / factor)


def _with_provenance(card: Card, comparison: Comparison) -> Card:
    origin = of_comparison(comparison)
    value = f"{card.metric}: {card.value} {card.unit}".strip()
    lines = [card.title, f"{value} ({card.chip})" if card.chip else value]
    lines += [f"{label}: {text}" for label, text, _ in card.fields]
    lines += [origin.text, f"Copied {origin.made}"]
    return replace(card, provenance="\n".join(lines) + "\n")
