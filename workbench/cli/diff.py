"""`llm-workbench diff`: what was different about where and how two trials ran, or within one experiment."""

from __future__ import annotations

import argparse
import json
import sys

from workbench.cli import OK, WRONG
from workbench.cli.tables import print_table
from workbench.machines.environment_diff import EnvironmentDiff, Line, Side, compare_environments, side_of, told_apart
from workbench.machines.environment_facts import GROUPS
from workbench.machines.environment_notes import environment_notes
from workbench.running.workbench import Workbench
from workbench.store.operations import ExperimentDetail, GetExperiment, GetTrial

_ROOM = 112
"""Characters for the values of a line; --json gives them whole."""


def diff(options: argparse.Namespace) -> int:
    """Facts of two trials side by side; of an experiment, those that its trials do not share."""
    asked = len(options.trials) == 2 if not options.experiment else not options.trials and len(options.experiment) <= 2
    if not asked:
        print("llm-workbench: Name two trials, or --experiment once or twice.", file=sys.stderr)
        return WRONG
    with Workbench(options.database, client="diff") as workbench:
        workbench.catch_up()
        execute = workbench.store.execute
        if options.experiment:
            details = [execute(GetExperiment(experiment=name)) for name in options.experiment]
            sides = [_whole(detail) for detail in details]
        else:
            rows = [execute(GetTrial(trial=name)) for name in options.trials]
            details = [execute(GetExperiment(experiment=row.experiment)) for row in rows]
            sides = [
                side_of(detail, (row.trial,), f"Trial {row.number}") for detail, row in zip(details, rows, strict=True)
            ]
    found = compare_environments(*sides)
    notes = tuple(n for detail in details for n in environment_notes(detail)) if options.experiment else ()
    if options.json:
        print(json.dumps(_as_json(found, notes), indent=2, ensure_ascii=False))
    else:
        _print(found, sides, notes, everything=options.all)
    return OK


def _whole(detail: ExperimentDetail) -> Side:
    row = detail.experiment
    return side_of(detail, (t.trial for t in detail.trials), f"Experiment {row.number}")


def _print(found: EnvironmentDiff, sides: list[Side], notes: tuple[str, ...], *, everything: bool) -> None:
    for side in sides:
        rows = side.trials
        what = rows[0].title if len(rows) == 1 else f"{rows[0].experiment_name}, {len(rows)} trials" if rows else ""
        missing = "" if any(side.facts.values()) else " (no facts are stored)"
        print(f"{side.title}: {what}{missing}")
    for note in notes:
        print(note)
    print()
    _print_lines("Different", found.differing, found)
    if everything:
        _print_lines("Different in every trial anyway", found.moving, found)
        _print_lines("The same", found.same, found)
    elif found.moving or found.same:
        print(
            f"Not shown: {len(found.moving)} that move with every trial, {len(found.same)} the same; --all shows them."
        )


def _print_lines(title: str, lines: tuple[Line, ...], found: EnvironmentDiff) -> None:
    if not lines:
        print(f"{title}: nothing.\n")
        return
    room = _ROOM // len(found.sides)
    rows: list[tuple[str, ...]] = []
    for group in GROUPS:
        inside = [line for line in lines if line.group == group]
        rows += [(group, *("" for _ in found.sides))] if inside else []
        rows += [(f"  {line.title}{' *' if line.matters else ''}", *told_apart(line.values, room)) for line in inside]
    print_table((title, *found.sides), rows)
    if any(line.matters for line in lines):
        print("* may change figures although nobody chose it")
    print()


def _as_json(found: EnvironmentDiff, notes: tuple[str, ...]) -> dict[str, object]:
    return {
        "sides": found.sides,
        "notes": notes,
        "facts": [
            {
                "fact": line.name,
                "title": line.title,
                "group": line.group,
                "differs": line.differs,
                "matters": line.matters,
                "moves_with_every_trial": line.nature == "moves",
                "values": [list(values) for values in line.raw],
            }
            for line in found.lines
        ],
    }
