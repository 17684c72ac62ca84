"""Applies a problem's fix to an experiment. Pure; any thread.

A fix's path is one of
    "skip"                        leave this configuration out
    "install"                     install the packages `value`: no change of the experiment, `apply_fix` refuses it
    "copy"                        copy (machine, "model" or "data", what): as above
    "models.REF"                  put `value` in the place of this model; None takes it out
    "techniques.AXIS.SHORT"       put the technique `value` (full id) in the place of this one
    "techniques.AXIS.SHORT.NAME.OLD"  put `value` in the place of this value of a technique's setting
    "workload.KEY.OLD"            put `value` in the place of this value of a sweep
    "workload"                    set several keys: `value` is pairs of key and value
    "workload.KEY.+"              add `value` to a sweep
    "TABLE.KEY"                   set the key
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, cast

import msgspec

from engines.protocol.problems import Fix
from engines.protocol.settings import Scalar
from workbench.experiment.experiment import Experiment, RunSettings, TechniqueChoice, WorkloadChoice, engine_settings
from workbench.plan.identity import matches

V = TypeVar("V")


def apply_fix(experiment: Experiment, configuration_hash: str, fix: Fix) -> Experiment:
    """The experiment with the change made. Raises `ValueError` for a path that this version does not know."""
    if fix.path == "skip":
        return leave_out(experiment, configuration_hash)
    table, _, rest = fix.path.partition(".")
    value = cast("Scalar", fix.value)
    if table == "models" and rest:
        with_what = () if fix.value is None else (str(fix.value),)
        return msgspec.structs.replace(experiment, models=_replaced(experiment.models, rest, with_what))
    if table == "techniques" and rest.count(".") == 1:
        old = [c for c in experiment.techniques if c.id == rest]
        new = TechniqueChoice(str(fix.value))
        if not old:  # it was the axis's default, which an experiment need not name
            return msgspec.structs.replace(experiment, techniques=(*experiment.techniques, new))
        kept = [c for c in experiment.techniques if c not in old and c != new]
        kept.insert(experiment.techniques.index(old[0]), new)
        return msgspec.structs.replace(experiment, techniques=tuple(kept))
    if table == "techniques" and rest.count(".") == 3:
        id, name, old_value = rest.rsplit(".", 2)
        return msgspec.structs.replace(
            experiment,
            techniques=tuple(
                _with_parameter(choice, name, old_value, value) if choice.id == id else choice
                for choice in experiment.techniques
            ),
        )
    if fix.path == "workload" and isinstance(fix.value, tuple):
        return msgspec.structs.replace(experiment, workload=experiment.workload.with_values(dict(fix.value)))
    if table == "workload" and rest.count(".") == 1:
        return msgspec.structs.replace(experiment, workload=_in_sweep(experiment.workload, rest, value))
    load, engine = experiment.workload, experiment.engine
    if table == "workload" and rest in load.first.__struct_fields__:
        return msgspec.structs.replace(experiment, workload=load.with_values({rest: value}))
    if table == "run" and rest in RunSettings.__struct_fields__:
        return msgspec.structs.replace(experiment, run=msgspec.structs.replace(experiment.run, **{rest: fix.value}))
    setting = next((s for s in engine_settings() if s.name == rest), None)
    if table == "engine" and setting is not None:
        return msgspec.structs.replace(experiment, engine=engine.with_value(setting, value))
    raise ValueError(f"no way to apply the fix {fix.label!r}: {fix.path}")


def leave_out(experiment: Experiment, configuration_hash: str) -> Experiment:
    """The experiment without this configuration (`run.skip`)."""
    if any(matches(configuration_hash, written) for written in experiment.run.skip):
        return experiment
    run = msgspec.structs.replace(experiment.run, skip=(*experiment.run.skip, configuration_hash))
    return msgspec.structs.replace(experiment, run=run)


def take_in(experiment: Experiment, configuration_hash: str) -> Experiment:
    """The opposite of `leave_out`."""
    skip = tuple(written for written in experiment.run.skip if not matches(configuration_hash, written))
    return msgspec.structs.replace(experiment, run=msgspec.structs.replace(experiment.run, skip=skip))


def _in_sweep(workload: WorkloadChoice, path: str, value: Scalar) -> WorkloadChoice:
    key, _, old = path.partition(".")
    if not any(s.name == key and s.sweep for s in workload.settings):
        raise ValueError(f"workload.{path} is no place in a sweep")
    replaced = [value if str(v) == old else v for v in workload.values(key)]
    if old == "+":
        replaced = sorted([*replaced, value], key=lambda v: (isinstance(v, str), v))
    return workload.with_values({key: tuple(dict.fromkeys(replaced))})


def _with_parameter(choice: TechniqueChoice, name: str, old: str, value: Scalar) -> TechniqueChoice:
    """An experiment need not write a parameter that has its default."""
    written = choice.parameters.get(name, (value,))
    values = tuple(dict.fromkeys(value if str(v) == old else v for v in written))
    return msgspec.structs.replace(choice, parameters={**choice.parameters, name: values})


def _replaced(values: Iterable[V], old: V, new: tuple[V, ...]) -> tuple[V, ...]:
    """`old` replaced by `new`, each value once, in order."""
    out: list[V] = []
    for value in values:
        out.extend(new if value == old else (value,))
    return tuple(dict.fromkeys(out))
