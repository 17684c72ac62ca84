"""The data of a training experiment: what is wrong with them and what is worth knowing. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterator

from engines.data.own import FoundData
from engines.protocol.problems import Problem, Severity
from engines.protocol.work import AnyTraining, Pretraining
from workbench.experiment.experiment import Experiment
from workbench.plan.training_time import steps_made, tokens_a_step

_PLACE = "workload.data"
_SHOWN = 40
_MANY = 0.1
"""Share of bad rows from which they are a warning."""


def data_problems(experiment: Experiment, found: FoundData | Problem | None) -> Iterator[Problem]:
    """What is wrong with the data of an experiment that trains, and what is worth knowing of them."""
    training = experiment.workload.first
    if not isinstance(training, AnyTraining):
        return
    if isinstance(training, Pretraining):
        yield _of_data("note", _tokens(experiment))
    if isinstance(found, Problem):
        yield found
    elif found is None:
        if training.data != "built-in":
            yield _of_data("error", "The training data were not looked up.")
    elif found.hash:
        yield from _of_rows(training, found)


def _tokens(experiment: Experiment) -> str:
    """How much a trial trains on at the most; a time or a loss may end it before."""
    loads = [load for load in experiment.workload.each() if isinstance(load, AnyTraining)]
    of_each = sorted({steps_made(load, 0.0) * tokens_a_step(load) for load in loads})
    amount = f"{of_each[0]:,}" if len(of_each) == 1 else f"{of_each[0]:,} to {of_each[-1]:,}"
    ends = any(load.stop_at in ("time", "loss") for load in loads)
    return f"Each trial trains on {amount} tokens{' at the most' if ends else ''}."


def _of_rows(training: AnyTraining, found: FoundData) -> Iterator[Problem]:
    if found.bad and found.rows:
        share = found.bad / found.rows
        yield _of_data(
            "warning" if share >= _MANY else "note",
            f"{found.bad:,} of {found.rows:,} rows are left out: {found.first_bad}.",
            f"The columns used are {found.columns}.",
        )
    if found.sentence:
        yield _of_data(
            "warning",
            f"The first line is taken for the names of the columns, and one of them is “{_cut(found.sentence)}”.",
            "Where it is a row like the others, write a line of names above it, such as prompt,response.",
        )
    shares = {"validation": training.validation_share, "test": training.test_share}
    wanted = [split for split, share in shares.items() if share and split not in found.own_splits]
    if found.different is not None and found.different <= len(wanted):
        rows = "row" if found.different == 1 else "different rows"
        yield _of_data(
            "warning",
            f"{found.different:,} {rows} cannot be divided into training and "
            f"{' and '.join(wanted)}: one will be empty.",
            "Use more rows. Rows that say the same count once.",
        )
    missing = [split for split, share in shares.items() if not share and split not in found.own_splits]
    if training.evaluation_tokens and "validation" in missing and found.rows is not None:
        yield _of_data(
            "warning",
            "No rows are kept for validation: the held-out loss will be missing.",
            "Set validation_share, or give the data a validation split.",
        )


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _of_data(severity: Severity, message: str, hint: str = "") -> Problem:
    return Problem(severity=severity, place=_PLACE, message=message, hint=hint)
