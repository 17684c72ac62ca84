"""The data of a training experiment: found, looked at, and what is wrong with them or worth knowing.

`find_data` reads files; the rest is pure. Any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from engines.data.training.columns import ColumnError
from engines.data.training.look import look
from engines.protocol.text_file import FileError
from engines.protocol.work import Training
from workbench.experiment.experiment import Experiment
from workbench.experiment.problems import Fix, Problem, Severity

_PLACE = "workload.data"
_MANY = 0.1
"""Share of bad rows from which they are a warning."""


class FoundData(msgspec.Struct, frozen=True, kw_only=True):
    """Training data as they were when the experiment was planned."""

    data: str
    """A built-in name, a hub id, or an absolute path."""
    hash: str = ""
    """"" of built-in data."""
    columns: str = ""
    """"prompt: question, response: answer"."""
    rows: int | None = None
    """None of built-in and of large data, whose rows only the worker counts."""
    bad: int = 0
    first_bad: str = ""
    """"line 318 has no response"."""
    own_splits: tuple[str, ...] = ()
    """That the data name themselves: "validation"."""


def find_data(training: Training, base: Path) -> FoundData | Problem:
    """The data of a workload, whose relative path starts at `base`."""
    try:
        found = look(training, base)
    except ColumnError as error:
        fix = Fix("Guess it", f"workload.{error.setting}", "")
        place = f"workload.{error.setting}"
        return Problem(severity="error", place=place, message=str(error), hint=error.advice, fixes=(fix,))
    except FileError as error:
        fix = Fix("Use the built-in text", _PLACE, "built-in")
        return Problem(severity="error", place=_PLACE, message=str(error), hint=error.advice, fixes=(fix,))
    return FoundData(
        data=found.data,
        hash=found.hash,
        columns=found.columns.said,
        rows=found.rows,
        bad=found.bad,
        first_bad="; ".join(map(str, found.first_bad)) + ("; …" if found.bad > len(found.first_bad) else ""),
        own_splits=tuple(sorted(found.own_splits)),
    )


def data_problems(experiment: Experiment, found: FoundData | Problem | None) -> Iterator[Problem]:
    """What is wrong with the data of an experiment that trains, and what is worth knowing of them."""
    training = experiment.workload.first
    if not isinstance(training, Training):
        return
    if isinstance(found, Problem):
        yield found
    elif found is None:
        if training.data != "built-in":
            yield _of_data("error", "The training data were not looked up.")
    elif found.hash:
        yield from _of_rows(training, found)


def _of_rows(training: Training, found: FoundData) -> Iterator[Problem]:
    if found.bad and found.rows:
        share = found.bad / found.rows
        yield _of_data(
            "warning" if share >= _MANY else "note",
            f"{found.bad:,} of {found.rows:,} rows are left out: {found.first_bad}.",
            f"The columns used are {found.columns}.",
        )
    shares = {"validation": training.validation_share, "test": training.test_share}
    missing = [split for split, share in shares.items() if not share and split not in found.own_splits]
    if training.evaluation_tokens and "validation" in missing and found.rows is not None:
        yield _of_data(
            "warning",
            "No rows are kept for validation: the held-out loss will be missing.",
            "Set validation_share, or give the data a validation split.",
        )


def _of_data(severity: Severity, message: str, hint: str = "") -> Problem:
    return Problem(severity=severity, place=_PLACE, message=message, hint=hint)
