"""Cautions that stand under a whole comparison. Pure; no Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from workbench.comparison.comparability import comparability_notes
from workbench.comparison.results import Cell, Row
from workbench.comparison.trials import ConfigurationTrials, words
from workbench.experiment import MORE_BLOCKS
from workbench.machines.environment_notes import environment_notes
from workbench.metrics.registry import find
from workbench.metrics.tasks import TOLD_FROM_CHANCE
from workbench.plan import labels as naming
from workbench.statistics.outliers import MARK, describe
from workbench.store.operations import ExperimentDetail, ReasonRow, TrialRow
from workbench.units import counted

_MOST_TOLD = 3
"""Outlying trials that a note describes; the others are counted."""


def footnotes(
    detail: ExperimentDetail, rows: Sequence[Row], kept: Mapping[str, ConfigurationTrials], *, kept_invalid: bool
) -> tuple[str, ...]:
    """Cautions for the whole table."""
    notes = [*_warned(detail), *environment_notes(detail)]
    blocks = max((cell.blocks for row in rows for cell in row.cells.values()), default=0)
    if len(rows) > 1 and blocks == 1:
        notes.append("One block: no intervals and no verdicts. Three blocks are the least that carry them.")
    elif len(rows) > 1 and blocks > 1:
        notes.append(
            "Intervals are 95 %. Ratios compare trials of the same block; their intervals hold for all configurations "
            "of a column together."
        )
    notes += naming.origins(detail.configurations)
    notes += comparability_notes(detail)
    invalid = [t for t in detail.trials if t.verdict == "invalid" and t.outcome == "completed"]
    if invalid:
        which = ", ".join(f"{t.number} ({_why(t, detail.reasons)})" for t in invalid)
        what = "counted because you asked for it" if kept_invalid else "left out of the summaries"
        notes.append(f"Invalid, {what}: trial {which}.")
    notes += _outlying(detail, rows)
    notes += _different_tokens(rows, kept)
    notes += _other_formulas(rows)
    notes += _without_rule(rows, kept)
    if detail.experiment.note:
        notes.append(detail.experiment.note)
    near = [row.title for row in rows if _near_chance(row.cells.get("accuracy_above_chance_errors"))]
    if near:
        notes.append(f"Accuracy not better than chance: {', '.join(near)}.")
    unfinished = sum(t.state != "ended" for t in detail.trials)
    if unfinished:
        notes.append(f"{unfinished} of {len(detail.trials)} trials have not ended: the figures will move.")
    return tuple(notes)


def _warned(detail: ExperimentDetail) -> list[str]:
    """How many trials carry a warning, and of what kinds."""
    warned = {t.trial for t in detail.trials if t.verdict == "warning"}
    if not warned:
        return []
    kinds = Counter(code for _, code in {(r.trial, r.code) for r in detail.reasons if r.trial in warned})
    named = ", ".join(f"{words(code)} ({count})" for code, count in sorted(kinds.items()))
    verb = "carries" if len(warned) == 1 else "carry"
    told = f"{len(warned)} of {len(detail.trials)} trials {verb} a warning"
    return [f"{told}: {named}." if named else f"{told}."]


def _outlying(detail: ExperimentDetail, rows: Sequence[Row]) -> list[str]:
    """What the mark beside figures means: which trials lie apart and in what, and that more blocks help."""
    numbers = {t.trial: t.number for t in detail.trials}
    told: dict[int, str] = {}
    for row in rows:
        apart: dict[str, list[str]] = {}
        for id, cell in row.cells.items():  # the figures that tables show come first
            known = find(id)
            for outlier in cell.outliers:
                title = known.title.lower() if known is not None else id
                apart.setdefault(outlier.trial, []).append(f"{title} {describe(outlier)}")
        for trial, (first, *others) in apart.items():
            more = f", and {counted(len(others), 'more figures')}" if others else ""
            told[numbers[trial]] = f"trial {numbers[trial]} ({row.title}): {first}{more}"
    if not told:
        return []
    listed = [told[number] for number in sorted(told)]
    rest = [counted(len(listed) - _MOST_TOLD, "more trials")] if len(listed) > _MOST_TOLD else []
    return [
        f"{MARK} Outlying trials, which count: {'; '.join(listed[:_MOST_TOLD] + rest)}. `llm-workbench more "
        f"{detail.experiment.number}` runs {MORE_BLOCKS} more blocks, which show whether such trials are rare."
    ]


def _different_tokens(rows: Sequence[Row], kept: Mapping[str, ConfigurationTrials]) -> list[str]:
    """What holds of quality where not all rows were asked the same tokens."""
    cells = [row.cells["perplexity"] for row in rows if "perplexity" in row.cells]
    scopes = {cell.scope for cell in cells if cell.value is not None}
    if len(scopes) < 2:
        return []
    note = "Perplexities over different tokens are shown without a ratio; compare bits per byte."
    read = (kept[row.configuration].evaluation for row in rows)
    lengths = sorted({evaluation.text_bytes for evaluation in read if evaluation is not None})
    if len(lengths) > 1:
        note += (
            f" These are over stretches of {lengths[0]:,} to {lengths[-1]:,} bytes: a part of the difference may be "
        )
        note += "the text's."
        if any(row.cells["bits_per_byte"].common_bytes for row in rows if "bits_per_byte" in row.cells):
            note += " Ratios of bits per byte are over what both scored."
    return [note]


def _other_formulas(rows: Sequence[Row]) -> list[str]:
    """Which figures were made by formulas that this version does not use any more."""
    found: dict[str, str] = {}
    for row in rows:
        for id, cell in row.cells.items():
            known = find(id)
            if known is not None and cell.formula and cell.formula != known.version:
                found[id] = f"{known.title} (formula {cell.formula}, here {known.version})"
    if not found:
        return []
    return [
        f"By other formulas than this version's: {', '.join(found.values())}. `llm-workbench recompute` renews them."
    ]


def _without_rule(rows: Sequence[Row], kept: Mapping[str, ConfigurationTrials]) -> list[str]:
    """Which rows have quality from a version that put no begin token before a text."""
    said = {
        row.title: [kept[row.configuration].evaluation, *kept[row.configuration].scores("accuracy_mean_ratio")]
        for row in rows
    }
    old = [title for title, records in said.items() if any(r is not None and r.begin is None for r in records)]
    if not old:
        return []
    return [
        f"Quality by a version that put no begin token before a text: {', '.join(old)}. It is too poor for a model "
        "whose tokenizer adds one: run it again."
    ]


def _near_chance(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None and cell.value < TOLD_FROM_CHANCE


def _why(trial: TrialRow, reasons: Iterable[ReasonRow]) -> str:
    codes = sorted({words(r.code) for r in reasons if r.trial == trial.trial and r.severity == "invalid"})
    return ", ".join(codes) or "no reason stored"
