"""What a click in Setup does to the experiment: functions from one to the next. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from engines.protocol.messages import ProbeResult
from engines.protocol.orders import Scalar
from engines.techniques import Technique, axes, find
from engines.techniques.finetune.lora import LORA
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, WorkloadChoice, engine_settings
from workbench.machines.facts import best_device, find_device
from workbench.machines.machine import THIS
from workbench.plan.cells import default_technique

_FIRST = {"training": (LORA,)}
"""What a kind of work begins with that cannot run without a technique."""


def set_model(experiment: Experiment, ref: str, on: bool, aliases: Collection[str] = ()) -> Experiment:
    """Take a model in (at the end) or out, under whichever of its names the experiment uses."""
    names = {ref, *aliases}
    if on and not names & set(experiment.models):
        return replace(experiment, models=(*experiment.models, ref))
    return experiment if on else replace(experiment, models=tuple(m for m in experiment.models if m not in names))


def chosen_ids(experiment: Experiment, axis: str, kinds: Collection[str] = ()) -> tuple[str, ...]:
    """Ids of the techniques that would run on an axis: those named, or the defaults for models of these kinds."""
    named = tuple(dict.fromkeys(c.id for c in experiment.techniques if c.id.partition(".")[0] == axis))
    if named:
        return named
    found = (default_technique(a, kind) for a in axes() if a.id == axis for kind in kinds or ("",))
    return tuple(dict.fromkeys(id for id in found if find(id) is not None))


def set_technique(experiment: Experiment, id: str, on: bool, kinds: Collection[str] = ()) -> Experiment:
    """Take a technique in or out. What runs anyway (the default of an axis that names none) stays when others join;
    taking out the last leaves the default. `kinds`: those of the chosen models."""
    axis = id.partition(".")[0]
    if on == (id in chosen_ids(experiment, axis, kinds)):
        return experiment
    if not on:
        return replace(experiment, techniques=tuple(c for c in experiment.techniques if c.id != id))
    named = any(c.id.partition(".")[0] == axis for c in experiment.techniques)
    before = () if named else tuple(TechniqueChoice(default) for default in chosen_ids(experiment, axis, kinds))
    return replace(experiment, techniques=(*experiment.techniques, *before, TechniqueChoice(id)))


def choice_of(experiment: Experiment, id: str) -> TechniqueChoice | None:
    """The technique as the experiment names it, None where it does not."""
    return next((c for c in experiment.techniques if c.id == id), None)


def values_of(experiment: Experiment, technique: Technique, name: str) -> tuple[Scalar, ...]:
    """A parameter's values in the experiment, or its default."""
    choice = choice_of(experiment, technique.id)
    default = technique.defaults()[name]
    return choice.parameters.get(name, (default,)) if choice is not None else (default,)


def set_parameter(
    experiment: Experiment, technique: Technique, name: str, values: Sequence[Scalar], kinds: Collection[str] = ()
) -> Experiment:
    """Set a parameter of a technique, taking the technique in where it was not. A default is not written down."""
    if choice_of(experiment, technique.id) is None:
        if technique.id in chosen_ids(experiment, technique.axis, kinds):  # it runs as the default: now it is named
            experiment = replace(experiment, techniques=(*experiment.techniques, TechniqueChoice(technique.id)))
        else:
            experiment = set_technique(experiment, technique.id, True, kinds)
    old = choice_of(experiment, technique.id)
    assert old is not None
    parameters = {k: v for k, v in old.parameters.items() if k != name}
    if tuple(values) != (technique.defaults()[name],):
        parameters[name] = tuple(values)
    order = [p.name for p in technique.parameters]
    parameters = dict(sorted(parameters.items(), key=lambda item: order.index(item[0]) if item[0] in order else 99))
    new = TechniqueChoice(technique.id, parameters)
    return replace(experiment, techniques=tuple(new if c is old else c for c in experiment.techniques))


def set_workload(experiment: Experiment, key: str, values: Sequence[Scalar]) -> Experiment:
    """Set a key of the workload: all values of one that sweeps, the only value of another."""
    setting = next(s for s in experiment.workload.settings if s.name == key)
    typed = tuple(float(v) if setting.type == "float" and isinstance(v, int) else v for v in values)
    return replace(experiment, workload=experiment.workload.with_values({key: typed if setting.sweep else typed[0]}))


def set_kind(experiment: Experiment, kind: str, kept: Experiment | None = None) -> Experiment:
    """Other work: its own techniques, workload, engine and early end as they were `kept`, or as it begins; all else
    stays."""
    if kept is None:
        begin = tuple(TechniqueChoice(id) for id in _FIRST.get(kind, ()))
        kept = Experiment(workload=WorkloadChoice.of(kind), techniques=begin)
    run = replace(
        experiment.run, skip=kept.run.skip, stop_at_ratio=kept.run.stop_at_ratio, stop_metric=kept.run.stop_metric
    )
    engine = replace(experiment.engine, id=kept.engine.id)
    return replace(experiment, techniques=kept.techniques, workload=kept.workload, run=run, engine=engine)


def set_engine(experiment: Experiment, key: str, value: Scalar) -> Experiment:
    """Set a key of the [engine] table."""
    setting = next((s for s in engine_settings() if s.name == key), None)
    if setting is None:
        raise ValueError(f"engine has no key {key!r}")
    return replace(experiment, engine=experiment.engine.with_value(setting, value))


def set_tasks(experiment: Experiment, tasks: Sequence[str]) -> Experiment:
    """Tasks whose accuracy is measured, each once."""
    return replace(experiment, workload=experiment.workload.with_values({"tasks": tuple(dict.fromkeys(tasks))}))


def set_run(experiment: Experiment, key: str, value: object) -> Experiment:
    if key not in RunSettings.__struct_fields__:
        raise ValueError(f"run has no key {key!r}")
    return replace(experiment, run=replace(experiment.run, **{key: value}))


def devices_of(experiment: Experiment, probe: ProbeResult, machine: str = THIS) -> tuple[str, ...]:
    """Ids of the devices of a machine that the experiment names, those that are there."""
    found: list[str] = []
    for name in experiment.run.machines:
        host, _, wanted = name.partition("/")
        device = (find_device(probe, wanted) if wanted else best_device(probe)) if host == machine else None
        if device is not None and device.id not in found:
            found.append(device.id)
    return tuple(found)


def set_device(experiment: Experiment, probe: ProbeResult, id: str, on: bool, machine: str = THIS) -> Experiment:
    """Take a device in or out. The best device alone is written "this", or the machine's id: the file then means the
    best one anywhere."""
    chosen = [d for d in devices_of(experiment, probe, machine) if d != id] + ([id] if on else [])
    order = [d.id for d in probe.devices]
    chosen.sort(key=order.index)
    best = best_device(probe)
    names = (machine,) if best is not None and chosen == [best.id] else tuple(f"{machine}/{d}" for d in chosen)
    return _set_names(experiment, machine, names)


def set_machine(experiment: Experiment, machine: str, on: bool) -> Experiment:
    """Take a machine whose devices are not known in, with its best one, or out."""
    return _set_names(experiment, machine, (machine,) if on else ())


def _set_names(experiment: Experiment, machine: str, names: tuple[str, ...]) -> Experiment:
    """This machine's devices, at the place where it was named first; the others stay."""
    before = experiment.run.machines
    hosts = [name.partition("/")[0] for name in before]
    place = hosts.index(machine) if machine in hosts else len(before)
    rest = [name for name, host in zip(before, hosts, strict=True) if host != machine]
    return set_run(experiment, "machines", (*rest[:place], *names, *rest[place:]))
