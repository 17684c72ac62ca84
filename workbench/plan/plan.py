"""From an experiment to configurations, and from configurations to blocks of trials.

Pure but for the facts it is given: models are inspected by `engines.models.lookup`, machines by the runner's probe.
Any thread. The cells of the cross product come from `workbench.plan.cells`.
"""

from __future__ import annotations

import itertools
import random
import secrets
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from engines.data.own import Found
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.codec import order_of
from engines.protocol.messages import Device, ProbeResult
from engines.protocol.orders import Inference, Limits, TelemetryOrder, TrialOrder
from engines.protocol.problems import Fix, Problem
from workbench.experiment.experiment import MAX_SEED, MAX_TRIALS, Experiment
from workbench.machines.facts import best_device, find_device, machine_facts
from workbench.machines.machine import THIS
from workbench.models.titles import distinct
from workbench.plan.cells import count_cells, make_cells
from workbench.plan.history import NOTHING_KNOWN, History, with_times_learned
from workbench.plan.identity import matches
from workbench.plan.memory import FORMULA
from workbench.plan.sites import Site
from workbench.plan.trained_first import TrainedFirst, after, first_in_each_block, held_back, train_first
from workbench.plan.types import Configuration, MemoryEstimate, Plan
from workbench.plan.workload import needs_network, own_problems, task_problems
from workbench.store.operations import ConfigurationRow

__all__ = [
    "Configuration",
    "History",
    "MemoryEstimate",
    "Plan",
    "ResolvedModel",
    "Site",
    "another_order",
    "block_order",
    "command_line",
    "hosts",
    "machine_facts",
    "make_plan",
    "new_id",
    "orders",
    "plan_sites",
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
    own_of_trained: Mapping[str, Found | Problem | None] = MappingProxyType({}),
) -> Plan:
    """The plan of an experiment on this computer alone; the arguments are as in `Site`."""
    return plan_sites(experiment, [Site(machine, models, history, own, own_of_trained)])


def plan_sites(
    experiment: Experiment, sites: Sequence[Site], unreached: Mapping[str, Problem] = MappingProxyType({})
) -> Plan:
    """The plan of an experiment on the machines that it names. `unreached`: why nothing is known of some, by id."""
    problems = list(_unplanned(experiment, sites, unreached))
    parts = [_on_site(experiment, site, titled=len(sites) > 1) for site in sites]
    for part in parts:
        problems.extend(p for p in part.problems if p not in problems)
    problems.extend(_differing(experiment, sites))
    unusable = any(p.severity == "error" for p in problems)
    if sum(part.count for part in parts) > MAX_CONFIGURATIONS:
        unusable = True
        count = sum(part.count for part in parts)
        problems.append(
            _wrong(
                experiment,
                f"The sweeps multiply to {count:,} configurations; {MAX_CONFIGURATIONS:,} is the most.",
                "Sweep fewer values at a time.",
            )
        )
        parts = [replace(part, made=()) for part in parts]
    # what is trained first comes last in the list: the first one is what others are compared with
    first = tuple(cell for part in parts for cell in part.first.cells)
    made = itertools.chain((cell for part in parts for cell in part.made), first)
    configurations = _unique(made, experiment, problems)
    configurations = _with_times(configurations, sites)
    models = [model for part in parts for model in part.models]
    skipped = _skipped(experiment, configurations, problems if all(m.identified for m in models) else [])
    configurations = held_back(configurations, first, skipped)
    runnable = [c for c in configurations if c.runnable and c.hash not in skipped and not unusable]
    blocks = _blocks(experiment, len(runnable), problems)
    order = block_order(experiment.seed or 0, blocks, [c.hash for c in runnable])
    trains = tuple(cell.hash for cell in first)
    if experiment.run.stop_at_ratio is not None:
        from workbench.statistics.stopping import problems_of  # late: numpy is nothing for a window that starts

        problems.extend(problems_of(experiment, len(runnable)))
    losses = {hash: known for site in sites for hash, known in site.history.losses.items()}
    if len(losses) > 1:
        from workbench.plan.seeds import seeds_note  # late, as above

        note = seeds_note(experiment, runnable, losses, blocks)
        problems.extend([note] if note is not None else [])
    if configurations and not runnable and not unusable:
        problems.append(_wrong(experiment, "No configuration can run: each has a problem or was left out."))
    every = (*models, *(m for site in sites for m in site.models.values()))
    return Plan(
        experiment=experiment,
        configurations=configurations,
        skipped=skipped,
        order=first_in_each_block(order, trains),
        first=trains,
        problems=tuple(problems),
        # machines work side by side, each through its own queue
        expected_s=_longest(sites, runnable, lambda c: c.expected_s * blocks + c.once_s),
        low_s=_longest(sites, runnable, lambda c: c.low_s * blocks + c.once_s),
        high_s=_longest(sites, runnable, lambda c: c.high_s * blocks + c.once_s),
        identified=all(m.identified for m in every if isinstance(m, ResolvedModel)),
    )


@dataclass(frozen=True)
class _Part:
    """The cells of one machine."""

    made: Iterable[Configuration]
    first: TrainedFirst
    models: Sequence[ResolvedModel]
    count: int
    problems: Sequence[Problem]


def _on_site(experiment: Experiment, site: Site, *, titled: bool) -> _Part:
    problems = [*own_problems(experiment, site.own), *task_problems(experiment, site.probe, here=site.machine == THIS)]
    devices = _devices(experiment, site, problems)
    first = train_first(experiment, devices, site, titled=titled)
    problems.extend(first.problems)
    models = _models(experiment, {**site.models, **first.models}, problems)
    count = count_cells(experiment, len(models), len(devices))
    found = None if isinstance(site.own, Problem) else site.own
    made = make_cells(experiment, models, devices, site, found, titled=titled) if count <= MAX_CONFIGURATIONS else ()
    if site.machine != THIS:
        problems = [msgspec.structs.replace(p, message=f"On {site.title}: {p.message}") for p in problems]
    return _Part(made, first, models, count, problems)


def _unplanned(experiment: Experiment, sites: Sequence[Site], unreached: Mapping[str, Problem]) -> Iterable[Problem]:
    """What is wrong with the machines that the experiment names."""
    if not experiment.run.machines:
        yield _wrong(experiment, "No machine is chosen.", 'Write machines = ["this"].')
    known = {site.machine for site in sites}
    for host in hosts(experiment):
        if host in unreached:
            yield unreached[host]
        elif host not in known:
            fix = Fix('Use "this"', "run.machines", (THIS,))
            hint = "llm-workbench machines list shows those there are."
            yield _wrong(experiment, f"There is no machine {host!r}.", hint, (fix,))


def _differing(experiment: Experiment, sites: Sequence[Site]) -> Iterable[Problem]:
    """Models that are not the same files on every machine: their figures would not compare the machines."""
    for ref in experiment.models:
        known: dict[str, list[str]] = {}
        for site in sites:
            model = site.models.get(ref)
            if isinstance(model, ResolvedModel) and model.order.kind in ("folder", "gguf") and model.order.fingerprint:
                known.setdefault(model.order.fingerprint, []).append(site.title)
        if len(known) > 1:
            where = "; ".join(" and ".join(titles) for titles in known.values())
            yield Problem(
                severity="warning",
                place=ref,
                message=f"Machines have different files under this name: {where}.",
                hint="They are different models, and their figures do not compare the machines. Give one of them "
                "another name, or name the model by its hub id.",
            )


def hosts(experiment: Experiment) -> tuple[str, ...]:
    """Ids of the machines that the experiment names, each once."""
    return tuple(dict.fromkeys(name.partition("/")[0] for name in experiment.run.machines))


def _with_times(configurations: tuple[Configuration, ...], sites: Sequence[Site]) -> tuple[Configuration, ...]:
    """Each machine's estimates learn from its own trials only."""
    timed = {
        cell.hash: cell
        for site in sites
        for cell in with_times_learned(
            tuple(c for c in configurations if c.machine == site.machine), site.history.durations
        )
    }
    return tuple(timed[c.hash] for c in configurations)


def _longest(
    sites: Sequence[Site], runnable: Sequence[Configuration], seconds: Callable[[Configuration], float]
) -> float:
    return max((sum(seconds(c) for c in runnable if c.machine == site.machine) for site in sites), default=0.0)


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
            more_devices=cell.more_devices,
            machine=cell.machine,
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
        problems.append(
            Problem(severity="error", place=experiment.name, message="No model is chosen.", hint=hint, key="no_model")
        )
    found: list[ResolvedModel] = []
    for ref in experiment.models:
        model = models.get(ref)
        if isinstance(model, ResolvedModel):
            problems.extend(model.problems)
            found.append(model)
        else:
            problems.append(model or Problem(severity="error", place=ref, message="The model was not looked up."))
    return distinct(found)


def _devices(experiment: Experiment, site: Site, problems: list[Problem]) -> list[Device]:
    """The devices of a machine that the experiment names, each once."""
    listed = ", ".join(f"{site.machine}/{d.id}" for d in site.probe.devices)
    found: dict[str, Device] = {}
    for name in experiment.run.machines:
        host, _, device_name = name.partition("/")
        if host != site.machine:
            continue
        device = find_device(site.probe, device_name) if device_name else best_device(site.probe)
        if device is None:
            hint = f"There is: {listed}." if listed else "The machine reported no device at all."
            fix = (Fix(f'Use "{host}"', "run.machines", (host,)),) if name != host else ()
            where = "this computer" if host == THIS else site.title
            problems.append(_wrong(experiment, f"There is no device {name!r} on {where}.", hint, fix))
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
