"""One installation under way, for the window: its output in batches, its end, a new look at the machine. Main thread.

The work is `workbench.machines.installing`'s. The run continues while other pages are shown; it ends with the window.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Literal

from PySide6.QtCore import QObject, QTimer, Signal

from engines.protocol.messages import ProbeResult
from engines.protocol.tasks import LOCAL_TASKS, QUESTIONS
from widgets.shell.services import Services
from workbench.machines.installing import Installation, InstallRun, NothingToInstall, installation, progress_of

_DRAIN_MS = 100
State = Literal["idle", "running", "looking", "installed", "failed", "stopped"]


class Installs(QObject):
    """At most one installation at a time. `lines` is all its output so far."""

    printed = Signal(object)
    """New lines of output, a list."""
    changed = Signal()
    """`state`, `progress` or `outcome` is another."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.state: State = "idle"
        self.plan: Installation | None = None
        self.lines: list[str] = []
        self.progress: float | None = None
        """Of the compiler's steps, 0..1; None where nothing says it."""
        self.outcome = ""
        """How it ended, in a sentence."""
        self._started = 0.0
        self._run: InstallRun | None = None
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._code: int | None = None
        self._timer = QTimer(self, interval=_DRAIN_MS)
        self._timer.timeout.connect(self._drain)

    @property
    def busy(self) -> bool:
        return self.state in ("running", "looking")

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._started if self._started else 0.0

    def prepare(self, names: Sequence[str], probe: ProbeResult) -> str:
        """Say what would be run for these packages; nothing starts. What is under way stays. -> why not, or "" """
        if self.busy:
            return ""
        try:
            plan = installation(names, probe)
        except NothingToInstall as error:
            return str(error)
        if self.plan is None or plan.arguments != self.plan.arguments or self.state == "installed":
            self._set("idle")
            self.lines, self.progress, self.outcome = [], None, ""
        self.plan = plan
        self.changed.emit()
        return ""

    def start(self) -> None:
        """Run what was prepared."""
        if self.busy or self.plan is None or not self.plan.can_start:
            return
        self.lines, self.progress, self.outcome, self._code = [], None, "", None
        self._waiting = []
        self._started = time.monotonic()
        try:
            self._run = InstallRun(self.plan, self._take, self._ended)
        except OSError as error:
            self.outcome = f"{self.plan.arguments[0]} could not be started: {error.strerror or error}."
            self._set("failed")
            return
        self._set("running")
        self._timer.start()

    def stop(self) -> None:
        if self._run is not None and self.state == "running":
            self._run.stop()

    def shutdown(self) -> None:
        """The window closes: an installation ends with it, and what was installed before stays."""
        self._timer.stop()
        if self._run is not None and self.state == "running":
            self._run.kill()
            self._run.wait(5.0)

    # --- on the reader's thread -------------------------------------------------------------------

    def _take(self, line: str) -> None:
        with self._lock:
            self._waiting.append(line)

    def _ended(self, code: int) -> None:
        with self._lock:
            self._code = code

    # --- on the main thread -----------------------------------------------------------------------

    def _drain(self) -> None:
        with self._lock:
            new, self._waiting = self._waiting, []
            code = self._code
        if new:
            self.lines += new
            shares = [share for line in new if (share := progress_of(line)) is not None]
            if shares:
                self.progress = shares[-1]
            self.printed.emit(new)
        if code is not None:
            self._timer.stop()
            self._finish(code)
        else:
            self.changed.emit()

    def _finish(self, code: int) -> None:
        assert self.plan is not None
        assert self._run is not None
        names, done = self.plan.named, self.plan.done.lower()
        if self._run.stopped:
            self.outcome = f"Stopped. Nothing was {done}; what was there before is untouched."
            self._set("stopped")
        elif code:
            said = f"{'pip' if self.plan.verb == 'Install' else 'The command'} ended with code {code}"
            self.outcome = f"{said}; nothing was {done}. The last lines say why."
            self._set("failed")
            self._services.toasts.show("error", f"{names} could not be {done}.", f"{said}.")
        else:
            self._set("looking")
            self._look()

    def _look(self) -> None:
        """What the machine has now is what counts."""
        workbench = self._services.workbench
        if workbench is None:
            self._looked(None)
            return
        self._services.bridge.run(
            lambda: workbench.probe(refresh=True), self._looked, lambda _error: self._looked(None), receiver=self
        )

    def _looked(self, probe: ProbeResult | None) -> None:
        assert self.plan is not None
        versions = {p.name: p.version for p in probe.packages} if probe is not None else {}
        if probe is not None and all(task.id in probe.task_data for task in LOCAL_TASKS):
            versions[QUESTIONS] = "of " + ", ".join(task.title.partition(",")[0] for task in LOCAL_TASKS)
        lacking = [name for name in self.plan.packages if probe is not None and not versions.get(name)]
        if lacking:
            missing = " and ".join(lacking)
            self.outcome = f"The command says it is done, but {missing} is not found. Start the application again."
            self._set("failed")
            return
        named = ", ".join(f"{name} {versions.get(name, '')}".strip() for name in self.plan.packages)
        self.outcome = f"{self.plan.done}: {named}."
        self._set("installed")
        self._services.toasts.show("good", self.outcome)

    def _set(self, state: State) -> None:
        self.state = state
        self.changed.emit()
