"""`llm-workbench demo`: in the window where there is a display, otherwise in the terminal."""

from __future__ import annotations

import argparse
import json
import sys

from workbench.cli import OK, TRIALS_FAILED
from workbench.cli.gui import has_display, open_window
from workbench.cli.progress import Bar, ExperimentFollower
from workbench.cli.run import refuse_problems
from workbench.cli.tables import print_comparison
from workbench.export.tables import comparison_json
from workbench.models.starter import ensure_starter
from workbench.running.demo import DemoReport, demo_experiment, report
from workbench.running.workbench import Workbench
from workbench.units import format_duration


def demo(options: argparse.Namespace) -> int:
    """Fetch the starter model if needed, run nine trials, print and export the comparison."""
    if not options.headless and has_display():
        return open_window(database=options.database, demo=True, on_demo_report=print_report)
    if not options.headless:
        print("There is no display here: the demo runs in the terminal.", file=sys.stderr)
    with Workbench(options.database, client="demo") as workbench:
        with Bar() as bar:
            ensure_starter(workbench.places, bar.show)
        plan = workbench.plan(demo_experiment())
        refuse_problems(plan, skip_unfit=True)
        workbench.follow()
        identity = workbench.run(plan)
        print(
            f"{plan.trials} trials of {len(plan.configurations)} configurations on {plan.configurations[0].device}, "
            f"about {format_duration(plan.expected_s)}. Each runs in a process of its own; Ctrl+C leaves them running.",
            file=sys.stderr,
        )
        trials = ExperimentFollower(workbench, identity, plan.expected_s).wait()
        print_report(report(workbench, identity), as_json=options.json)
    return OK if all(t.outcome == "completed" and t.verdict != "invalid" for t in trials) else TRIALS_FAILED


def print_report(finished: DemoReport, *, as_json: bool = False) -> None:
    """The comparison and where everything is."""
    if as_json:
        whole = {
            "comparison": comparison_json(finished.comparison),
            "database": str(finished.database),
            "files": [str(p) for p in finished.files],
        }
        print(json.dumps(whole, indent=2))
        return
    print_comparison(finished.comparison)
    print(f"\nDatabase  {finished.database}")
    for path in finished.files:
        print(f"Exported  {path}")
