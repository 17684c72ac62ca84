"""A training experiment as the first half of another: its methods train models that are then compared in use. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product

import msgspec

from engines.models.artifacts import Made
from engines.protocol.orders import TRAINED
from engines.protocol.problems import Problem, ProblemsFound
from engines.protocol.settings import Scalar
from workbench.experiment.experiment import Experiment, TechniqueChoice, TrainedModel, WorkloadChoice

MOST = 24
"""Models that are made of one experiment."""
_TEXT_TOKENS = 2048
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]+")


def train_first(experiment: Experiment) -> Experiment:
    """Each configuration as a table [trained.NAME], and an experiment of inference on what they make, beside the models
    as they were. Raises `ProblemsFound` where it trains nothing, or too much."""
    made = tuple(_tables(experiment)) if experiment.workload.kind == "training" else ()
    if not made or len(made) > MOST:
        message = f"This experiment trains {len(made):,} models." if made else "This experiment trains nothing."
        hint = f"At most {MOST} can be trained first: leave out methods, or choose one learning rate."
        hint = hint if made else "Choose Fine-tuning, a model and a method."
        raise ProblemsFound((Problem(severity="error", place=experiment.name, message=message, hint=hint),))
    run = msgspec.structs.replace(experiment.run, skip=(), stop_at_ratio=None, stop_metric=None)
    return msgspec.structs.replace(
        experiment,
        models=(*experiment.models, *(model.ref for model in made)),
        techniques=(),
        workload=WorkloadChoice.of(perplexity_tokens=_TEXT_TOKENS),
        run=run,
        trained=(*experiment.trained, *made),
    )


def _tables(experiment: Experiment) -> Iterator[TrainedModel]:
    work = experiment.workload
    chosen = [(choice, one) for choice in experiment.techniques for one in _each(choice)]
    methods = [(choice, one) for choice, one in chosen if choice.id.startswith("finetune.")]
    axes = _by_axis([one for choice, one in chosen if not choice.id.startswith("finetune.")])
    taken = {model.name for model in experiment.trained}
    for base, (choice, method), beside, load in product(experiment.models, methods, product(*axes), work.each()):
        values = {s.name: getattr(load, s.name) for s in work.settings}
        if values["keep"] == "nothing":
            values["keep"] = "model"
        parts = [base.rpartition("/")[2]] if len(experiment.models) > 1 else []
        parts.append(method.id.partition(".")[2])
        parts += [f"{name}-{value}" for name, (value,) in method.parameters.items() if len(choice.parameters[name]) > 1]
        parts += [one.id.partition(".")[2] for one, among in zip(beside, axes, strict=True) if len(among) > 1]
        parts += [f"{values[s.name]:g}" if s.type == "float" else str(values[s.name]) for s in work.swept]
        name = _name("-".join(parts), taken)
        taken.add(name)
        workload = WorkloadChoice.of("training", **values)
        yield TrainedModel(name=name, model=base, techniques=(*beside, method), workload=workload)


def _by_axis(choices: list[TechniqueChoice]) -> list[list[TechniqueChoice]]:
    axes: dict[str, list[TechniqueChoice]] = {}
    for choice in choices:
        axes.setdefault(choice.id.partition(".")[0], []).append(choice)
    return list(axes.values())


def _each(choice: TechniqueChoice) -> Iterator[TechniqueChoice]:
    """Every combination of its parameters' values."""
    names = list(choice.parameters)
    for values in product(*choice.parameters.values()):
        fixed: dict[str, tuple[Scalar, ...]] = {name: (value,) for name, value in zip(names, values, strict=True)}
        yield TechniqueChoice(choice.id, fixed)


def _name(wanted: str, taken: set[str]) -> str:
    """What a table may be called: letters, digits, - and _."""
    plain = _FORBIDDEN.sub("_", wanted)
    numbered = (f"{plain}-{n}" if n > 1 else plain for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def in_use(made: Mapping[str, Made]) -> Experiment:
    """An experiment of inference on models that trials have kept, by ref, beside what they were trained from."""
    bases = (one.base.path if one.base.ref.startswith(TRAINED) else one.base.ref for one in made.values())
    name = next(iter(made.values())).experiment_title
    workload = WorkloadChoice.of(perplexity_tokens=_TEXT_TOKENS)
    return Experiment(name=f"{name}, in use", models=tuple(dict.fromkeys((*bases, *made))), workload=workload)
