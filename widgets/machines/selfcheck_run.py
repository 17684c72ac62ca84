"""The self-check as a process of its own, followed by the window. Main thread.

It runs `llm-workbench selfcheck --json`: progress comes on standard error, a JSON object a line, the result on standard
output. It outlives every page change and ends with the window.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, QProcess, QProcessEnvironment, Signal

from engines.protocol.client import engine_environment
from engines.protocol.places import Places
from workbench.selfcheck.result import SelfCheck

STOP_MS = 10_000
"""How long a stopped one may take to close its window and put its trials away."""
KILL_MS = 5_000


class _Progress(msgspec.Struct, frozen=True):
    fraction: float
    text: str
    left_s: float | None = None


class _Line(msgspec.Struct, frozen=True):
    """One line of standard error: progress, or why it failed."""

    progress: _Progress | None = None
    error: str = ""
    advice: str = ""


class SelfCheckRun(QObject):
    """At most one at a time."""

    progressed = Signal(float, str, object)
    """Fraction 0..1, what it does, seconds left or None."""
    finished = Signal(object)
    """`SelfCheck`"""
    failed = Signal(str, str)
    """Why, and what to do. ("", "") where it was stopped before it had anything to show."""
    running_changed = Signal(bool)

    def __init__(self, places: Places, parent: QObject | None = None, command: tuple[str, ...] = ()) -> None:
        """`command` replaces the program, for tests."""
        super().__init__(parent)
        self._places = places
        self._command = command or (sys.executable, "-m", "workbench", "selfcheck")
        self._process: QProcess | None = None
        self._output = b""
        self._rest = b""
        self._last_words = ""
        self._error = ("", "")
        self._stopping = False
        self.fraction = 0.0
        self.text = ""
        self.left_s: float | None = None

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def stopping(self) -> bool:
        return self._stopping

    def start(self, database: Path, *, quick: bool) -> None:
        """Does nothing while one runs."""
        if self._process is not None:
            return
        self._output = self._rest = b""
        self._last_words, self._error, self._stopping = "", ("", ""), False
        self.fraction, self.text, self.left_s = 0.0, "Starting", None
        process = QProcess(self)
        environment = QProcessEnvironment()
        for name, value in engine_environment(self._places).items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.setWorkingDirectory("/")
        process.setStandardInputFile(QProcess.nullDevice())
        process.readyReadStandardError.connect(self._heard)
        process.readyReadStandardOutput.connect(self._printed)
        process.finished.connect(self._ended)
        process.errorOccurred.connect(self._went_wrong)
        self._process = process
        options = ["--json", "--offscreen", "--database", str(database)]
        process.start(self._command[0], [*self._command[1:], *options, *(["--quick"] if quick else [])])
        self.running_changed.emit(True)

    def stop(self) -> None:
        """Politely: it stops its trial, closes its window, and keeps what it has if that carries an interval."""
        if self._process is not None and not self._stopping:
            self._stopping = True
            self.text = "Stopping"
            self._process.terminate()
            self.progressed.emit(self.fraction, self.text, None)

    def shutdown(self) -> None:
        """The window closes: end it and wait."""
        process = self._process
        if process is None:
            return
        self._process = None
        for signal in (process.finished, process.errorOccurred, process.readyReadStandardError):
            signal.disconnect()
        process.terminate()
        if not process.waitForFinished(STOP_MS):
            process.kill()
            process.waitForFinished(KILL_MS)

    # --- what the process says --------------------------------------------------------------------

    def _printed(self) -> None:
        if self._process is not None:
            self._output += bytes(self._process.readAllStandardOutput().data())

    def _heard(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardError().data())).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            said = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self._last_words = line.decode("utf-8", "replace").strip()
            return
        if said.error:
            self._error = (said.error, said.advice)
        if said.progress is not None and not self._stopping:
            self.fraction, self.text, self.left_s = said.progress.fraction, said.progress.text, said.progress.left_s
            self.progressed.emit(self.fraction, self.text, self.left_s)

    def _went_wrong(self, error: QProcess.ProcessError) -> None:
        if error is QProcess.ProcessError.FailedToStart and self._process is not None:
            reason = self._process.errorString()
            self._forget()
            self.failed.emit(f"The self-check could not be started: {reason}.", "Nothing was run.")

    def _ended(self) -> None:
        if self._process is None:
            return
        self._heard()
        self._printed()
        stopped, output = self._stopping, self._output
        self._forget()
        try:
            result = msgspec.json.decode(output, type=SelfCheck)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if stopped:
                self.failed.emit("", "")
                return
            message, advice = self._error
            self.failed.emit(
                message or f"The self-check ended without a result. {self._last_words}".strip(),
                advice or "Run `llm-workbench selfcheck` in a terminal to see all it says.",
            )
            return
        self.finished.emit(result)

    def _forget(self) -> None:
        process, self._process = self._process, None
        self._stopping = False
        if process is not None:
            process.deleteLater()
        self.running_changed.emit(False)
