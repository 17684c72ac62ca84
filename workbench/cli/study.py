"""`llm-workbench study NAME MODEL`: a ready-made study fitted to a model and this computer, printed, saved or run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workbench.cli import OK, WRONG
from workbench.cli.run import plan_shown, refuse_problems, run_and_follow
from workbench.experiment.file import dump
from workbench.experiment.studies import STUDIES, find_study, left_out_text, make
from workbench.running.workbench import Workbench


def study(options: argparse.Namespace) -> int:
    """Make the experiment; what it leaves out and why goes to standard error. Without --save and --run its TOML is
    printed. -> exit code"""
    found = find_study(options.study)
    if found is None:
        print(f"llm-workbench: there are these studies: {', '.join(s.id for s in STUDIES)}", file=sys.stderr)
        return WRONG
    if options.save is not None and options.save.exists():
        print(f"llm-workbench: {options.save} is there already; nothing was changed.", file=sys.stderr)
        return WRONG
    with Workbench(options.database, client="study") as workbench:
        experiment, left_out = make(found, options.model, workbench.places, workbench.probe(refresh=True), Path.cwd())
        if left_out:
            print(f"Left out:\n{left_out_text(left_out)}", file=sys.stderr)
        text = dump(experiment)
        if options.save is not None:
            options.save.write_text(text, encoding="utf-8")
            print(f"Saved {options.save}", file=sys.stderr)
        if not options.run:
            if options.save is None:
                print(text, end="")
            return OK
        plan = plan_shown(workbench, experiment, Path.cwd())
        refuse_problems(plan, skip_unfit=False)
        return run_and_follow(workbench, plan, as_json=options.json, export_to=None)
