"""`llm-workbench selfcheck`: what measuring costs on this computer.

With `--json` the result goes to standard output and progress to standard error, a JSON object a line: the window runs
this very command and follows it.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import textwrap
from dataclasses import asdict, replace
from types import FrameType

import msgspec

from workbench.cli import NOT_FOUND, OK, TRIALS_FAILED, WRONG
from workbench.cli.progress import Bar
from workbench.cli.tables import print_table
from workbench.running.workbench import Workbench
from workbench.selfcheck.result import SelfCheck, loss_verdict, share_verdict
from workbench.selfcheck.run import Options, Progress, SelfCheckError, at_most, self_check
from workbench.selfcheck.window import has_display
from workbench.selfcheck.words import cautions, device_title, headline, rows, sensor_rows
from workbench.store.operations import ListSelfChecks
from workbench.units import format_duration

_MEANING = 60
"""Characters of a line of the last column."""


def selfcheck(options: argparse.Namespace) -> int:
    """Run one, or print the stored one. Exit code 1 where a bar was missed; inconclusive is no failure."""
    if options.show:
        return show(options)
    wanted = chosen(options)
    if wanted is None:
        print("llm-workbench: --blocks and --minutes must be above 0.", file=sys.stderr)
        return WRONG
    signal.signal(signal.SIGTERM, _interrupt)
    if not options.json:
        print(f"Self-check of this computer, {at_most(wanted)}. Do not use it meanwhile.", file=sys.stderr)

    def report(progress: Progress) -> None:
        if options.json:
            print(json.dumps({"progress": asdict(progress)}), file=sys.stderr, flush=True)
        else:
            left = "" if progress.left_s is None else f"at most {format_duration(progress.left_s)} left  "
            bar.show(progress.fraction, f"{left}{progress.text}")

    from workbench.cli.main import complain  # late: that module makes the parser that leads here

    try:
        with Bar() as bar:
            result = self_check(wanted, report, database=options.database)
    except SelfCheckError as error:
        complain(options, str(error), error.advice)
        return TRIALS_FAILED
    print_result(result, as_json=options.json)
    missed = "missed" in (loss_verdict(result.telemetry), share_verdict(result.runner))
    return TRIALS_FAILED if missed else OK


def chosen(options: argparse.Namespace) -> Options | None:
    """The command line's wishes; None where they make no sense."""
    wanted = Options.of_quick() if options.quick else Options()
    minutes = wanted.minutes if options.minutes is None else options.minutes
    if minutes <= 0 or (options.blocks is not None and options.blocks < 1):
        return None
    return replace(
        wanted,
        minutes=minutes,
        blocks=options.blocks,
        device=options.device,
        window=not options.no_window,
        offscreen=options.offscreen or not has_display(),
    )


def show(options: argparse.Namespace) -> int:
    """The newest stored one of this computer."""
    with Workbench(options.database, client="selfcheck") as workbench:
        found = workbench.store.execute(ListSelfChecks(machine=platform.node(), limit=1))
    if not found:
        from workbench.cli.main import complain

        complain(options, "No self-check of this computer is stored.", "Run one: `llm-workbench selfcheck`.")
        return NOT_FOUND
    print_result(found[0], as_json=options.json)
    return OK


def print_result(result: SelfCheck, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(result)).decode())
        return
    print(f"Self-check of {result.machine} ({device_title(result)}): {headline(result)}\n")
    table = [
        (row.title, row.value, row.bar, row.verdict or "", textwrap.fill(row.meaning, _MEANING)) for row in rows(result)
    ]
    print_table(("figure", "value (95 % interval)", "bar", "", "what it means"), table)
    if result.instruments is not None:
        print()
        print_table(
            ("sensor", "its value changes", "a reading costs", "source"), sensor_rows(result.instruments.sources)
        )
    for caution in cautions(result):
        print(f"\n{caution}", end="")
    print(f"\n\nIts trials are the experiment {result.experiment}: `llm-workbench compare {result.experiment}`.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends it as Ctrl+C does: the running trial is stopped, the window closed."""
    raise KeyboardInterrupt
