"""Loss against steps, tokens, time or energy: a line for each configuration, a band over its trials. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from workbench.charts.stored import Chart, ChartAxis, Floats, Series, point_names, provenance_line
from workbench.charts.x_axis import is_whole, shown_unit
from workbench.comparison.courses import Courses
from workbench.comparison.results import Comparison, Row
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Axis, Progress
from workbench.units import format_value

TITLES: dict[Axis, str] = {
    "step": "Training steps",
    "tokens": "Tokens trained on",
    "time": "Training time",
    "energy": "Energy of training",
}
CLOCK = "Evaluations, loading and checkpoints stop the clock."
_FEW = 3
"""Under so many held-out losses a trial has no course of them: its training loss is drawn."""
_DIFFERENT = "Configurations were evaluated over different text: their losses cannot be drawn on one axis."


def loss_chart(
    comparison: Comparison,
    kept: Mapping[str, ConfigurationTrials],
    courses: Courses,
    axis: Axis,
    hidden: frozenset[str] = frozenset(),
) -> Chart:
    """Held-out loss where it was measured along the way, else the loss of the training steps. Points of a line are the
    means over the trials that have one there, along the axis as in the loss."""
    rows = [r for r in comparison.rows if r.configuration not in hidden]
    read = {r.configuration: _courses_of(r, kept, courses) for r in rows}
    every = [c for found in read.values() for c in found]
    held_out = bool(every) and all(len(c.held_out) >= _FEW for c in every)
    names = point_names(comparison)
    series, missing = [], []
    for row in rows:
        points = _points(read[row.configuration], axis, held_out=held_out)
        if points is None:
            missing.append(names[row.configuration])
            continue
        series.append(_series(row, names[row.configuration], points, held_out=held_out))
    largest = max((float(s.x[-1]) for s in series), default=0.0)
    unit, factor = shown_unit(axis, largest)
    title = "Held-out loss" if held_out else "Training loss"
    drawn = tuple(_scaled(s, factor) for s in series)
    trials = sorted({len(found) for found in read.values() if found})
    basis = comparison.training.basis.words if comparison.training is not None else ""
    notes = [f"{basis[:1].upper()}{basis[1:]}."] if basis else []
    notes += ["Line: mean of the trials; band: lowest to highest trial."] if max(trials, default=0) > 1 else []
    notes += ["One trial each: no band."] if trials == [1] else []
    notes += [CLOCK] if axis in ("time", "energy") else []
    notes += ["Held-out loss was measured only before and after."] if not held_out and every else []
    notes += [f"Not drawn: {', '.join(missing)}."] if missing and series else []
    different = held_out and len({c.scope for c in every}) > 1
    return Chart(
        id=f"course:{axis}",
        title=f"{title} against {TITLES[axis].lower()}",
        subtitle=f"n = {trials[0]}" if len(trials) == 1 else "",
        x=ChartAxis(TITLES[axis], unit, minimum=0.0, whole=is_whole(axis, factor)),
        y=ChartAxis(title, "nats/token"),
        series=() if different else drawn,
        notes=tuple(notes),
        provenance=provenance_line(comparison, rows),
        summary=f"{title} against {TITLES[axis].lower()}. "
        + " ".join(f"{s.title}: {format_value(float(s.y[-1]), 'nats/token')} at the end." for s in drawn),
        empty=_DIFFERENT if different else "" if drawn else _why_empty(every, courses, axis),
    )


def _courses_of(row: Row, kept: Mapping[str, ConfigurationTrials], courses: Courses) -> list[Progress]:
    trials = kept[row.configuration].counted if row.configuration in kept else ()
    found = (courses.get(t.trial) for t in trials)
    return [c for c in found if isinstance(c, Progress)]


Points = tuple[Floats, Floats, Floats, Floats, int]
"""Places, means, lowest, highest; over how many trials."""


def _points(found: Sequence[Progress], axis: Axis, *, held_out: bool) -> Points | None:
    along = [c.along(axis) for c in found]
    totals = [a for a in along if a is not None]
    if not found or len(totals) < len(found):
        return None
    losses = [{h.step: h.loss for h in c.held_out} if held_out else _of_steps(c) for c in found]
    steps = sorted(set.intersection(*(set(by_step) for by_step in losses)))
    if not steps:
        return None
    x = np.mean([[a[s] for s in steps] for a in totals], axis=0)
    y = np.array([[by_step[s] for s in steps] for by_step in losses])
    return x, y.mean(axis=0), y.min(axis=0), y.max(axis=0), len(found)


def _of_steps(course: Progress) -> dict[int, float]:
    return {int(s): float(course.losses[s]) for s in np.flatnonzero(np.isfinite(course.losses))}


def _series(row: Row, name: str, points: Points, *, held_out: bool) -> Series:
    x, mean, low, high, trials = points
    band = trials > 1
    return Series(
        key=row.configuration,
        title=name,
        x=x,
        y=mean,
        color=row.color,
        style="points" if held_out else "line",
        y_low=low if band else None,
        y_high=high if band else None,
    )


def _scaled(series: Series, factor: float) -> Series:
    return replace(series, x=series.x / factor)


def _why_empty(every: Sequence[Progress], courses: Courses, axis: Axis) -> str:
    if axis == "energy" and every:
        return next((c.no_joules for c in every if c.no_joules), "Energy was not measured.")
    reasons = [c.reason for c in courses.values() if isinstance(c, NotAvailable)]
    return reasons[0] if reasons else "No trial has a loss yet."
