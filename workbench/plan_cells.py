"""The cells of an experiment: every combination resolved, with what stands against it and what it needs.

Pure; any thread. Called by `workbench.plan.make_plan`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import msgspec

from engines.protocol.messages import Device, ProbeResult
from engines.protocol.orders import EngineId, EngineOrder, Scalar, TaskName, TechniqueOrder, WorkloadOrder
from engines.techniques import Axis, MachineFacts, Technique, axes, find, techniques
from engines.techniques.gguf import SEQUENCES, STORED
from workbench.experiment import Experiment, TechniqueChoice
from workbench.fit import estimate_memory, estimate_once_seconds, estimate_seconds, weight_bytes
from workbench.hashes import configuration_hash
from workbench.labels import technique_title
from workbench.machine import machine_facts
from workbench.plan_types import Configuration, ResolvedModel
from workbench.plan_workload import FoundPrompts
from workbench.problems import Fix, Problem
from workbench.units import format_bytes

TIGHT = 0.10
"""Less than this share of the free memory left over is worth a warning."""
PRECISE_TRIALS = 10
"""From so many trials on, an experiment is a precise one."""
_OTHER_TECHNIQUES = 2
"""How many other techniques a problem offers at most."""

INSTALL = "install"
"""Path of a fix that installs packages (its value: their names); see `workbench.fixes`."""

DEFAULT_ENGINE: EngineId = "transformers"
_FULL_CACHE = "kv_cache.full"

Chosen = tuple[TechniqueOrder, ...]


def count_cells(experiment: Experiment, models: int, devices: int) -> int:
    """How many cells the cross product has, without making them."""
    load = experiment.workload
    combinations = math.prod(
        sum(math.prod(len(values) for values in c.parameters.values()) for c in choices)
        for choices in _by_axis(experiment).values()
    )
    sweeps = len(load.prompt_tokens) * len(load.new_tokens) * len(load.batch_size) * len(load.depth_tokens)
    return models * devices * combinations * sweeps


def make_cells(
    experiment: Experiment,
    models: Sequence[ResolvedModel],
    devices: Sequence[Device],
    machine: ProbeResult,
    prompts: FoundPrompts | None = None,
) -> Iterator[Configuration]:
    """Models x techniques x workloads x devices, in the order they are written in the experiment."""
    loads = list(_workloads(experiment, prompts))
    facts = {device.id: machine_facts(machine, device) for device in devices}
    for model in models:
        for chosen, load, device in itertools.product(_combinations(experiment, model), loads, devices):
            engine = engine_order(experiment, engine_of(experiment, chosen), device.id)
            yield _cell(experiment, model, chosen, load, engine, device, facts[device.id], len(devices) > 1)


def engine_of(experiment: Experiment, chosen: Chosen) -> EngineId:
    """The engine that the experiment names, or ("auto") the first that can apply all the techniques; where there is
    none, the first technique's own, and the cell says what stands against it."""
    written = experiment.engine.id
    if written != "auto":
        return cast("EngineId", written)
    able = [technique.engines for order in chosen if (technique := find(order.id)) is not None]
    if not able:
        return DEFAULT_ENGINE
    return next((engine for engine in able[0] if all(engine in engines for engines in able)), able[0][0])


def engine_order(experiment: Experiment, engine: EngineId, device: str) -> EngineOrder:
    """The settings of one engine; those it does not have stay at their defaults, so that they change no hash."""
    settings, trials = experiment.engine, experiment.run.trials
    if engine == "llama.cpp":
        return EngineOrder(
            id=engine,
            threads=settings.threads,
            batch_tokens=settings.batch_tokens,
            micro_batch_tokens=min(settings.micro_batch_tokens, settings.batch_tokens),
            flash_attention=cast("Literal['auto', 'on', 'off']", settings.flash_attention),
            gpu_layers=settings.gpu_layers,
            memory_map=settings.memory_map,
        )
    return EngineOrder(
        id=engine,
        threads=settings.threads,
        attention=settings.attention,
        start_method=start_method(settings.start_method, trials, device),
    )


def start_method(written: str, trials: int, device: str) -> Literal["plain", "template"]:
    """How workers of transformers are started. "auto": from a template for quick and standard runs on a processor;
    plainly for precise ones (ten trials and more), whose cold-start figures count, and on GPUs, where nobody has tried
    a fork yet. llama.cpp is imported in a fraction of a second and always starts plainly."""
    wanted = written == "template" or (written == "auto" and trials < PRECISE_TRIALS and device == "cpu")
    return "template" if wanted else "plain"


def _by_axis(experiment: Experiment) -> dict[str, list[TechniqueChoice]]:
    """Choices of every axis: those the experiment names, in its order, and the default of the others."""
    found: dict[str, list[TechniqueChoice]] = {}
    for choice in experiment.techniques:
        found.setdefault(choice.id.partition(".")[0], []).append(choice)
    for axis in axes():
        if axis.id not in found and find(axis.default) is not None:
            found[axis.id] = [TechniqueChoice(axis.default)]
    return found


def _combinations(experiment: Experiment, model: ResolvedModel) -> Iterator[Chosen]:
    """Every combination of one technique of each axis."""
    named = {choice.id.partition(".")[0] for choice in experiment.techniques}
    known = {axis.id: axis for axis in axes()}
    per_axis: list[list[TechniqueOrder]] = []
    for axis, choices in _by_axis(experiment).items():
        if axis not in named:
            choices = [TechniqueChoice(default_technique(known[axis], model.facts.kind))]
        per_axis.append([order for choice in choices for order in _resolved(choice)])
    return itertools.product(*per_axis)


def default_technique(axis: Axis, kind: str) -> str:
    """Id of what runs on an axis that the experiment does not name, for a model of this kind: of a GGUF file the
    precision it has."""
    return STORED if axis.id == "precision" and kind == "gguf" else axis.default


def _resolved(choice: TechniqueChoice) -> Iterator[TechniqueOrder]:
    """One order for every combination of the swept parameters, defaults filled in."""
    technique = find(choice.id)
    defaults: dict[str, Scalar] = technique.defaults() if technique else {}
    names = tuple(choice.parameters)
    for values in itertools.product(*choice.parameters.values()):
        yield TechniqueOrder(id=choice.id, parameters=defaults | dict(zip(names, values, strict=True)))


def _workloads(experiment: Experiment, prompts: FoundPrompts | None) -> Iterator[WorkloadOrder]:
    load = experiment.workload
    sweep = itertools.product(load.prompt_tokens, load.new_tokens, load.batch_size, load.depth_tokens)
    for prompt, new, batch, depth in sweep:
        yield WorkloadOrder(
            task=cast("TaskName", load.task),
            prompt_tokens=prompt,
            new_tokens=new,
            batch_size=batch,
            depth_tokens=depth,
            prompt_file=prompts.path if prompts else load.prompt_file,
            prompt_file_hash=prompts.hash if prompts else "",
            requests=load.requests,
            window_s=load.window_s,
            warmup_requests=load.warmup_requests,
            perplexity_tokens=load.perplexity_tokens,
            text_tokens=load.text_tokens,
            tasks=load.tasks,
            task_samples=load.task_samples,
            idle_s=load.idle_s,
            prefill_energy_s=load.prefill_energy_s,
        )


def _cell(
    experiment: Experiment,
    model: ResolvedModel,
    chosen: Chosen,
    load: WorkloadOrder,
    engine: EngineOrder,
    device: Device,
    machine: MachineFacts,
    many_devices: bool,
) -> Configuration:
    if not model.quality_available:
        load = msgspec.structs.replace(load, perplexity_tokens=0, text_tokens=0, tasks=())
    what = configuration_hash(model.order, chosen, load, engine)
    cell = Configuration(
        hash=f"{what}@{device.id}" if many_devices else what,
        title=_title(experiment, model, chosen, load, device if many_devices else None),
        model=model.order,
        techniques=chosen,
        workload=load,
        engine=engine,
        machine="this",
        device=device.id,
        color=0,
        memory=estimate_memory(model.facts, chosen, load, engine, machine),
        expected_s=estimate_seconds(model.facts, chosen, load, engine, machine),
        once_s=estimate_once_seconds(model.facts, chosen, load, engine, machine),
    )
    problems = (
        *_obstacles(cell, model, machine, experiment),
        *_made_first(cell, model, machine),
        *_context(cell, model),
        *_llama_limits(cell),
        *_memory(cell, model, machine, experiment),
        *_quality(cell, model, experiment),
    )
    return msgspec.structs.replace(cell, problems=problems)


def _title(
    experiment: Experiment, model: ResolvedModel, chosen: Chosen, load: WorkloadOrder, device: Device | None
) -> str:
    """ "SmolLM2-135M-Instruct · int8 · 512 in": the axes the experiment names and what varies in the workload."""
    named = {choice.id.partition(".")[0] for choice in experiment.techniques}
    parts = [
        model.order.title,
        *(technique_title(t.id, t.parameters) for t in chosen if t.id.partition(".")[0] in named),
    ]
    swept = experiment.workload
    if len(swept.prompt_tokens) > 1:
        parts.append(f"{load.prompt_tokens} in")
    if len(swept.new_tokens) > 1:
        parts.append(f"{load.new_tokens} out")
    if len(swept.batch_size) > 1:
        parts.append(f"batch {load.batch_size}")
    if len(swept.depth_tokens) > 1:
        parts.append(f"depth {load.depth_tokens}")
    if device is not None:
        parts.append(device.title)
    return " · ".join(parts)


def _obstacles(
    cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment
) -> Iterator[Problem]:
    for order in cell.techniques:
        technique = find(order.id)
        if technique is None:
            yield _error(cell, f"The technique {order.id} is not installed.", fixes=_leave_out())
            continue
        if cell.engine.id not in technique.engines:
            reason: str | None = f"The engine {cell.engine.id} cannot do {technique.title}."
        else:
            reason = technique.cannot_apply(model.facts, machine)
        if reason:
            fixes = (
                *_install(cell, technique, model, machine),
                *_other_techniques(cell, technique, model, machine, experiment),
                *_leave_out(),
            )
            yield _error(cell, reason, fixes=fixes)
            continue
        note = technique.note(model.facts, machine)
        if note:
            yield Problem(severity="note", place=cell.title, message=note)


def _install(cell: Configuration, technique: Technique, model: ResolvedModel, machine: MachineFacts) -> tuple[Fix, ...]:
    """Where only packages are missing: a fix that no change of the experiment makes, the window's sheet does."""
    missing = technique.lacking(machine)
    if not missing or cell.engine.id not in technique.engines or technique.against(model.facts, machine):
        return ()
    what = "llama.cpp" if "llama-cpp-python" in missing else missing[0]
    return (Fix(f"Install {what}", INSTALL, missing),)


def _made_first(cell: Configuration, model: ResolvedModel, machine: MachineFacts) -> Iterator[Problem]:
    """The file that an engine makes before its first trial; only the engine knows whether it is there already."""
    order = next((t for t in cell.techniques if t.id.startswith("precision.")), None)
    technique = find(order.id) if order is not None else None
    if technique is None or cell.engine.id != "llama.cpp" or technique.id == STORED:
        return
    if cell.engine.id not in technique.engines or technique.cannot_apply(model.facts, machine):
        return
    size = weight_bytes(model.facts, cell.techniques, machine)
    about = f", about {format_bytes(size)}" if size else ""
    yield Problem(
        severity="note",
        place=cell.title,
        message=f"{technique.title} is made first{about}, unless it is there.",
        hint="The first trial writes the GGUF file into the cache and says so in its phase “convert”; later ones use "
        "it.",
    )


def _context(cell: Configuration, model: ResolvedModel) -> Iterator[Problem]:
    """More tokens than the model was made for."""
    limit, load = model.facts.context_tokens, cell.workload
    if load.depth_tokens and cell.engine.id == "transformers":
        yield _error(cell, "The transformers engine cannot start at a context depth yet.", fixes=_leave_out())
    over = load.depth_tokens + load.prompt_tokens + load.new_tokens - limit
    if not limit or over <= 0:
        return
    fixes: list[Fix] = []
    # the depth first: what is measured stays what it was
    if (shorter := load.depth_tokens - over) >= 0:
        fixes.append(Fix(f"Depth {shorter}", f"workload.depth_tokens.{load.depth_tokens}", shorter))
    elif (shorter := load.prompt_tokens - over) > 0:
        fixes.append(Fix(f"Prompt {shorter}", f"workload.prompt_tokens.{load.prompt_tokens}", shorter))
    elif (shorter := load.new_tokens - over) > 0:
        fixes.append(Fix(f"{shorter} new tokens", f"workload.new_tokens.{load.new_tokens}", shorter))
    deep = f"A depth of {load.depth_tokens:,}, " if load.depth_tokens else ""
    message = (
        f"{deep}{load.prompt_tokens:,} prompt and {load.new_tokens:,} new tokens are more than the {limit:,} "
        f"that {model.order.title} can hold."
    )
    yield _error(cell, message, fixes=(*fixes, *_leave_out()))


def _llama_limits(cell: Configuration) -> Iterator[Problem]:
    """What llama.cpp's engine refuses whatever the model is (`engines.llama.preflight`): known before anything runs."""
    engine, batch = cell.engine, cell.workload.batch_size
    if engine.id != "llama.cpp":
        return
    if batch > SEQUENCES:
        fewer = Fix(f"Batch {SEQUENCES}", f"workload.batch_size.{batch}", SEQUENCES)
        message = f"llama.cpp holds at most {SEQUENCES} sequences, not {batch:,}."
        yield _error(cell, message, fixes=(fewer, *_leave_out()))
    elif batch > engine.batch_tokens:
        more = Fix(f"Batch tokens {batch}", "engine.batch_tokens", batch)
        message = f"{batch:,} sequences cannot go on with {engine.batch_tokens:,} tokens submitted at once."
        yield _error(cell, message, fixes=(more, *_leave_out()))
    cache = next((t.id for t in cell.techniques if t.id.startswith("kv_cache.")), _FULL_CACHE)
    technique = find(cache)
    if engine.flash_attention == "off" and cache != _FULL_CACHE and technique is not None:
        chosen = Fix("Flash attention auto", "engine.flash_attention", "auto")
        full = Fix("Use full", f"techniques.{technique.axis}.{technique.short}", _FULL_CACHE)
        message = f"{technique.title} needs flash attention, which this experiment turns off."
        yield _error(cell, message, fixes=(chosen, full, *_leave_out()))


def _memory(
    cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment
) -> Iterator[Problem]:
    needed, free = cell.memory.needed, cell.memory.device_free
    if model.facts.parameters <= 0 or free <= 0:
        return  # nothing is known of the model, or of the device
    if needed > free:
        batch = cell.workload.batch_size // 2
        while batch and not _fits(cell, model, machine, batch=batch):
            batch //= 2
        fixes: list[Fix] = []
        if batch:
            fixes.append(Fix(f"Batch {batch}", f"workload.batch_size.{cell.workload.batch_size}", batch))
        storing = (find(order.id) for order in cell.techniques)
        for technique in [t for t in storing if t is not None and t.changes != "none"]:
            fixes.extend(_other_techniques(cell, technique, model, machine, experiment, must_fit=True))
        hint = f"Estimated: it needs {format_bytes(needed)}; {format_bytes(free)} are free."
        yield _error(cell, f"{format_bytes(needed - free)} too large.", hint, (*fixes, *_leave_out()))
    elif needed > free * (1 - TIGHT):
        yield Problem(
            severity="warning",
            place=cell.title,
            message=f"Only {format_bytes(free - needed)} of memory would be left.",
            hint="This is an estimate: it may not fit.",
        )


def _quality(cell: Configuration, model: ResolvedModel, experiment: Experiment) -> Iterator[Problem]:
    wanted = experiment.workload
    if model.quality_available:
        return
    if model.order.kind == "random":
        if wanted.perplexity_tokens or wanted.text_tokens or wanted.tasks:
            message = "Quality is not measured: the weights are random. Speed and memory are true."
            yield Problem(severity="note", place=cell.title, message=message)
        return
    if cell.engine.id == "llama.cpp":
        return  # it cannot apply: the technique says so
    yield Problem(
        severity="warning",
        place=cell.title,
        message="The model has no tokenizer: its prompts are random tokens, and quality is not measured. Speed and "
        "memory are true.",
        hint="Put the tokenizer's files (tokenizer.json or tokenizer.model) into the model's folder.",
    )


def _other_techniques(
    cell: Configuration,
    blocked: Technique,
    model: ResolvedModel,
    machine: MachineFacts,
    experiment: Experiment,
    *,
    must_fit: bool = False,
) -> tuple[Fix, ...]:
    """Techniques of the same axis that would work and are not in the experiment already."""
    taken = {choice.id for choice in experiment.techniques} | {blocked.id}
    fixes: list[Fix] = []
    for other in techniques(blocked.axis):
        if other.id in taken or cell.engine.id not in other.engines or other.cannot_apply(model.facts, machine):
            continue
        if must_fit and not _fits(cell, model, machine, technique=other):
            continue
        fixes.append(Fix(f"Use {other.short}", f"techniques.{blocked.axis}.{blocked.short}", other.id))
    return tuple(fixes[:_OTHER_TECHNIQUES])


def _fits(
    cell: Configuration,
    model: ResolvedModel,
    machine: MachineFacts,
    *,
    batch: int | None = None,
    technique: Technique | None = None,
) -> bool:
    """Whether the cell would fit with another batch size or another technique on that technique's axis."""
    load, chosen = cell.workload, cell.techniques
    if batch is not None:
        load = msgspec.structs.replace(load, batch_size=batch)
    if technique is not None:
        other = TechniqueOrder(id=technique.id, parameters=technique.defaults())
        chosen = tuple(other if t.id.partition(".")[0] == technique.axis else t for t in chosen)
    return estimate_memory(model.facts, chosen, load, cell.engine, machine).fits


def _leave_out() -> tuple[Fix, ...]:
    return (Fix("Leave out", "skip"),)


def _error(cell: Configuration, message: str, hint: str = "", fixes: tuple[Fix, ...] = ()) -> Problem:
    return Problem(severity="error", place=cell.title, message=message, hint=hint, fixes=fixes)
