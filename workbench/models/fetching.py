"""Runs a command of the engines that fetches something, in a process of its own, and reports its progress.

Runs in the caller's thread and blocks for as long as that takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from engines.protocol.client import engine_environment
from engines.protocol.places import Places
from engines.protocol.problems import Advised
from engines.protocol.tasks import LOCAL_TASKS, tasks_ready

Report = Callable[[float | None, str], None]
"""Called with (fraction 0..1 or None, text) as the work progresses."""


class FetchError(Advised):
    """Why something could not be fetched, with what is safe and what to do in `advice`."""


def run_fetch(module: str, places: Places, report: Report, arguments: Sequence[str] = ()) -> list[dict[str, object]]:
    """Run `python -m MODULE --progress-json ARGUMENTS` to its end; returns what it said besides its progress. Raises
    `FetchError`."""
    command = [sys.executable, "-m", module, "--progress-json", *arguments]
    results: list[dict[str, object]] = []
    last = {"message": "The fetch ended without saying why.", "advice": "Nothing was left half done; try again."}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # nobody would read it, and a full pipe would stop the work
        stdin=subprocess.DEVNULL,
        text=True,
        env=engine_environment(places),
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said = _parse(line)
                if "message" in said:
                    last = {"message": str(said["message"]), "advice": str(said.get("advice", ""))}
                elif "fraction" not in said:
                    results += [said] if said else []
                else:
                    fraction = said["fraction"]
                    report(float(fraction) if isinstance(fraction, (int, float)) else None, str(said.get("text", "")))
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if code != 0:
        raise FetchError(last["message"], last["advice"])
    return results


def ensure_tasks(places: Places, report: Report) -> Path:
    """The folder of the sample tasks' questions, fetched if they are not there yet. Raises `FetchError`."""
    if len(tasks_ready(places)) < len(LOCAL_TASKS):
        run_fetch("engines.data.task_data", places, report)
    return places.tasks


def _parse(line: str) -> dict[str, object]:
    """A progress line, or {} for anything a library printed."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
