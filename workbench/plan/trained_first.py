"""Models that an experiment trains itself: the cells that train them, and what the cells that use them wait for.

Pure; any thread. Called by `workbench.plan.plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Device
from engines.protocol.orders import TRAINED, AfterOrder, AnyTraining, ModelOrder
from engines.protocol.problems import Fix, Problem
from workbench.experiment.experiment import Experiment, TrainedModel
from workbench.plan.built import as_built
from workbench.plan.cells import count_cells, make_cells
from workbench.plan.sites import Site
from workbench.plan.types import Configuration
from workbench.plan.workload import own_problems

Looked = ResolvedModel | Problem
_OF_ITS_OWN = frozenset({"models", "techniques", "workload"})
"""Tables of [trained.NAME], which no path of a fix can name."""


@dataclass(frozen=True)
class TrainedFirst:
    """What is trained before the rest."""

    cells: tuple[Configuration, ...] = ()
    models: Mapping[str, Looked] = field(default_factory=dict)
    """By ref ("trained:NAME")."""
    problems: tuple[Problem, ...] = ()


def train_first(experiment: Experiment, devices: Sequence[Device], site: Site, *, titled: bool = False) -> TrainedFirst:
    """One cell for each model to train, on the first device of a machine."""
    cells: list[Configuration] = []
    problems: list[Problem] = []
    found: dict[str, Looked] = {}
    used = {*experiment.models, *(wanted.model for wanted in experiment.trained)}
    for wanted in _in_order(experiment.trained):
        base = found.get(wanted.model) or site.models.get(wanted.model)
        made = _cells(experiment, wanted, base, devices, site, titled)
        if isinstance(made, Problem):
            found[wanted.ref] = made
            if wanted.ref not in used:
                problems.append(made)
            continue
        cell, model, notes = made
        cells.append(cell)
        problems.extend(notes)
        found[wanted.ref] = model
        if wanted.ref not in used:
            message = f'It is trained and used by nothing: models does not name "{wanted.ref}".'
            problems.append(Problem(severity="note", place=_place(wanted), message=message))
    for ref in experiment.models:
        if ref.startswith(TRAINED) and ref not in found:
            found[ref] = _unknown(ref, experiment)
    return TrainedFirst(tuple(cells), found, tuple(problems))


def _in_order(trained: Sequence[TrainedModel]) -> list[TrainedModel]:
    """Those that others are trained from first; what begins nowhere (in a circle) last, in the order it is written."""
    waiting, done = list(trained), list[TrainedModel]()
    while ready := [one for one in waiting if one.model not in {other.ref for other in waiting}]:
        done += ready
        waiting = [one for one in waiting if one not in ready]
    return done + waiting


def held_back(
    cells: Iterable[Configuration], first: Sequence[Configuration], skipped: Iterable[str]
) -> tuple[Configuration, ...]:
    """The cells that use a trained model with what that means for them: an error where it cannot be trained."""
    left_out, by_hash = set(skipped), dict[str, Configuration]()
    for cell in first:  # one may be trained from another
        by_hash[cell.hash] = _held_back(cell, by_hash.get(cell.model.trained), left_out)
    return tuple(_held_back(cell, by_hash.get(cell.model.trained), left_out) for cell in cells)


def first_in_each_block(order: Iterable[tuple[int, str]], first: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Running order of (block, hash) with what is trained at the beginning of each block."""
    by_block: dict[int, list[str]] = {}
    for block, hash in order:
        by_block.setdefault(block, []).append(hash)
    return tuple(
        (block, hash)
        for block, row in by_block.items()
        for hash in (*(h for h in first if h in row), *(h for h in row if h not in first))
    )


def after(cell: Configuration, by_hash: Mapping[str, Configuration], trial_of: Mapping[str, str]) -> AfterOrder | None:
    """What a trial of the cell waits for; `trial_of`: trials of its block by configuration."""
    if not cell.model.trained:
        return None
    return AfterOrder(trial=trial_of[cell.model.trained], artifact=kept_by(by_hash[cell.model.trained].workload))


def kept_by(workload: object) -> Literal["adapter", "model"]:
    """What is used of what a training keeps."""
    return "adapter" if isinstance(workload, AnyTraining) and workload.keep == "adapter" else "model"


def _cells(
    experiment: Experiment,
    wanted: TrainedModel,
    base: Looked | None,
    devices: Sequence[Device],
    site: Site,
    titled: bool,
) -> tuple[Configuration, ResolvedModel, list[Problem]] | Problem:
    own = site.own_of_trained.get(wanted.name)
    if isinstance(base, ResolvedModel) and base.order.trained == wanted.model:  # nothing of the experiment trains it
        if all(other.ref != wanted.model for other in experiment.trained):
            return msgspec.structs.replace(_unknown(wanted.model, experiment), place=_place(wanted), fixes=())
        message = f"It is trained from {wanted.model}, which is trained from it."
        return Problem(
            severity="error", place=_place(wanted), message=message, hint="Name another model in one of them."
        )
    if not isinstance(base, ResolvedModel):
        missing = Problem(severity="error", place=_place(wanted), message="Its model was not looked up.")
        return _of_part(base) if base is not None else missing
    part = experiment.training_of(wanted)
    count = count_cells(part, 1, 1)
    if count != 1:
        return Problem(
            severity="error",
            place=_place(wanted),
            message=f"It describes {count:,} configurations; a trained model is one.",
            hint="Write a table [trained.NAME] for each, without sweeps.",
        )
    if not devices:
        return Problem(severity="error", place=_place(wanted), message="There is no device to train it on.")
    notes = list(own_problems(part, own))
    if errors := [p for p in notes if p.severity == "error"]:
        return msgspec.structs.replace(_of_part(errors[0]), place=_place(wanted))
    data = None if isinstance(own, Problem) else own
    (cell,) = make_cells(part, [base], devices[:1], site, data, titled=titled)
    cell = msgspec.structs.replace(cell, problems=tuple(map(_of_part, cell.problems)))
    return cell, _model(wanted, base, cell), [_of_part(p) for p in (*base.problems, *notes)]


def _of_part(problem: Problem) -> Problem:
    """Only with the fixes that mean the same in the whole experiment, which has a model and a workload of its own."""
    fixes = tuple(f for f in problem.fixes if f.path.partition(".")[0] not in _OF_ITS_OWN)
    return msgspec.structs.replace(problem, fixes=fixes)


def _model(wanted: TrainedModel, base: ResolvedModel, cell: Configuration) -> ResolvedModel:
    """What will be there once the cell's trial has completed."""
    base = as_built(base, cell.techniques, cell.workload)
    facts = base.facts
    if kept_by(cell.workload) == "adapter":
        method = next((t.id.partition(".")[2] for t in cell.techniques if t.id.startswith("finetune.")), "")
        facts = msgspec.structs.replace(facts, adapter=method or "weights")
    else:
        facts = msgspec.structs.replace(
            facts,
            kind="folder",
            has_tokenizer=base.quality_available,
            quantised="",
            quantised_by="",
            quantised_packages=(),
        )
    order = ModelOrder(
        ref=wanted.ref,
        title=f"{cell.title} (trained)",
        aside="trained",
        kind="folder",
        origin=base.order.origin,
        trained=cell.hash,
    )
    return msgspec.structs.replace(base, order=order, facts=facts, shape=None, config={}, problems=())


def _held_back(cell: Configuration, first: Configuration | None, left_out: set[str]) -> Configuration:
    if first is None:
        return cell
    if first.hash in left_out:
        why = f"{first.title}, which trains its model, was left out."
    elif not first.runnable:
        why = f"{first.title}, which trains its model, cannot run: "
        why += next(p.message for p in first.problems if p.severity == "error")
    else:
        note = f"Runs after {first.title} in each block, with the {kept_by(first.workload)} that it keeps."
        return _with(cell, Problem(severity="note", place=cell.title, message=note))
    return _with(cell, Problem(severity="error", place=cell.title, message=why, fixes=(Fix("Leave out", "skip"),)))


def _with(cell: Configuration, problem: Problem) -> Configuration:
    return msgspec.structs.replace(cell, problems=(*cell.problems, problem))


def _unknown(ref: str, experiment: Experiment) -> Problem:
    known = ", ".join(wanted.ref for wanted in experiment.trained)
    name = ref.removeprefix(TRAINED)
    hint = f"There is: {known}." if known else f"Write a table [trained.{name}] with model, techniques and workload."
    return Problem(
        severity="error",
        place=ref,
        message=f"The experiment has no [trained.{name}].",
        hint=hint,
        fixes=(Fix("Leave out", f"models.{ref}", None),),
    )


def _place(wanted: TrainedModel) -> str:
    return f"trained.{wanted.name}"
