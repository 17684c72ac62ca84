"""`models --copy` and `data --copy-to`: a model, prompts or data of this computer to another machine."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from workbench.cli import OK, WRONG
from workbench.cli.main import complain
from workbench.cli.progress import Bar
from workbench.models.fetching import Report
from workbench.running.workbench import Workbench


def copy_model(options: argparse.Namespace) -> int:
    """Raises `ProblemsFound`, `RunnerError`, `CopyError`."""
    if not options.copy or not options.to:
        complain(options, "--copy MODEL and --to MACHINE go together.")
        return WRONG
    return _copied(
        options, options.copy, options.to, lambda w, report: w.copy_model(options.copy, options.to, report=report)
    )


def copy_data(options: argparse.Namespace) -> int:
    """Raises `ProblemsFound`, `RunnerError`."""
    return _copied(
        options,
        options.data,
        options.copy_to,
        lambda w, report: w.copy_data(options.data, options.copy_to, report=report),
    )


def _copied(options: argparse.Namespace, named: str, machine: str, work: Callable[[Workbench, Report], str]) -> int:
    with Bar() as bar, Workbench(client="copy") as workbench:
        path = work(workbench, bar.show)
    print(json.dumps({"machine": machine, "path": path}) if options.json else f"{named} is on {machine}: {path}")
    return OK
