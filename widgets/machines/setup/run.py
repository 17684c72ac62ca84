"""One machine being set up, for the window: what would be run, its output in batches, its end. Main thread.

The work is `workbench.machines.setup`'s, on a thread of the bridge. It continues while other pages are shown; when the
window closes, it is stopped, and nothing half-made stays on the machine.
"""

from __future__ import annotations

import threading
from typing import Literal

from PySide6.QtCore import QObject, QTimer, Signal

from engines.protocol.problems import Problem, ProblemsFound
from widgets.shell.services import Services
from workbench.machines.machine import Machine
from workbench.machines.setup.plan import Choice, SetUpPlan
from workbench.machines.setup.run import Output, SetUpRun, StepStarted, Told, look
from workbench.machines.setup.target import home_of, shell_of, with_python

_DRAIN_MS = 100
State = Literal["idle", "looking", "ready", "refused", "running", "done", "failed"]


class SetUps(QObject):
    """At most one at a time. `lines` is what is shown: before, every command; then commands with their output."""

    printed = Signal(object)
    """New lines, a list."""
    changed = Signal()
    finished = Signal(object)
    """The `Machine` with its interpreter."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.state: State = "idle"
        self.machine: Machine | None = None
        self.plan: SetUpPlan | None = None
        self.problems: tuple[Problem, ...] = ()
        self.lines: list[str] = []
        self.outcome = ""
        self.step = ""
        """ "3 of 9: Install the packages", while it runs."""
        self._asked = 0
        self._choice = Choice()
        self._run: SetUpRun | None = None
        self._lock = threading.Lock()
        self._waiting: list[Told] = []
        self._timer = QTimer(self, interval=_DRAIN_MS)
        self._timer.timeout.connect(self._drain)

    @property
    def busy(self) -> bool:
        return self.state == "running"

    def prepare(self, machine: Machine, engines: tuple[str, ...], python: str = "", index: str = "") -> None:
        """Look at the machine and say what would be run for these engines; it changes nothing there. `python` and
        `index` as `Choice` has them."""
        if self.busy:
            return
        places = self._services.places
        self.machine, self._choice = machine, Choice(engines, python, home_of(machine), index)
        self.plan, self.problems, self.lines, self.outcome, self.step = None, (), [], "", ""
        self._asked += 1
        asked, choice = self._asked, self._choice
        self._set("looking")
        self._services.bridge.run(
            lambda: look(shell_of(machine, places), choice),
            lambda plan: self._looked(asked, plan),
            lambda error: self._refused(asked, error),
            receiver=self,
        )

    def start(self) -> None:
        """Run what was shown."""
        machine, plan = self.machine, self.plan
        if self.state not in ("ready", "failed") or machine is None or plan is None or not plan.can_start:
            return
        self.lines, self.outcome, self.step, self._waiting = [], "", "", []
        run = self._run = SetUpRun(shell_of(machine, self._services.places), plan, self._take, self._choice.python)
        self._set("running")
        self._timer.start()
        self._services.bridge.run(run.run, self._done, self._failed, receiver=self)

    def stop(self) -> None:
        if self._run is not None and self.busy:
            self._services.bridge.run(self._run.stop, receiver=self)

    def shutdown(self) -> None:
        """The window closes: it ends, and the machine removes what is half-made."""
        self._timer.stop()
        if self._run is not None and self.busy:
            self._run.stop()

    # --- what comes back --------------------------------------------------------------------------

    def _looked(self, asked: int, plan: SetUpPlan) -> None:
        if asked != self._asked:
            return
        self.plan, self.problems = plan, plan.problems
        for number, step in enumerate(plan.steps, start=1):
            needs = f" (needs {step.needs})" if step.needs else ""
            self.lines += [f"# {number} of {len(plan.steps)}: {step.title}{needs}", f"$ {step.command}"]
        self._set("ready" if plan.can_start else "refused")

    def _refused(self, asked: int, error: BaseException) -> None:
        if asked != self._asked:
            return
        if isinstance(error, ProblemsFound):
            self.problems = error.problems
        else:
            self.outcome = f"{error} {getattr(error, 'advice', '')}".strip()
        self._set("refused")

    def _take(self, told: Told) -> None:
        """On the thread of the run."""
        with self._lock:
            self._waiting.append(told)

    def _drain(self) -> None:
        with self._lock:
            told, self._waiting = self._waiting, []
        new: list[str] = []
        assert self.plan is not None
        for one in told:
            if isinstance(one, StepStarted):
                self.step = f"{one.number} of {len(self.plan.steps)}: {one.step.title}"
                new += [f"# {self.step}", f"$ {one.step.command}"]
            elif isinstance(one, Output):
                new.append(one.line)
        if new:
            self.lines += new
            self.printed.emit(new)
            self.changed.emit()

    def _done(self, python: str) -> None:
        self._end()
        assert self.machine is not None
        self.outcome = f"{self.machine.title} has the engines: {python}"
        self._set("done")
        self.finished.emit(with_python(self.machine, python))

    def _failed(self, error: BaseException) -> None:
        self._end()
        self.outcome = f"{error} {getattr(error, 'advice', '')}".strip()
        self._set("failed")
        self._services.toasts.error(error)

    def _end(self) -> None:
        self._timer.stop()
        self._drain()
        self._run = None

    def _set(self, state: State) -> None:
        self.state = state
        self.changed.emit()
