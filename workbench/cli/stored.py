"""`llm-workbench recompute`, `import`, `export --bundle` and `wall-meter`: work on trials that are stored."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from workbench.cli import OK, WRONG
from workbench.cli.main import complain
from workbench.cli.progress import Bar
from workbench.running.wall_meter import WallMeterError
from workbench.running.workbench import Workbench
from workbench.store.operations import GetExperiment, GetTrial
from workbench.units import counted


def recompute(options: argparse.Namespace) -> int:
    """Make the figures of stored trials again. Ctrl+C stops between two trials; those that are done stay."""

    def progress(done: int, total: int) -> bool:
        bar.show(done / total if total else None, f"{done} of {total} trials")
        return True

    with Bar() as bar, Workbench(options.database, client="recompute") as workbench:
        workbench.catch_up()
        done = workbench.stored.recompute(options.experiment, progress)
    if options.json:
        print(json.dumps({"recomputed": done}))
    else:
        print(
            f"Figures and verdicts of {counted(done, 'trials')} recomputed; values of older formulas are kept beside "
            "them."
        )
    return OK


def import_(options: argparse.Namespace) -> int:
    """Take in a bundle that `export --bundle` wrote, here or on another computer."""
    with Workbench(options.database, client="import") as workbench:
        done = workbench.stored.import_bundle(options.folder)
        row = workbench.store.execute(GetExperiment(experiment=done.experiment)).experiment
    if options.json:
        print(msgspec.json.encode(done).decode())
    elif not done.trials:
        print(f"Nothing to import: experiment {row.number}, {row.name}, already has all {done.left_out} trials.")
    else:
        known = f"; {done.left_out} were already stored" if done.left_out else ""
        print(f"Imported {counted(done.trials, 'trials')} as experiment {row.number}, {row.name}{known}.")
    return OK


def export_bundle(options: argparse.Namespace) -> int:
    """A whole experiment, records included, as a folder of Parquet files."""
    folder: Path = options.bundle
    with Workbench(options.database, client="export") as workbench:
        workbench.catch_up()
        done = workbench.stored.export_bundle(options.experiment, folder)
    if options.json:
        print(msgspec.json.encode(done).decode())
        return OK
    print(f"{counted(done.trials, 'trials')} with all records in {folder}; `llm-workbench import` reads it.")
    if done.left_out:
        print(f"Left out: {counted(done.left_out, 'trials')} that have not ended.", file=sys.stderr)
    return OK


def wall_meter(options: argparse.Namespace) -> int:
    """Store a wall meter's readings with a trial and make its figures again."""
    try:
        zone = ZoneInfo(options.zone) if options.zone else None
    except (KeyError, ValueError, OSError):
        complain(options, f"There is no time zone {options.zone!r}.", "For example Europe/Berlin, or UTC.")
        return WRONG
    try:
        with Workbench(options.database, client="wall-meter") as workbench:
            workbench.catch_up()
            stored = workbench.stored.import_wall_meter(options.trial, options.file, zone)
            trial = workbench.store.execute(GetTrial(trial=options.trial))
    except WallMeterError as error:
        complain(options, f"{error} Nothing was stored.", error.advice)
        return WRONG
    if options.json:
        print(json.dumps({"trial": trial.trial, "readings": stored}))
    else:
        print(f"{stored} readings of the wall meter are stored with trial {trial.number}; its figures were recomputed.")
    return OK
