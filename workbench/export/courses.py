"""Losses along training as a table for programs: one row per trial and step, in base units. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from workbench.charts.courses import CLOCK
from workbench.comparison.courses import Read
from workbench.comparison.results import Comparison
from workbench.export.provenance import Provenance, of_comparison
from workbench.export.spreadsheet import safe
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import Progress
from workbench.store.operations import TrialRow

COLUMNS = (
    "experiment",
    "configuration",
    "title",
    "trial",
    "block",
    "step",
    "tokens",
    "seconds",
    "joules",
    "training_loss",
    "held_out_loss",
)
"""`tokens`, `seconds` and `joules` are totals after `step` steps, losses are in nats a token; blank: not measured."""


def courses_csv(comparison: Comparison, read: Read, origin: Provenance | None = None) -> str:
    """Every step of the trials that count, with comment lines before the header; those without a course are named
    there."""
    origin = origin or of_comparison(comparison)
    out = io.StringIO()
    basis = comparison.training.basis.words if comparison.training is not None else ""
    said = [*origin.lines(), *([f"Training compared {basis}."] if basis else []), CLOCK]
    rows: list[tuple[object, ...]] = []
    for row in comparison.rows:
        of_row = read.kept[row.configuration].counted if row.configuration in read.kept else ()
        for trial in of_row:
            course = read.courses.get(trial.trial)
            if isinstance(course, Progress):
                place = (comparison.experiment, row.configuration, row.title)
                rows += [(*place, *values) for values in _steps(trial, course)]
                said += [f"{trial.trial}, joules: {course.no_joules}"] if course.no_joules else []
            else:
                why = course.reason if isinstance(course, NotAvailable) else "Its records were not read."
                said.append(f"{trial.trial}: {why}")
    for line in said:
        out.write(f"# {' '.join(line.split())}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([safe(value) for value in row] for row in rows)
    return out.getvalue()


def _steps(trial: TrialRow, course: Progress) -> Iterator[tuple[object, ...]]:
    held_out = {h.step: h.loss for h in course.held_out}
    for step, tokens in enumerate(course.tokens):
        loss = float(course.losses[step])
        joules = "" if course.joules is None else float(course.joules[step])
        yield (
            *(trial.trial, trial.block, step, int(tokens), float(course.seconds[step]), joules),
            *("" if math.isnan(loss) else loss, held_out.get(step, "")),
        )
