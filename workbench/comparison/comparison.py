"""An experiment's results side by side: summaries over trials, ratios to a baseline, verdicts in words.

Pure: from an `ExperimentDetail` to values that a table, a chart, a command and an export show alike.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from workbench.comparison import compression as comparison_compression
from workbench.comparison.architecture.costs import costs_of
from workbench.comparison.architecture.costs import sentences as length_sentences
from workbench.comparison.notes import footnotes
from workbench.comparison.results import Cell, Comparison, Row
from workbench.comparison.training.which import sentences, training_comparison
from workbench.comparison.trials import ConfigurationTrials, in_order, metric_ids
from workbench.machines.machine import THIS
from workbench.metrics.model import Metric
from workbench.metrics.registry import find
from workbench.metrics.tasks import standing
from workbench.plan import labels as naming
from workbench.statistics import intervals as statistics
from workbench.statistics import text_error
from workbench.statistics.censored import median_of
from workbench.statistics.intervals import Interval as Interval
from workbench.statistics.intervals import RatioEstimate
from workbench.statistics.outliers import find_outliers
from workbench.store.operations import ConfigurationRow, ExperimentDetail

_FIGURES = re.compile(r"\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")
"""Figures within a method. It only decides which sentences are one; no two ways of a metric differ in figures alone."""
_NO_TITLES: Mapping[str, str] = MappingProxyType({})


def compare(
    detail: ExperimentDetail,
    *,
    baseline: str | None = None,
    include_invalid: bool = False,
    margin: float = 0.03,
    titles: Mapping[str, str] = _NO_TITLES,
) -> Comparison:
    """`baseline` overrides the stored one; without either, the first configuration with results is it.
    `margin` is what "equivalent" allows, as a ratio. `titles`: what people call machines, by id."""
    kept = {c.configuration: ConfigurationTrials(c, detail, include_invalid) for c in detail.configurations}
    configurations = sorted(detail.configurations, key=lambda c: c.position)
    pinned = baseline_of(configurations, kept, baseline, detail.experiment.baseline)
    table = {m: _cells(m, kept, pinned, margin) for m in metric_ids(detail.metrics)}
    statistics.forget_draws()
    against_original = comparison_compression.figures(configurations, kept, pinned)
    if table:
        table |= {m: {c: _derived(m, f) for c, f in found.items()} for m, found in against_original.items()}
    table = {m: table[m] for m in in_order(table)}
    with_value = tuple(m for m, cells in table.items() if any(c.value is not None for c in cells.values()))
    called = {**titles, THIS: "this computer"}
    ran_on = {c: called.get(trials.machine, trials.machine) for c, trials in kept.items()}
    labelled = [naming.labels_of(c, ran_on[c.configuration]) for c in configurations]
    naming.fill_axes(labelled)
    varying, constant = naming.split(labelled)
    rows = tuple(
        Row(
            configuration=c.configuration,
            title=c.title,
            color=c.color,
            model=c.model,
            labels=labels,
            trials=len(kept[c.configuration].all),
            counted=len(kept[c.configuration].counted),
            failed=kept[c.configuration].troubles(),
            cells={m: table[m][c.configuration] for m in with_value},
            is_baseline=c.configuration == pinned,
        )
        for c, labels in zip(configurations, labelled, strict=True)
    )
    short = {r.configuration: naming.short_title(r.labels, varying, r.title) for r in rows}
    training = training_comparison(detail, kept, pinned, margin, short)
    costs = costs_of(detail, kept, pinned)
    return Comparison(
        experiment=detail.experiment.experiment,
        name=detail.experiment.name,
        rows=rows,
        metrics=with_value,
        unavailable={m: _common_reason(table[m], kept) for m in table if m not in with_value and _concerns(m, table)},
        tasks_asked=any(r.code == "task_failed" for r in detail.reasons) or not any(k.counted for k in kept.values()),
        varying=varying,
        constant=constant,
        baseline=pinned,
        training=training,
        costs=costs,
        footnotes=(
            *(sentences(training) if training is not None else ()),
            *(line for cost in costs for line in length_sentences(cost)),
            *footnotes(detail, rows, kept, kept_invalid=include_invalid),
        ),
    )


def baseline_of(
    configurations: Sequence[ConfigurationRow], kept: Mapping[str, ConfigurationTrials], *asked: str | None
) -> str | None:
    """The configuration that the others are compared with: the first one asked for, or the first with results."""
    known = [c.configuration for c in configurations]
    for wanted in asked:
        if wanted in known:
            return wanted
    return next((c for c in known if kept[c].counted), None)


def _common_reason(cells: Mapping[str, Cell], kept: Mapping[str, ConfigurationTrials]) -> str:
    """The reason that most configurations give; one that failed altogether knows nothing about a sensor."""
    reasons = [cell.reason for c, cell in cells.items() if kept[c].counted] or [cell.reason for cell in cells.values()]
    return Counter(reasons).most_common(1)[0][0]


# --- one metric over all configurations ------------------------------------------------------------


def _cells(
    metric: str, kept: Mapping[str, ConfigurationTrials], baseline: str | None, margin: float
) -> dict[str, Cell]:
    known = find(metric)
    cells = {c: _cell(metric, trials) for c, trials in kept.items()}
    if baseline is None or cells[baseline].value is None:
        return cells
    pinned = cells[baseline]
    if (
        known is not None
        and known.censored
        and any(math.isinf(v) for k in kept.values() for v in k.with_censored(metric))
    ):
        return cells
    others = {
        c: cell
        for c, cell in cells.items()
        if c != baseline
        and _comparable(cell, pinned, known)
        and (known is None or not known.by_device or kept[c].device == kept[baseline].device)
    }
    exact = {c: r for c, cell in others.items() if (r := _exact_ratio(cell, pinned, known)) is not None}
    noisy = {c: kept[c].by_block(metric) for c in others if c not in exact}
    ratios = exact | statistics.ratios_to_baseline(kept[baseline].by_block(metric), noisy)
    if metric in text_error.METRICS:
        its = (pinned.value or 0.0, kept[baseline].text_loss)
        ratios = {
            c: text_error.with_paired_error(metric, r, (cells[c].value or 0.0, kept[c].text_loss), its, len(ratios))
            for c, r in ratios.items()
        }
    judged = {c: _judged(cells[c], r, known, margin) for c, r in ratios.items()}
    return cells | judged | {baseline: replace(pinned, ratio=1.0, word="baseline", blocks=pinned.n)}


def _censored_cell(metric: Metric, trials: ConfigurationTrials) -> Cell:
    """A median in which a trial that ended before there was a value counts as infinite."""
    every = trials.with_censored(metric.id)
    found = median_of(every)
    missing = sum(math.isinf(v) for v in every)
    if found is None:
        return Cell(metric.id, None, reason=trials.reason(metric.id), unit=metric.unit)
    mark = f"not reached in {missing} of {len(every)}" if missing else ""
    if math.isinf(found.value):
        reason = f"Not reached in {missing} of {len(every)} trials."
        return Cell(metric.id, None, reason=reason, unit=metric.unit, n=0, mark=mark)
    closed = found.interval is not None and math.isfinite(found.interval.high)
    stored = trials.values(metric.id, trials.counted)
    scopes = {row.scope for _, row, _ in stored}
    low = f", at least {found.interval.low:.4g}" if found.interval is not None and not closed else ""
    return Cell(
        metric.id,
        found.value,
        n=len(every),
        interval=found.interval if closed else None,
        trial_values=tuple((t.trial, value) for t, _, value in stored),
        excluded=tuple(t.trial for t, _, _ in trials.values(metric.id, trials.excluded())),
        made=_method([row.method for _, row, _ in stored]),
        summary=f"{found.method}{low}{f'; {mark}, which counts as infinite' if mark else ''}",
        unit=metric.unit,
        scope=scopes.pop() if len(scopes) == 1 else "",
        mark=mark,
        formula=stored[0][1].version,
    )


def _cell(metric: str, trials: ConfigurationTrials) -> Cell:
    known = find(metric)
    if known is not None and known.censored:
        return _censored_cell(known, trials)
    found = trials.values(metric, trials.counted)
    unit = next((r.unit for (_, m), r in trials.rows.items() if m == metric), known.unit if known is not None else "")
    excluded = tuple(t.trial for t, _, _ in trials.values(metric, trials.excluded()))
    summary = statistics.summarise([value for _, _, value in found])
    if summary is None:
        return Cell(metric, None, reason=trials.reason(metric), excluded=excluded, unit=unit)
    scopes = {row.scope for _, row, _ in found}
    values = tuple((t.trial, value) for t, _, value in found)
    error, mark, text = None, "", ""
    if known is not None and known.needs == ("task_score",):
        error, mark = standing(metric, trials.scores(metric))
    if metric in text_error.METRICS:
        error, text = text_error.own_error(metric, summary.value, trials.text_loss)
    return Cell(
        metric,
        summary.value,
        n=summary.n,
        interval=summary.interval,
        trial_values=values,
        excluded=excluded,
        outliers=find_outliers(values),
        made=_method([row.method for _, row, _ in found]),
        text=text,
        summary="" if known is not None and known.exact else summary.method,
        unit=unit,
        scope=scopes.pop() if len(scopes) == 1 else "",
        error=error,
        mark=mark,
        formula=found[0][1].version,
    )


def _method(methods: Sequence[str]) -> str:
    """How the values were made; each way with its trials where they differ in more than the figures they state."""
    ways: dict[str, list[str]] = {}
    for method in methods:
        ways.setdefault(_FIGURES.sub("0", method), []).append(method)
    if len(ways) == 1:
        return Counter(methods).most_common(1)[0][0]
    ordered = sorted(ways.values(), key=len, reverse=True)
    return "; ".join(f"in {len(same)} of {len(methods)} trials {same[0]}" for same in ordered)


def worth_listing(metric: Metric, comparison: Comparison) -> bool:
    """Whether it is worth a line that a primary metric has no value: not where nobody asked for it."""
    return metric.primary and (comparison.tasks_asked or metric.needs != ("task_score",))


def _derived(metric: str, figure: comparison_compression.Figure) -> Cell:
    """What the comparison itself computed, as a cell."""
    known = find(metric)
    return Cell(
        metric,
        figure.value,
        reason=figure.reason,
        n=figure.n,
        interval=figure.interval,
        made=figure.method,
        summary=figure.quality,
        unit=known.unit if known is not None else "",
        scope=figure.scope,
    )


def _concerns(metric: str, table: Mapping[str, Mapping[str, Cell]]) -> bool:
    """Whether a metric without values is worth a line: not where it speaks of another kind of trial altogether."""
    known = find(metric)
    if known is None or known.task == "any":
        return True
    of_task = (m for m in table if (other := find(m)) is not None and other.task == known.task)
    return any(cell.value is not None for m in of_task for cell in table[m].values())


def _comparable(cell: Cell, baseline: Cell, metric: Metric | None) -> bool:
    if metric is None or cell.value is None:
        return False
    if metric.same_scope and (not cell.scope or cell.scope != baseline.scope):
        return False
    if cell.formula != baseline.formula:
        return False
    return all(v > 0 for _, v in (*cell.trial_values, *baseline.trial_values))


def _is_exact(cell: Cell, metric: Metric | None) -> bool:
    """Whether the value is known without error: counted, or the same in every one of two or more trials."""
    values = [v for _, v in cell.trial_values]
    return statistics.same(values) and (len(values) > 1 or (metric is not None and metric.exact))


def _exact_ratio(cell: Cell, baseline: Cell, metric: Metric | None) -> RatioEstimate | None:
    if not (_is_exact(cell, metric) and _is_exact(baseline, metric)):
        return None
    ratio = (cell.value or 0.0) / (baseline.value or 1.0)
    how = "counted exactly" if metric is not None and metric.exact else "deterministic: the same value in every trial"
    return RatioEstimate(ratio, None, min(cell.n, baseline.n), True, how)


def _judged(cell: Cell, ratio: RatioEstimate, metric: Metric | None, margin: float) -> Cell:
    word, good = _word(ratio, metric, margin)
    return replace(
        cell,
        ratio=ratio.ratio,
        ratio_interval=ratio.interval,
        blocks=ratio.blocks,
        word=word,
        good=good,
        ratio_made="" if ratio.deterministic else ratio.method,
        common_bytes=ratio.common_bytes,
    )


def _word(ratio: RatioEstimate, metric: Metric | None, margin: float) -> tuple[str, bool | None]:
    if metric is None or (ratio.interval is None and not ratio.deterministic):
        return "", None
    if ratio.deterministic and abs(ratio.ratio - 1) <= statistics.SAME:
        return "the same", None
    interval = ratio.interval or Interval(ratio.ratio, ratio.ratio)
    decision = statistics.decide(interval, margin)
    if decision == "equivalent":
        return f"equivalent within {margin * 100:.3g} %", None
    if decision == "inconclusive":
        return "no difference shown", None
    higher, lower = metric.words
    good = None if metric.better == "neither" else (decision == metric.better)
    return (higher if decision == "higher" else lower), good
