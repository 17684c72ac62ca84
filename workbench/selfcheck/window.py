"""A window of our own for the arm that has one: the real application in a process of its own, on the Monitor page.

It has settings of its own, so that the user's window finds its layout as it was, and closes by itself when this
process is gone. Started and closed on the self-check's main thread.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from engines.protocol.client import engine_environment
from engines.protocol.places import Places
from workbench.selfcheck.processor_time import processor_seconds

SETTINGS = "[window]\npage=monitor\n"
_LOOK_S = 0.5
_SETTLED = 0.1
"""Of a core: below it the window has done what it does at its start."""
_LEAST_S = 1.5
_MOST_S = 30.0
_CLOSING_S = 20.0


class NoWindow(Exception):
    """The window did not open; the text says why."""


class OwnWindow:
    """`open` it before trials, `close` it after them; again and again."""

    def __init__(
        self, places: Places, database: Path, *, offscreen: bool, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._places = places
        self._database = database
        self._offscreen = offscreen
        self._sleep = sleep
        self._folder = tempfile.TemporaryDirectory(prefix="llm-workbench-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def open(self) -> None:
        """Start it and wait until it has settled. Raises `NoWindow`."""
        folder = Path(self._folder.name)
        settings = folder / "window.ini"
        settings.write_text(SETTINGS, encoding="utf-8")
        environment = engine_environment(self._places)
        if self._offscreen:
            environment["QT_QPA_PLATFORM"] = "offscreen"
        command = [sys.executable, "-m", "workbench", "gui", "--database", str(self._database)]
        command += ["--settings", str(settings), "--until-eof"]
        try:
            with (folder / "said").open("wb") as said:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd="/", env=environment
                )
        except OSError as error:
            raise NoWindow(f"The window could not be started: {error}.") from error
        self._settle(self._process)

    def close(self) -> None:
        """Close it as its close button does. Twice is once."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end(self) -> None:
        self.close()
        self._folder.cleanup()

    def _settle(self, process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        before_s, at = 0.0, begun
        while time.monotonic() - begun < _MOST_S:
            self._sleep(_LOOK_S)
            if process.poll() is not None:
                raise NoWindow(f"The window ended at once: {self._last_words()}")
            with contextlib.suppress(OSError):
                now_s, now = processor_seconds(process.pid), time.monotonic()
                share = (now_s - before_s) / (now - at)
                before_s, at = now_s, now
                if share < _SETTLED and now - begun >= _LEAST_S and now_s > _SETTLED:
                    return
        raise NoWindow(f"The window was not at rest within {_MOST_S:.0f} s.")

    def _last_words(self) -> str:
        said = (Path(self._folder.name) / "said").read_text(encoding="utf-8", errors="replace").strip()
        return said.splitlines()[-1] if said else "it said nothing."


def has_display() -> bool:
    """Whether a window could be seen."""
    wanted = os.environ.get("QT_QPA_PLATFORM", "")
    if wanted:
        return wanted.partition(":")[0] not in ("offscreen", "minimal", "vnc")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
