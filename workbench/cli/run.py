"""`llm-workbench run FILE`: plan, submit, follow, summarise."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engines.protocol.client_environment import client_environment
from engines.protocol.problems import Problem, ProblemsFound
from workbench.cli import OK, TRIALS_FAILED, WRONG
from workbench.cli.progress import Bar, ExperimentFollower
from workbench.cli.tables import print_comparison, print_table
from workbench.comparison.comparison import compare
from workbench.comparison.courses import read_all
from workbench.experiment.experiment import MAX_TRIALS, Experiment
from workbench.experiment.file import load
from workbench.machines.machine import machine_titles
from workbench.plan.plan import MemoryEstimate, Plan
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, GetTrial, ListTrials
from workbench.units import counted, format_bytes, format_count, format_duration, significant

_ALL = 1_000_000


def run(options: argparse.Namespace) -> int:
    """Run an experiment file. Problems of the file and of the plan are all shown at once; nothing has run then."""
    experiment, problems = load(options.file)
    for problem in problems:
        if problem.severity != "error":
            print(f"{problem.severity}: {problem}", file=sys.stderr)
    if experiment is None:
        raise ProblemsFound(tuple(p for p in problems if p.severity == "error"))
    if options.trials is not None:
        experiment = msgspec.structs.replace(
            experiment, run=msgspec.structs.replace(experiment.run, trials=options.trials)
        )
    if options.machine:
        experiment = msgspec.structs.replace(
            experiment, run=msgspec.structs.replace(experiment.run, machines=tuple(options.machine))
        )
    with Workbench(options.database, client="run") as workbench:
        plan = plan_shown(workbench, experiment, options.file.absolute().parent)
        if options.plan:
            return show_plan(plan, as_json=options.json)
        refuse_problems(plan, skip_unfit=options.skip_unfit)
        _say_what_stays_behind()
        if options.detach:
            identity = workbench.run(plan)
            print(json.dumps({"experiment": identity}) if options.json else f"Submitted as {identity}.")
            return OK
        return run_and_follow(workbench, plan, as_json=options.json, export_to=options.export)


def _say_what_stays_behind() -> None:
    names = client_environment()[0].not_passed_on
    if names:
        verb = "is" if len(names) == 1 else "are"
        print(f"note: {', '.join(names)} {verb} not passed on; workers have the runner's own.", file=sys.stderr)


def plan_shown(workbench: Workbench, experiment: Experiment, base: Path) -> Plan:
    """The plan; a bar says how far the reading of models' files is, where they have to be read."""
    with Bar() as bar:
        return workbench.plan(experiment, base, report=bar.show)


def refuse_problems(plan: Plan, *, skip_unfit: bool) -> None:
    """Raise `ProblemsFound` for what would not run, unless the user leaves it out on purpose."""
    errors: list[Problem] = [p for p in plan.problems if p.severity == "error"]
    if not skip_unfit:
        for configuration in plan.configurations:
            if configuration.hash not in plan.skipped:
                errors += [p for p in configuration.problems if p.severity == "error"]
    if errors:
        raise ProblemsFound(tuple(errors))


def run_and_follow(workbench: Workbench, plan: Plan, *, as_json: bool, export_to: Path | None) -> int:
    """Submit, follow to the end, print the comparison. -> exit code"""
    workbench.follow()
    identity = workbench.run(plan)
    if not as_json:
        about = f", about {format_duration(plan.expected_s)}" if plan.expected_s else ""
        print(
            f"{plan.experiment.name}: {counted(plan.trials, 'trials')}{about}. Ctrl+C leaves it running.",
            file=sys.stderr,
        )
    return _follow(workbench, identity, expected_s=plan.expected_s, as_json=as_json, export_to=export_to)


def more(options: argparse.Namespace) -> int:
    """Run further blocks of a stored experiment and follow it to its end."""
    if not 1 <= options.blocks <= MAX_TRIALS:
        print(f"llm-workbench: --blocks is 1 to {MAX_TRIALS:,}, not {options.blocks}.", file=sys.stderr)
        return WRONG
    with Workbench(options.database, client="more") as workbench:
        workbench.catch_up()
        detail = workbench.store.execute(GetExperiment(experiment=options.experiment))
        row = detail.experiment
        if not options.detach:
            workbench.follow()
        before = [t.trial for t in workbench.store.execute(ListTrials(experiment=row.experiment, limit=_ALL))]
        trials = workbench.more_blocks(row.experiment, options.blocks)
        blocks = counted(options.blocks, "more blocks")
        if not options.json:
            print(f"{row.name}: {blocks}, {counted(len(trials), 'trials')}.", file=sys.stderr)
            seeds = training.seeds if (training := compare(detail).training) is not None else None
            if seeds is not None:
                print(seeds.words_with(seeds.run + options.blocks), file=sys.stderr)
        if options.detach:
            if options.json:
                print(json.dumps({"experiment": row.experiment, "trials": trials}))
            return OK
        return _follow(workbench, row.experiment, before, as_json=options.json)


def resume(options: argparse.Namespace) -> int:
    """Continue training trials of one experiment, and follow them to their end."""
    with Workbench(options.database, client="resume") as workbench:
        workbench.catch_up()
        rows = [workbench.store.execute(GetTrial(trial=trial)) for trial in options.trials]
        experiments = {row.experiment for row in rows}
        if len(experiments) > 1:
            print("llm-workbench: These trials belong to several experiments; name those of one.", file=sys.stderr)
            return WRONG
        (experiment,) = experiments
        if not options.detach:
            workbench.follow()
        before = [t.trial for t in workbench.store.execute(ListTrials(experiment=experiment, limit=_ALL))]
        trials = workbench.resume(tuple(row.trial for row in rows))
        new = [workbench.store.execute(GetTrial(trial=trial)).number for trial in trials]
        if not options.json:
            for row, number in zip(rows, new, strict=True):
                print(f"Trial {row.number}, {row.title}, continues as trial {number}.", file=sys.stderr)
        if options.detach:
            if options.json:
                print(json.dumps({"experiment": experiment, "trials": trials}))
            return OK
        return _follow(workbench, experiment, before, as_json=options.json)


def _follow(
    workbench: Workbench,
    identity: str,
    before: Sequence[str] = (),
    *,
    expected_s: float = 0.0,
    as_json: bool,
    export_to: Path | None = None,
) -> int:
    """Follow an experiment to its end and print the comparison. `before`: its trials that are not followed."""
    followed = ExperimentFollower(workbench, identity, expected_s, before).wait()
    trials = [t for t in followed if t.trial not in before]
    detail = workbench.store.execute(GetExperiment(experiment=identity))
    comparison = compare(detail, titles=machine_titles(workbench.places))
    print_comparison(comparison, as_json=as_json)
    if export_to is not None:
        from workbench.export.bundle import export_comparison

        read = read_all(workbench.store, detail) if comparison.training is not None else None
        for path in export_comparison(comparison, export_to, read=read):
            print(path, file=sys.stderr)
    return OK if all(t.outcome == "completed" and t.verdict != "invalid" for t in trials) else TRIALS_FAILED


def show_plan(plan: Plan, *, as_json: bool) -> int:
    """Print every configuration with what it needs and what is wrong with it. -> exit code"""
    errors = any(p.severity == "error" for p in plan.problems) or not plan.order
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(plan)).decode())
        return WRONG if errors else OK
    columns: dict[str, list[str]] = {
        "hash": [c.hash[:8] for c in plan.configurations],
        "configuration": [c.title for c in plan.configurations],
        "device": [c.device for c in plan.configurations],
        "trained": [_trained(c.memory) for c in plan.configurations],
        "needs / free": [
            f"{format_bytes(c.memory.needed)} of {format_bytes(c.memory.device_free)}" for c in plan.configurations
        ],
        "range": [c.memory.range_text for c in plan.configurations],
        "of that": [_by_part(c.memory) for c in plan.configurations],
        "a trial": [c.time_text for c in plan.configurations],
        "problems": [
            "left out" if c.hash in plan.skipped else "; ".join(f"{p.severity}: {p.message}" for p in c.problems)
            for c in plan.configurations
        ],
    }
    shown = {
        name: cells for name, cells in columns.items() if name not in ("trained", "range", "of that") or any(cells)
    }
    print_table(tuple(shown), list(zip(*shown.values(), strict=True)))
    for configuration in plan.configurations:
        changes = dict.fromkeys(change for problem in configuration.problems for change in problem.changes)
        for change in changes if configuration.hash not in plan.skipped else ():
            print(f"{configuration.hash[:8]}: {change}")
    for problem in plan.problems:
        print(f"{problem.severity}: {problem}")
    most = "at most " if plan.experiment.run.stop_at_ratio is not None else ""
    size = f"{counted(plan.trials, 'trials')} in {counted(plan.experiment.run.trials, 'blocks')}"
    about = f", about {format_duration(plan.expected_s)}" if plan.expected_s else ""
    print(f"{most}{size}{about}")
    return WRONG if errors else OK


def _trained(memory: MemoryEstimate) -> str:
    """ "2.44 M, 1.8 %"; "" where nothing is trained, or it is not known how much."""
    share = memory.trained_share
    return "" if share is None else f"{format_count(memory.trained_parameters)}, {significant(100 * share, 2)} %"


def _by_part(memory: MemoryEstimate) -> str:
    """Of training: what it needs, part by part."""
    if not memory.trained_parameters:
        return ""
    return ", ".join(f"{name} {format_bytes(size)}" for name, size in memory.parts.items())
