"""What stands against a cell of a plan, and what is worth knowing of it: each problem with its fixes.

Pure; any thread. Called by `workbench.plan.cells`. The engines look at the same again before they run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from engines.catalogue import does, engines, engines_for, refusal
from engines.catalogue import find as find_engine
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import AnyTraining, Inference, TechniqueOrder, Training
from engines.protocol.problems import Fix, Problem
from engines.protocol.settings import settings_of
from engines.protocol.work import sequences_of, tag_of
from engines.techniques import MachineFacts, ModelFacts, Technique, Use, find, techniques
from engines.techniques.chosen import precision_of
from engines.techniques.finetune import FINETUNE, method_of, trained_parameters
from engines.techniques.gguf import STORED
from workbench.experiment.experiment import Experiment
from workbench.machines.machine import THIS
from workbench.plan.built import notes_of_building
from workbench.plan.memory import estimate_memory, weight_bytes
from workbench.plan.memory.changes import Case, Change, fitting_changes, largest
from workbench.plan.training_rules import training_obstacles
from workbench.plan.types import Configuration
from workbench.units import format_bytes, format_count

TIGHT = 0.10
"""Less than this share of the free memory left over is worth a warning."""
_OTHER_TECHNIQUES = 2
"""How many other techniques a problem offers at most."""

INSTALL = "install"
"""Path of a fix that installs packages (its value: their names); see `workbench.experiment.fixes`."""


def problems_of(
    cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment
) -> tuple[Problem, ...]:
    """Everything at once; with an error among them the cell does not run."""
    if model.facts.unfit:
        return (_error(cell, model.facts.unfit, "Choose a model made for text generation.", _leave_out()),)
    return (
        *_of_engine(cell, model),
        *_work(cell, model, machine),
        *_obstacles(cell, model, machine, experiment),
        *_made_first(cell, model, machine),
        *_context(cell, model),
        *_memory(cell, model, machine, experiment),
        *_quality(cell, model, experiment),
        *_data(cell, model),
        *notes_of_building(cell.title, model, machine.device_kind),
    )


def _obstacles(
    cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment
) -> Iterator[Problem]:
    engine, kind = find_engine(cell.engine.id), tag_of(type(cell.workload))
    if engine is None:
        return
    for order in cell.applied:
        technique = find(order.id)
        if technique is None:
            yield _error(cell, f"The technique {order.id} is not installed.", fixes=_leave_out())
            continue
        if order not in cell.techniques and not _has_axis(cell.engine.id, technique.axis):
            continue  # a precision that nobody named, of an engine that has none
        refused = refusal(engine, technique, kind if kind in technique.works else "")
        if refused is not None:
            reason: str | None = refused.message
        else:
            known = _facts(technique, model)
            reason = technique.cannot_apply(known, machine) or technique.conflict(known, _use(cell, order))
        if reason:
            fixes = (
                *_install(cell, technique, model, machine),
                *_switched_off(reason, technique, model, _use(cell, order)),
                *_other_techniques(cell, technique, model, machine, experiment),
                *_leave_out(),
            )
            yield _error(cell, reason, refused.hint if refused is not None else "", fixes)
            continue
        note = technique.note(model.facts, machine)
        if note:
            yield Problem(severity="note", place=cell.title, message=note)


def _facts(technique: Technique, model: ResolvedModel) -> ModelFacts:
    """What a technique is judged by: one that changes the config, by the shape it finds."""
    return model.shape if technique.stage == "config" and model.shape is not None else model.facts


def _use(cell: Configuration, order: TechniqueOrder) -> Use:
    technique = find(order.id)
    parameters = {**(technique.defaults() if technique is not None else {}), **order.parameters}
    beside = tuple(other.id for other in cell.techniques)
    return Use(parameters, precision_of(cell.model, cell.techniques).id, cell.workload, beside)


def _switched_off(reason: str, technique: Technique, model: ResolvedModel, use: Use) -> Iterator[Fix]:
    """What of the work stands against a technique and can be turned off."""
    for setting in settings_of(type(use.workload)):
        if setting.type == "bool" and getattr(use.workload, setting.name):
            without = replace(use, workload=msgspec.structs.replace(use.workload, **{setting.name: False}))
            known = _facts(technique, model)
            if technique.conflict(known, use) == reason != technique.conflict(known, without):
                yield Fix(f"{setting.title} off", f"workload.{setting.name}", False)


def _has_axis(engine: str, axis: str) -> bool:
    return any(engine in engines_for(technique) for technique in techniques(axis))


def _work(cell: Configuration, model: ResolvedModel, machine: MachineFacts) -> Iterator[Problem]:
    """Whether the techniques belong to the kind of work, and the engine can do it."""
    kind = tag_of(type(cell.workload))
    engine = find_engine(cell.engine.id)
    if engine is not None and not does(engine, kind):
        yield _error(cell, f"The engine {engine.title} cannot do {kind}.", "Choose another engine.", _leave_out())
    known = [technique for order in cell.techniques if (technique := find(order.id)) is not None]
    for technique in known:
        if kind not in technique.works:
            hint = f"It is for {' and '.join(technique.works)}: set kind in [workload], or leave it out."
            yield _error(cell, f"{technique.title} has no effect on {kind}.", hint, _leave_out())
    if kind == "training" and all(technique.axis != FINETUNE for technique in known):
        hint = "Choose one of the axis Fine-tuning, for example LoRA."
        yield _error(cell, "Training needs a technique that says which parameters it changes.", hint, _leave_out())
    if isinstance(cell.workload, AnyTraining):
        for message, hint, fixes in training_obstacles(cell.workload, machine):
            yield _error(cell, message, hint, (*fixes, *_leave_out()))
        yield from _unused_rate(cell, cell.workload)
        yield from _more_than_the_model(cell, model)


def _more_than_the_model(cell: Configuration, model: ResolvedModel) -> Iterator[Problem]:
    """A rank that is larger than the matrices: nothing stands against it but sense."""
    order = method_of(cell.techniques)
    trained = trained_parameters(model.facts, order) if order is not None else 0
    if trained > model.facts.parameters > 0:
        whole = format_count(model.facts.parameters)
        yield Problem(
            severity="warning",
            place=cell.title,
            message=f"It trains {format_count(trained)} parameters, more than the {whole} of the whole model.",
            hint="Lower the rank: a matrix has no use of one beyond its narrower side.",
        )


def _unused_rate(cell: Configuration, load: AnyTraining) -> Iterator[Problem]:
    """A rate that was set for a method, where the workload sets one for all."""
    order = method_of(cell.techniques)
    method = find(order.id) if order is not None else None
    if order is None or method is None or not load.learning_rate:
        return
    own = order.parameters.get("learning_rate")
    if own not in (None, method.defaults().get("learning_rate"), load.learning_rate):
        yield Problem(
            severity="warning",
            place=cell.title,
            message=f"{method.title} trains at {load.learning_rate:g}, the rate of [workload], not at its own {own}.",
            hint="learning_rate = 0 in [workload] takes each method's own.",
            fixes=(Fix("Each method's own rate", "workload.learning_rate", 0.0),),
        )


def _of_engine(cell: Configuration, model: ResolvedModel) -> Iterator[Problem]:
    """What the engine itself refuses before it is loaded."""
    engine = find_engine(cell.engine.id)
    if engine is None:
        yield _error(cell, f"The engine {cell.engine.id} is not installed.", fixes=_leave_out())
        return
    for obstacle in engine.obstacles(cell, model.facts):
        fixes = tuple(Fix(*fix) for fix in obstacle.fixes) + (_leave_out() if obstacle.severity == "error" else ())
        yield Problem(
            severity=obstacle.severity, place=cell.title, message=obstacle.message, hint=obstacle.hint, fixes=fixes
        )


def _install(cell: Configuration, technique: Technique, model: ResolvedModel, machine: MachineFacts) -> tuple[Fix, ...]:
    """Where only packages are missing: a fix that no change of the experiment makes, the window's sheet does."""
    missing = technique.lacking(machine, model.facts)
    if (
        not missing
        or not set(missing) <= _installable()
        or cell.engine.id not in engines_for(technique)
        or technique.against(_facts(technique, model), machine)
    ):
        return ()
    what = next((e.title for e in engines() if e.packages[:1] == missing[:1]), missing[0])
    return (Fix(f"Install {what}", INSTALL, missing),)


def elsewhere(problem: Problem, machine: str, engine: str) -> Problem:
    """The same of a machine: what is missing on another one is installed by setting that up, not by the window here."""
    missing = next((fix.value for fix in problem.fixes if fix.path == INSTALL), None)
    if machine == THIS or not isinstance(missing, tuple):
        return problem
    return msgspec.structs.replace(
        problem,
        message=f"Needs {' and '.join(map(str, missing))}, which {machine} does not have.",
        hint=f"llm-workbench machines setup {machine} --engines {engine}",
        fixes=tuple(fix for fix in problem.fixes if fix.path != INSTALL),
    )


def _installable() -> set[str]:
    """Packages that this application knows how to install: those of techniques; not every reader of quantised files."""
    return {name for technique in techniques() for name in technique.packages}


def _made_first(cell: Configuration, model: ResolvedModel, machine: MachineFacts) -> Iterator[Problem]:
    """The file that an engine makes before its first trial; only the engine knows whether it is there already."""
    technique = find(precision_of(cell.model, cell.techniques).id)
    engine = find_engine(cell.engine.id)
    if technique is None or engine is None or not engine.converts_models or technique.id == STORED:
        return
    if cell.engine.id not in engines_for(technique) or technique.cannot_apply(model.facts, machine):
        return
    size = weight_bytes(model.facts, cell.applied, machine)
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
    if isinstance(load, AnyTraining) and 0 < limit < load.sequence_tokens:
        what = f"Sequences of {load.sequence_tokens:,} tokens are more than the {limit:,}"
        fix = Fix(f"Sequence {limit}", f"workload.sequence_tokens.{load.sequence_tokens}", limit)
        yield _error(cell, f"{what} that {model.order.title} can hold.", fixes=(fix, *_leave_out()))
    if not isinstance(load, Inference):
        return
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


def _memory(
    cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment
) -> Iterator[Problem]:
    needed, free = cell.memory.needed, cell.memory.device_free
    if model.facts.parameters <= 0:
        return  # nothing is known of the model
    if unknown := model.facts.attention.unknown:
        kept = model.facts.layers * model.facts.kv_heads
        what = (
            "The estimate takes it as if every layer kept every token"
            if kept
            else "The estimate of memory leaves it out"
        )
        message = f"The size of the KV cache is not available: {unknown}. {what}."
        yield Problem(severity="note", place=cell.title, message=message)
    if free <= 0:
        return  # nothing is known of the device
    if needed > free:
        fixes = [*_smaller(cell, model, machine, experiment)]
        storing = (find(order.id) for order in cell.applied)
        for technique in [t for t in storing if t is not None and t.changes != "none"]:
            fixes.extend(_other_techniques(cell, technique, model, machine, experiment, must_fit=True))
        hint = f"Estimated: it needs {format_bytes(needed)}; {format_bytes(free)} are free."
        yield Problem(
            severity="error",
            place=cell.title,
            message=f"{format_bytes(needed - free)} too large.",
            hint=hint,
            fixes=(*fixes, *_leave_out()),
            key="memory",
        )
    elif max(needed / (1 - TIGHT), cell.memory.high) > free:
        said = f": {cell.memory.range_text}" if cell.memory.high else ""
        yield Problem(
            severity="warning",
            place=cell.title,
            message=f"Only {format_bytes(free - needed)} of memory would be left.",
            hint=f"This is an estimate{said}. It may not fit.",
        )


def _smaller(cell: Configuration, model: ResolvedModel, machine: MachineFacts, experiment: Experiment) -> Iterator[Fix]:
    """Changes of the work after which it fits. A sweep only gets a value of its own replaced."""
    load, swept = cell.workload, experiment.workload.sweeps
    if isinstance(load, AnyTraining):
        case = Case(model.facts, cell.applied, load, cell.engine, machine)
        for change in fitting_changes(case, round(cell.memory.device_free / cell.memory.learned_ratio)):
            if not swept.keys() & change.workload.keys():
                yield _as_fix(change, case)
        if not swept.keys() & {"batch_size", "accumulation"}:
            return
    asked = sequences_of(load)
    batch = largest(asked - 1, 1, lambda n: _fits(cell, model, machine, batch=n))
    if batch:
        note = "makes another step: comparable only at the same batch" if isinstance(load, AnyTraining) else ""
        yield Fix(f"Batch {batch}", f"workload.batch_size.{asked}", batch, note)


def _as_fix(change: Change, case: Case) -> Fix:
    method = method_of(case.techniques)
    if change.rank and not change.workload and method is not None:
        return Fix(change.label, f"techniques.{method.id}.rank.{case.rank}", change.rank, change.note)
    return Fix(change.label, "workload", tuple(change.workload.items()), change.note)


def _quality(cell: Configuration, model: ResolvedModel, experiment: Experiment) -> Iterator[Problem]:
    wanted = experiment.workload.inference
    if model.quality_available or wanted is None:
        return
    if model.order.kind == "random":
        if wanted.perplexity_tokens or wanted.text_tokens or wanted.tasks:
            message = "Quality is not measured: the weights are random. Speed and memory are true."
            yield Problem(severity="note", place=cell.title, message=message)
        return
    engine = find_engine(cell.engine.id)
    if engine is not None and engine.converts_models:
        return  # it cannot apply: the technique says so
    yield Problem(
        severity="warning",
        place=cell.title,
        message="The model has no tokenizer: its prompts are random tokens, and quality is not measured. Speed and "
        "memory are true.",
        hint="Put the tokenizer's files (tokenizer.json or tokenizer.model) into the model's folder.",
    )


def _data(cell: Configuration, model: ResolvedModel) -> Iterator[Problem]:
    if isinstance(cell.workload, Training) and cell.workload.data != "built-in" and not model.quality_available:
        yield _error(
            cell,
            f"{model.order.title} has no tokenizer: it cannot read the training data.",
            "Choose a model with its tokenizer, or the built-in data, of which it gets random tokens.",
            (Fix("Use the built-in text", "workload.data", "built-in"), *_leave_out()),
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
        known = _facts(other, model)
        if other.id in taken or cell.engine.id not in engines_for(other) or other.cannot_apply(known, machine):
            continue
        if other.conflict(known, _use(cell, TechniqueOrder(id=other.id))):
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
    load, chosen = cell.workload, cell.applied
    if batch is not None:
        load = msgspec.structs.replace(load, batch_size=batch)
    if technique is not None:
        other = TechniqueOrder(id=technique.id, parameters=technique.defaults())
        chosen = tuple(other if t.id.partition(".")[0] == technique.axis else t for t in chosen)
    estimate = estimate_memory(model.facts, chosen, load, cell.engine, machine)
    return estimate.needed * cell.memory.learned_ratio <= estimate.device_free


def _leave_out() -> tuple[Fix, ...]:
    return (Fix("Leave out", "skip"),)


def _error(cell: Configuration, message: str, hint: str = "", fixes: tuple[Fix, ...] = ()) -> Problem:
    return Problem(severity="error", place=cell.title, message=message, hint=hint, fixes=fixes)
