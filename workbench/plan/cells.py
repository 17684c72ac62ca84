"""The cells of an experiment: every combination resolved, with what it needs. What stands against one is
`workbench.plan.obstacles`' to say.

Pure; any thread. Called by `workbench.plan.plan.make_plan`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from engines.catalogue import EngineInfo, engines, engines_for
from engines.catalogue import find as find_engine
from engines.data.own import Found, FoundData, FoundPrompts
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.messages import Device
from engines.protocol.orders import AnyTraining, EngineOrder, Inference, Scalar, TechniqueOrder, Workload
from engines.techniques import Axis, MachineFacts, find
from engines.techniques.chosen import UNNAMED_PRECISION, applied
from workbench.experiment.experiment import Experiment, TechniqueChoice
from workbench.machines.facts import further_devices, machine_facts
from workbench.machines.machine import THIS
from workbench.plan.built import as_built
from workbench.plan.estimates import estimate_once_seconds, estimate_seconds
from workbench.plan.history import with_memory_learned
from workbench.plan.identity import configuration_hash
from workbench.plan.labels import technique_title
from workbench.plan.memory import estimate_memory
from workbench.plan.obstacles import elsewhere, problems_of
from workbench.plan.sites import Site
from workbench.plan.types import Configuration

PRECISE_TRIALS = 10
"""From so many trials on, an experiment is a precise one."""
DEFAULT_ENGINE = engines()[0].id

Chosen = tuple[TechniqueOrder, ...]


def count_cells(experiment: Experiment, models: int, devices: int) -> int:
    """How many cells the cross product has, without making them."""
    combinations = math.prod(
        sum(math.prod(len(values) for values in c.parameters.values()) for c in choices)
        for choices in _by_axis(experiment).values()
    )
    sweeps = math.prod(len(values) for values in experiment.workload.sweeps.values())
    return models * devices * combinations * sweeps


def make_cells(
    experiment: Experiment,
    models: Sequence[ResolvedModel],
    devices: Sequence[Device],
    site: Site,
    own: Found | None = None,
    *,
    titled: bool = False,
) -> Iterator[Configuration]:
    """Models x techniques x workloads x devices of one machine, in the order they are written in the experiment.
    `titled`: the machine is part of their titles."""
    loads = list(_workloads(experiment, own))
    facts = {device.id: machine_facts(site.probe, device) for device in devices}
    many = len(devices) > 1
    places = {d.id: tuple(filter(None, (site.title if titled else "", d.title if many else ""))) for d in devices}
    for model in models:
        for chosen, load, device in itertools.product(_combinations(experiment), loads, devices):
            engine = engine_order(experiment, engine_of(experiment, applied(model.order, chosen)), device.id)
            cell = _cell(experiment, model, chosen, load, engine, device, facts[device.id], site.history.memory)
            yield msgspec.structs.replace(
                cell,
                hash=cell.hash + site.where(device, many=many),
                title=" · ".join((cell.title, *places[device.id])),
                machine=site.machine,
                more_devices=further_devices(site.probe, device)[: _device_count(chosen) - 1],
                problems=tuple(elsewhere(p, site.machine, engine.id) for p in cell.problems),
            )


def _device_count(chosen: Chosen) -> int:
    """Devices that each trial holds."""
    return max((technique.device_count for order in chosen if (technique := find(order.id)) is not None), default=1)


def engine_of(experiment: Experiment, chosen: Chosen) -> str:
    """The engine that the experiment names, or ("auto") the first that can apply all the techniques; where there is
    none, the first technique's own, and the cell says what stands against it."""
    written = experiment.engine.id
    if written != "auto":
        return written
    able = [
        engines_for(technique) or technique.engines for order in chosen if (technique := find(order.id)) is not None
    ]
    if not able:
        return DEFAULT_ENGINE
    return next((engine for engine in able[0] if all(engine in engines for engines in able)), able[0][0])


def engine_order(experiment: Experiment, engine: str, device: str) -> EngineOrder:
    """How one engine runs it: with its own settings, and no other's."""
    written, known = experiment.engine, find_engine(engine)
    return EngineOrder(
        id=engine,
        threads=written.threads,
        start_method=start_method(written.start_method, experiment.run.trials, device, known),
        settings={} if known is None else {setting.name: written.value(setting) for setting in known.settings},
    )


def start_method(written: str, trials: int, device: str, engine: EngineInfo | None) -> Literal["plain", "template"]:
    """How an engine's workers are started. "auto": from a template for quick and standard runs on a processor; plainly
    for precise ones (ten trials and more), whose cold-start figures count, and on GPUs, where nobody has tried a fork
    yet. An engine without a template, which is imported in a fraction of a second, always starts plainly."""
    wanted = written == "template" or (written == "auto" and trials < PRECISE_TRIALS and device == "cpu")
    return "template" if wanted and engine is not None and engine.template else "plain"


def _by_axis(experiment: Experiment) -> dict[str, list[TechniqueChoice]]:
    """Choices of the axes that the experiment names, in its order. The others are not used."""
    found: dict[str, list[TechniqueChoice]] = {}
    for choice in experiment.techniques:
        found.setdefault(choice.id.partition(".")[0], []).append(choice)
    return found


def _combinations(experiment: Experiment) -> Iterator[Chosen]:
    """Every combination of one technique of each axis that is named."""
    return itertools.product(
        *([order for choice in choices for order in _resolved(choice)] for choices in _by_axis(experiment).values())
    )


def default_technique(axis: Axis, keeps: str) -> str:
    """Id of what runs on an axis that the experiment does not name, of a model that keeps a precision of its own
    (`ModelFacts.keeps`) that one."""
    own = UNNAMED_PRECISION if axis.id == "precision" else {}
    return own.get(keeps, axis.default)


def _resolved(choice: TechniqueChoice) -> Iterator[TechniqueOrder]:
    """One order for every combination of the swept parameters, defaults filled in."""
    technique = find(choice.id)
    defaults: dict[str, Scalar] = technique.defaults() if technique else {}
    names = tuple(choice.parameters)
    for values in itertools.product(*choice.parameters.values()):
        yield TechniqueOrder(id=choice.id, parameters=defaults | dict(zip(names, values, strict=True)))


def _workloads(experiment: Experiment, own: Found | None) -> Iterator[Workload]:
    for load in experiment.workload.each():
        if isinstance(own, FoundPrompts) and isinstance(load, Inference):
            load = msgspec.structs.replace(load, prompt_file=own.path, prompt_file_hash=own.hash)
        if isinstance(own, FoundData) and isinstance(load, AnyTraining):
            load = msgspec.structs.replace(load, data=own.data, data_hash=own.hash)
        yield load


def _cell(
    experiment: Experiment,
    model: ResolvedModel,
    chosen: Chosen,
    load: Workload,
    engine: EngineOrder,
    device: Device,
    machine: MachineFacts,
    needed: Mapping[str, Sequence[float]],
) -> Configuration:
    if not model.quality_available and isinstance(load, Inference):
        load = msgspec.structs.replace(load, perplexity_tokens=0, text_tokens=0, tasks=())
    model = as_built(model, chosen, load)
    used = applied(model.order, chosen)
    what = configuration_hash(model.order, chosen, load, engine)
    memory = estimate_memory(model.facts, used, load, engine, machine)
    if isinstance(load, AnyTraining):
        memory = with_memory_learned(memory, needed.get(machine.device_kind, ()))
    cell = Configuration(
        hash=what,
        title=_title(experiment, model, chosen, load),
        model=model.order,
        techniques=chosen,
        workload=load,
        engine=engine,
        machine=THIS,
        device=device.id,
        color=0,
        memory=memory,
        expected_s=estimate_seconds(model.facts, used, load, engine, machine),
        once_s=estimate_once_seconds(model.facts, used, load, engine, machine),
    )
    return msgspec.structs.replace(cell, problems=problems_of(cell, model, machine, experiment))


def _title(experiment: Experiment, model: ResolvedModel, chosen: Chosen, load: Workload) -> str:
    """ "SmolLM2-135M-Instruct · int8 · 512 prompt tokens": named axes, and what is swept."""
    named = {choice.id.partition(".")[0] for choice in experiment.techniques}
    parts = [
        model.order.title,
        *(technique_title(t.id, t.parameters, model.order.stored) for t in chosen if t.id.partition(".")[0] in named),
    ]
    parts += [setting.with_value(getattr(load, setting.name)) for setting in experiment.workload.swept]
    return " · ".join(parts)
