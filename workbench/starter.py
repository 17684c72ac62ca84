"""Gets the starter model in a process of its own: fetch, check, convert. The work is `engines.starter`'s.

Runs in the caller's thread and blocks for as long as that takes (half a minute to some minutes).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engines.protocol.client import engine_environment
from engines.protocol.places import Places, starter_folder

Report = Callable[[float | None, str], None]
"""Called with (fraction 0..1 or None, text) as the work goes on."""


class StarterError(Exception):
    """Why there is no starter model, with what is safe and what to do in `advice`."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


def ensure_starter(places: Places, report: Report) -> Path:
    """The starter model's folder, fetched and converted if it is not there yet. Raises `StarterError`."""
    ready = starter_folder(places)
    if ready is not None:
        return ready
    command = [sys.executable, "-m", "engines.starter", "--progress-json"]
    last = {"message": "The fetch ended without saying why.", "advice": "Nothing was left half done; try again."}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
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
                elif said:
                    fraction = said.get("fraction")
                    report(float(fraction) if isinstance(fraction, (int, float)) else None, str(said.get("text", "")))
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    made = starter_folder(places)
    if code != 0 or made is None:
        raise StarterError(last["message"], last["advice"])
    return made


def _parse(line: str) -> dict[str, object]:
    """A progress line, or {} for anything a library printed."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
