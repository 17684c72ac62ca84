"""From an experiment to configurations, and from configurations to blocks of trials.

Pure but for the facts it is given: models are inspected by `workbench.models.lookup`, machines by the runner's probe.
Any thread. The cells of the cross product come from `workbench.plan.cells`.
"""

from __future__ import annotations

import itertools
import random
import secrets
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from engines.protocol.codec import order_of
from engines.protocol.messages import Device, ProbeResult
from engines.protocol.orders import Inference, Limits, TelemetryOrder, TrialOrder
from workbench.experiment.experiment import MAX_SEED, MAX_TRIALS, Experiment
from workbench.experiment.problems import Fix, Problem
from workbench.machines.facts import best_device, find_device, machine_facts
from workbench.models.titles import distinct
from workbench.plan.cells import count_cells, make_cells
from workbench.plan.history import NOTHING_KNOWN, History, with_times_learned
from workbench.plan.identity import matches
from workbench.plan.memory import FORMULA
from workbench.plan.trained_first import OwnFound, after, first_in_each_block, held_back, train_first
from workbench.plan.types import Configuration, MemoryEstimate, Plan, ResolvedModel
from workbench.plan.workload import Found, needs_network, own_problems, task_problems
from workbench.store.operations import ConfigurationRow

__all__ = [
    "Configuration",
    "History",
    "MemoryEstimate",
    "Plan",
    "ResolvedModel",
    "another_order",
    "block_order",
    "command_line",
    "machine_facts",
    "make_plan",
    "new_id",
    "orders",
    "stored_order",
    "with_seed",
]

MAX_CONFIGURATIONS = 1000
MAX_EXPERIMENT_TRIALS = 20_000


def make_plan(
    experiment: Experiment,
    models: Mapping[str, ResolvedModel | Problem],
    machine: ProbeResult,
    history: History = NOTHING_KNOWN,
    own: Found | Problem | None = None,
    own_of_trained: Mapping[str, OwnFound] = MappingProxyType({}),
) -> Plan:
    """The plan of an experiment. `models` maps every ref of the experiment, and what it trains first; `history` is what
    trials of this machine took and needed; `own` is what `workbench.plan.workload.find_own` found, `own_of_trained` the
    same of what is trained first, by name."""
    problems = [*own_problems(experiment, own), *task_problems(experiment, machine)]
    unusable = any(p.severity == "error" for p in problems)
    devices = _devices(experiment, machine, problems)
    first = train_first(experiment, models, devices, machine, history, own_of_trained)
    problems.extend(first.problems)
    resolved = _models(experiment, {**models, **first.models}, problems)
    cells = count_cells(experiment, len(resolved), len(devices))
    if cells > MAX_CONFIGURATIONS:
        problems.append(
            _wrong(
                experiment,
                f"The sweeps multiply to {cells:,} configurations; {MAX_CONFIGURATIONS:,} is the most.",
                "Sweep fewer values at a time.",
            )
        )
        made: Iterable[Configuration] = ()
    else:
        found = None if isinstance(own, Problem) else own
        made = make_cells(experiment, resolved, devices, machine, found, history.memory)
    # what is trained first comes last in the list: the first one is what others are compared with
    configurations = _unique(itertools.chain(made, first.cells), experiment, problems)
    configurations = with_times_learned(configurations, history.durations)
    skipped = _skipped(experiment, configurations, problems if all(m.identified for m in resolved) else [])
    configurations = held_back(configurations, first.cells, skipped)
    runnable = [c for c in configurations if c.runnable and c.hash not in skipped and not unusable]
    blocks = _blocks(experiment, len(runnable), problems)
    order = block_order(experiment.seed or 0, blocks, [c.hash for c in runnable])
    trains = tuple(cell.hash for cell in first.cells)
    if experiment.run.stop_at_ratio is not None:
        from workbench.statistics.stopping import problems_of  # late: numpy is nothing for a window that starts

        problems.extend(problems_of(experiment, len(runnable)))
    if len(history.losses) > 1:
        from workbench.plan.seeds import seeds_note  # late, as above

        note = seeds_note(experiment, [c.hash for c in runnable], history.losses, blocks)
        problems.extend([note] if note is not None else [])
    if configurations and not runnable and not unusable:
        problems.append(_wrong(experiment, "No configuration can run: each has a problem or was left out."))
    return Plan(
        experiment=experiment,
        configurations=configurations,
        skipped=skipped,
        order=first_in_each_block(order, trains),
        first=trains,
        problems=tuple(problems),
        expected_s=sum(c.expected_s * blocks + c.once_s for c in runnable),
        low_s=sum(c.low_s * blocks + c.once_s for c in runnable),
        high_s=sum(c.high_s * blocks + c.once_s for c in runnable),
        identified=all(m.identified for m in (*resolved, *models.values()) if isinstance(m, ResolvedModel)),
    )


def with_seed(plan: Plan) -> Plan:
    """The plan as it is run: where the experiment names no seed, with one drawn for this run, and its order."""
    if plan.experiment.seed is not None:
        return plan
    seed = secrets.randbelow(MAX_SEED + 1)
    runs = {hash for _, hash in plan.order}
    hashes = [c.hash for c in plan.configurations if c.hash in runs]
    return msgspec.structs.replace(
        plan,
        experiment=msgspec.structs.replace(plan.experiment, seed=seed),
        order=first_in_each_block(block_order(seed, plan.trials // max(1, len(hashes)), hashes), plan.first),
    )


def orders(plan: Plan, *, store: str, experiment: str) -> tuple[TrialOrder, ...]:
    """One order per trial of a plan `with_seed`, with fresh trial ids, in running order (the ids sort in that order
    too)."""
    run, engine, seed = plan.experiment.run, plan.experiment.engine, plan.experiment.seed
    if seed is None:
        raise ValueError("the experiment has no seed: with_seed(plan) draws one")
    now_ms = time.time_ns() // 1_000_000
    by_hash = {c.hash: c for c in plan.configurations}
    trials = [_id("t", now_ms + position) for position in range(plan.trials)]
    in_block: dict[int, dict[str, str]] = {}
    for trial, (block, hash) in zip(trials, plan.order, strict=True):
        in_block.setdefault(block, {})[hash] = trial
    return tuple(
        TrialOrder(
            trial=trials[position],
            after=after(cell, by_hash, in_block[block]),
            experiment=experiment,
            store=store,
            configuration=cell.hash,
            title=cell.title,
            block=block,
            position=position,
            total=plan.trials,
            seed=seed,
            experiment_title=plan.experiment.name,
            color=cell.color,
            model=cell.model,
            techniques=cell.techniques,
            workload=cell.workload,
            engine=cell.engine,
            device=cell.device,
            telemetry=TelemetryOrder(enabled=run.telemetry_hz > 0, rate_hz=run.telemetry_hz or 10.0),
            limits=Limits(address_space_bytes=engine.memory_limit_bytes, time_s=engine.time_limit_s),
            expected_s=cell.expected_s + (cell.once_s if block == 0 else 0.0),
            expected_bytes=cell.memory.by_formula,
            expected_by=FORMULA,
            allow_network=cell.model.kind == "hub" or _needs_network(cell),
        )
        for position, (block, cell) in enumerate((block, by_hash[hash]) for block, hash in plan.order)
    )


def _needs_network(cell: Configuration) -> bool:
    return isinstance(cell.workload, Inference) and needs_network(cell.workload.tasks)


def another_order(of: ConfigurationRow, *, block: int, position: int, seed: int) -> TrialOrder:
    """One more trial of a stored configuration."""
    return msgspec.structs.replace(stored_order(of), trial=new_id("t"), block=block, position=position, seed=seed)


def stored_order(of: ConfigurationRow) -> TrialOrder:
    """What a stored configuration runs, of no trial yet."""
    fields = msgspec.json.decode(of.resolved, type=dict[str, object])
    return order_of(fields | {"trial": "", "block": 0, "position": 0, "seed": 0})


def new_id(prefix: str) -> str:
    """A new identifier that sorts by time: "t-019a2b3c4d5e-7f3a9c01"."""
    return _id(prefix, time.time_ns() // 1_000_000)


def command_line(experiment: Experiment, path: Path | None) -> str:
    """The command that does the same as the window's Run; an unsaved experiment gets the name it would be saved by."""
    if path is not None:
        return f"llm-workbench run {shlex.quote(str(path))}"
    stem = "-".join("".join(c if c.isalnum() else " " for c in experiment.name).split()).lower() or "untitled"
    return f"llm-workbench run {shlex.quote(f'{stem}.toml')}"


def _id(prefix: str, milliseconds: int) -> str:
    return f"{prefix}-{milliseconds:012x}-{secrets.token_hex(4)}"


def _wrong(experiment: Experiment, message: str, hint: str = "", fixes: tuple[Fix, ...] = ()) -> Problem:
    return Problem(severity="error", place=experiment.name, message=message, hint=hint, fixes=fixes)


def _models(
    experiment: Experiment, models: Mapping[str, ResolvedModel | Problem], problems: list[Problem]
) -> list[ResolvedModel]:
    if not experiment.models:
        hint = 'Choose one in Setup, or write models = ["smollm2-135m-instruct"].'
        problems.append(_wrong(experiment, "No model is chosen.", hint))
    found: list[ResolvedModel] = []
    for ref in experiment.models:
        model = models.get(ref)
        if isinstance(model, ResolvedModel):
            problems.extend(model.problems)
            found.append(model)
        else:
            problems.append(model or Problem(severity="error", place=ref, message="The model was not looked up."))
    return distinct(found)


def _devices(experiment: Experiment, machine: ProbeResult, problems: list[Problem]) -> list[Device]:
    """The devices the experiment names, each once."""
    listed = ", ".join(f"this/{d.id}" for d in machine.devices)
    if not experiment.run.machines:
        problems.append(_wrong(experiment, "No machine is chosen.", 'Write machines = ["this"].'))
    found: dict[str, Device] = {}
    for name in experiment.run.machines:
        host, _, device_name = name.partition("/")
        device = find_device(machine, device_name) if device_name else best_device(machine)
        if host != "this" or device is None:
            hint = f"There is: {listed}." if listed else "The machine reported no device at all."
            fix = (Fix('Use "this"', "run.machines", ("this",)),) if name != "this" else ()
            problems.append(_wrong(experiment, f"There is no device {name!r} on this computer.", hint, fix))
        else:
            found.setdefault(device.id, device)
    return list(found.values())


def _unique(
    cells: Iterable[Configuration], experiment: Experiment, problems: list[Problem]
) -> tuple[Configuration, ...]:
    """Each hash once (two names of the same model make the same cells), colours by place."""
    found: dict[str, Configuration] = {}
    for cell in cells:
        first = found.get(cell.hash)
        if first is None:
            found[cell.hash] = msgspec.structs.replace(cell, color=len(found))
        elif first.model.ref != cell.model.ref:
            message = f"{cell.model.ref} is the same model as {first.model.ref}: {cell.title} runs once."
            problems.append(Problem(severity="warning", place=experiment.name, message=message))
    return tuple(found.values())


def _skipped(experiment: Experiment, cells: Sequence[Configuration], problems: list[Problem]) -> tuple[str, ...]:
    written = experiment.run.skip
    for hash in written:
        if not any(matches(c.hash, hash) for c in cells):
            message = f"run.skip names {hash}, which is no configuration of this experiment."
            forget = Fix("Forget it", "run.skip", tuple(other for other in written if other != hash))
            problems.append(Problem(severity="note", place=experiment.name, message=message, fixes=(forget,)))
    return tuple(c.hash for c in cells if any(matches(c.hash, hash) for hash in written))


def _blocks(experiment: Experiment, configurations: int, problems: list[Problem]) -> int:
    trials = min(experiment.run.trials, MAX_TRIALS)
    if trials * configurations <= MAX_EXPERIMENT_TRIALS:
        return trials
    problems.append(
        _wrong(
            experiment,
            f"{configurations:,} configurations in {trials:,} blocks are {trials * configurations:,} trials; "
            f"{MAX_EXPERIMENT_TRIALS:,} is the most.",
            "Fewer repetitions or fewer configurations.",
            (Fix("5 trials each", "run.trials", 5),) if 5 * configurations <= MAX_EXPERIMENT_TRIALS else (),
        )
    )
    return 0


def block_order(seed: int, blocks: int, hashes: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """(block, hash) in running order. Every block runs each configuration once; blocks come in mirrored pairs, each
    pair an order by lot and the same backwards, so that a steady drift falls on all configurations alike
    (docs/statistics.md compares the designs)."""
    order: list[tuple[int, str]] = []
    for block in range(blocks):
        row = list(hashes)
        random.Random(f"{seed}/{block // 2}").shuffle(row)
        order.extend((block, hash) for hash in (reversed(row) if block % 2 else row))
    return tuple(order)
