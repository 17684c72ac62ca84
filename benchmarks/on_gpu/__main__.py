"""`python -m benchmarks.on_gpu --minutes N --to FOLDER [--rehearse] [--only PART,PART]`; see the package.

Ends with 1 where no part could run, or where one failed: a script sees that there is something to look at.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import msgspec

from benchmarks.on_gpu.notes import Notes, NotHere
from benchmarks.on_gpu.report import PartReport, Report, said, write
from benchmarks.on_gpu.schedule import PARTS, Part, own_command, run_in_child, run_parts
from benchmarks.on_gpu.setting import Setting, on_gpu


def setting_of(*, rehearse: bool) -> Setting:
    """Raises `NotHere`."""
    if not rehearse:
        return on_gpu()
    from benchmarks.on_gpu.rehearsal import rehearsed  # of the tests: not there where only the engines are

    return rehearsed()


def everything(options: argparse.Namespace) -> int:
    """The parent: all parts, the report written after each."""
    begun, folder = time.monotonic(), options.to.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("records-*.jsonl"), folder / "failures.log"):
        old.unlink(missing_ok=True)
    parts = [part for part in PARTS if not options.only or part.id in options.only.split(",")]
    missing = ""
    try:
        machine = setting_of(rehearse=options.rehearse).facts
    except NotHere as error:
        machine, missing = {}, str(error)
    report = Report(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        minutes=options.minutes,
        rehearsal=options.rehearse,
        machine=machine,
    )
    command = own_command(["--to", str(folder), *(["--rehearse"] if options.rehearse else [])])

    def run(part: Part, limit_s: float) -> PartReport:
        if missing:
            return PartReport(
                id=part.id, title=part.title, question=part.question, outcome="not available", reason=missing
            )
        return run_in_child(part, limit_s, [*command, "--part", part.id], folder)

    write(report, folder)
    for ended in run_parts(parts, options.minutes * 60 - (time.monotonic() - begun), run):
        report = msgspec.structs.replace(report, parts=(*report.parts, ended))
        write(report, folder)
        print(f"{ended.title}: {said(ended)} ({ended.took_s:.0f} s)", flush=True)
    outcomes = {part.outcome for part in report.parts}
    return 0 if "ran" in outcomes and "failed" not in outcomes else 1


def one_part(options: argparse.Namespace) -> NoReturn:
    """The child. Ends without the interpreter's own end: a thread that hangs in a driver must not keep it."""
    notes = Notes(options.notes, options.seconds, options.to / f"records-{options.part}.jsonl")
    try:
        setting = setting_of(rehearse=options.rehearse)
        if not setting.rehearsal:
            os.environ["CUDA_VISIBLE_DEVICES"] = setting.uuid
        importlib.import_module(f"benchmarks.on_gpu.{options.part}").run(setting, notes)
    except NotHere as error:
        notes.end("not available", str(error))
    except Exception as error:  # noqa: BLE001  whatever it is, the report says it and the next part runs
        sys.excepthook(*sys.exc_info())
        first = (str(error).strip() or "no message").splitlines()[0]
        notes.end("failed", f"{type(error).__name__}: {first}")
    else:
        notes.end("ran")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_gpu", description="See benchmarks/on_gpu.")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--to", type=Path, required=True, help="folder of the report and the records")
    parser.add_argument("--only", default="", help="parts, with commas: " + ", ".join(part.id for part in PARTS))
    parser.add_argument("--rehearse", action="store_true", help="on the processor, with a scripted NVML")
    parser.add_argument("--part", choices=[part.id for part in PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--notes", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        one_part(options)
    raise SystemExit(everything(options))


if __name__ == "__main__":
    main()
