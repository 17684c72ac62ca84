"""`llm-workbench list`, `show`, `delete` and `query`: what the database holds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import msgspec

from engines.protocol.codec import decode_record
from engines.protocol.records import Log
from workbench.cli import OK, WRONG
from workbench.cli.tables import print_table
from workbench.comparison.trials import metric_ids, newest
from workbench.export.tables import absences
from workbench.machines.machine import THIS
from workbench.metrics.registry import find
from workbench.running.cleaning import kept_bytes
from workbench.running.workbench import Workbench
from workbench.store.artifacts import artifact_rows, artifacts_of
from workbench.store.operations import (
    GetExperiment,
    GetTrial,
    ListExperiments,
    ListTrials,
    Query,
    ReadRecords,
    TrialRow,
)
from workbench.units import counted, format_bytes, format_duration, format_value

_PATIENCE_S = 5.0
"""For runners elsewhere to hear of what was deleted; one that is off hears of it later."""


def list_(options: argparse.Namespace) -> int:
    """Experiments, newest first; or the trials of one."""
    with Workbench(options.database, client="list") as workbench:
        workbench.catch_up()
        if options.experiment:
            detail = workbench.store.execute(GetExperiment(experiment=options.experiment))
            trials = workbench.store.execute(ListTrials(experiment=detail.experiment.experiment, limit=options.limit))
            if options.json:
                print(msgspec.json.format(msgspec.json.encode(trials)).decode())
            else:
                _print_trials(trials)
            return OK
        experiments = workbench.store.execute(ListExperiments(limit=options.limit))
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(experiments)).decode())
    elif not experiments:
        print("Nothing measured yet. `llm-workbench demo` runs a first comparison.")
    else:
        rows = [(e.number, e.name, e.created_at[:16], e.trials, e.completed, e.failed, e.waiting) for e in experiments]
        header = ("#", "experiment", "created (UTC)", "trials", "completed", "failed", "waiting")
        print_table(header, rows, right=frozenset({0, 3, 4, 5, 6}))
    return OK


def _print_trials(trials: tuple[TrialRow, ...]) -> None:
    rows = [
        (
            t.number,
            t.title,
            t.block + 1,
            t.outcome or t.state,
            t.verdict or "",
            format_duration(t.duration_s) if t.duration_s is not None else "",
            t.message or "",
        )
        for t in trials
    ]
    print_table(("#", "configuration", "block", "state", "verdict", "took", ""), rows, right=frozenset({0, 2}))


def show(options: argparse.Namespace) -> int:
    """One trial with every figure, how it was obtained, and why it holds or not."""
    with Workbench(options.database, client="show") as workbench:
        workbench.catch_up()
        trial = workbench.store.execute(GetTrial(trial=options.trial))
        detail = workbench.store.execute(GetExperiment(experiment=trial.experiment))
        lines = workbench.store.execute(ReadRecords(trial=trial.trial)) if options.log else ()
        left = artifacts_of(workbench.store, trial.experiment)
    metrics = [m for m in detail.metrics if m.trial == trial.trial]
    if not options.all_versions:
        current = newest(metrics)
        metrics = [m for m in metrics if current[m.trial, m.metric] is m]
    reasons = [r for r in detail.reasons if r.trial == trial.trial]
    artifacts = left.get(trial.trial, ())
    facts = detail.environments.get(trial.trial, {})
    if options.json:
        whole = {"trial": trial, "metrics": metrics, "reasons": reasons, "environment": facts, "artifacts": artifacts}
        print(msgspec.json.format(msgspec.json.encode(whole)).decode())
        return OK
    print(f"Trial {trial.number}: {trial.title}")
    print(f"{trial.experiment_name}, block {trial.block + 1}, on {trial.machine} ({trial.device}); {trial.trial}")
    print(f"{trial.outcome or trial.state}{', ' + trial.verdict if trial.verdict else ''}")
    for text in (trial.message, trial.advice):
        if text:
            print(f"  {text}")
    for reason in reasons:
        print(f"  {reason.severity}: {reason.message}")
    print()
    rows, missing = [], dict[str, str]()
    places = {id: place for place, id in enumerate(metric_ids(metrics))}
    for row in sorted(metrics, key=lambda row: (places[row.metric], -row.version)):
        known = find(row.metric)
        title = known.title if known else row.metric
        if options.all_versions:
            title += f", formula {row.version}"
        if row.value is None:
            missing[row.metric] = row.reason
            continue
        made_of = f"; made of {counted(row.n, known.counts)}" if known is not None and row.n is not None else ""
        rows.append((title, format_value(row.value, row.unit), f"{row.method}{made_of}"))
    print_table(("metric", "value", "how"), rows, right=frozenset({1}))
    print(*absences(missing), sep="\n")
    if artifacts:
        print()
        print_table(("kept", "size", "hash", "where"), artifact_rows(artifacts), right=frozenset({1}))
    if options.environment:
        print()
        print_table(("fact", "value"), sorted(facts.items()))
    for line in lines:
        record = decode_record(line)
        if isinstance(record, Log):
            print(f"{record.level:8} {record.source:10} {record.text}")
    return OK


def delete(options: argparse.Namespace) -> int:
    """Delete for good, after asking on a terminal; elsewhere --yes is needed."""
    if not options.trials and not options.experiment:
        print("llm-workbench: Name trials, or --experiment.", file=sys.stderr)
        return WRONG
    with Workbench(options.database, client="delete") as workbench:
        trials = tuple(workbench.store.execute(GetTrial(trial=t)).trial for t in options.trials)
        experiment, what = "", f"{len(trials)} trials"
        if options.experiment:
            row = workbench.store.execute(GetExperiment(experiment=options.experiment)).experiment
            experiment, what = row.experiment, f"experiment {row.number}, {row.name}, with {row.trials} trials"
        if not options.yes:
            if not sys.stdin.isatty():
                print(f"llm-workbench: This deletes {what} for good; add --yes.", file=sys.stderr)
                return WRONG
            if input(f"Delete {what} for good? [y/N] ").strip().lower() not in ("y", "yes"):
                return OK
        elsewhere = _left_elsewhere(workbench, trials, experiment)
        deleted = workbench.delete(trials, experiment)
        kept = kept_bytes(workbench.places, deleted)
        unheard = workbench.unburied(_PATIENCE_S)
    print(json.dumps({"deleted": deleted}) if options.json else f"Deleted {len(deleted)} trials.")
    if kept and not options.json:
        print(f"What they have trained stays, {format_bytes(kept)}: `llm-workbench clean` removes it.")
    if elsewhere and not options.json:
        print(f"What they have trained on {' and '.join(elsewhere)} stays there: folders of their names in artifacts.")
    if unheard and not options.json:
        print(f"{' and '.join(unheard)}: not reached. Their records there are deleted at the next connection.")
    return OK


def _left_elsewhere(workbench: Workbench, trials: Sequence[str], experiment: str) -> list[str]:
    """Titles of other machines where these trials, or all of the experiment, have left something."""
    rows = [workbench.store.execute(GetTrial(trial=trial)) for trial in trials]
    rows += workbench.store.execute(GetExperiment(experiment=experiment)).trials if experiment else ()
    left = {trial for e in {row.experiment for row in rows} for trial in artifacts_of(workbench.store, e)}
    return sorted({workbench.title_of(row.machine) for row in rows if row.trial in left and row.machine != THIS})


def query(options: argparse.Namespace) -> int:
    """One SELECT over the store, whether or not a window has it open."""
    with Workbench(options.database, client="query") as workbench:
        workbench.catch_up()
        table = workbench.store.execute(Query(sql=options.sql))
    if options.json:
        print(json.dumps([dict(zip(table.columns, row, strict=True)) for row in table.rows], indent=2))
    else:
        print_table(table.columns, [["" if v is None else v for v in row] for row in table.rows])
    return OK
