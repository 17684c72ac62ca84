"""The self-checks of this computer in the window: the stored one, the one that runs, and the actions. Main thread.

Owned by the Machines page, which lives as long as the window: what runs continues while other pages are shown.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from widgets.machines.selfcheck_run import SelfCheckRun
from widgets.shell.actions import Action
from widgets.shell.services import Services
from widgets.shell.targets import ShowExperiment
from workbench.selfcheck.result import SelfCheck, loss_verdict, same_verdict, share_verdict
from workbench.store.operations import ListSelfChecks


class SelfChecks(QObject):
    changed = Signal()
    """Another result is the newest."""

    def __init__(self, services: Services, parent: QObject | None = None, run: SelfCheckRun | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._machine = ""
        self.result: SelfCheck | None = None
        self.run = run or SelfCheckRun(services.places, self)
        self.run.finished.connect(self._finished)
        self.run.failed.connect(self._failed)
        self.run.running_changed.connect(self._refresh_actions)
        services.actions.add(
            Action(
                id="machines.self-check",
                text="Run self-check",
                handler=self.start,
                icon="target",
                menu="Machines",
                group="self-check",
                enabled=self._can_start,
                reason="A self-check runs already, or the database is not open yet.",
                words="overhead telemetry sampler window A/A clock sensors cost",
            ),
            Action(
                id="machines.quick-self-check",
                text="Run quick self-check",
                handler=self.start_quick,
                menu="Machines",
                group="self-check",
                enabled=self._can_start,
                reason="A self-check runs already, or the database is not open yet.",
            ),
            Action(
                id="machines.stop-self-check",
                text="Stop self-check",
                handler=self.run.stop,
                icon="stop",
                menu="Machines",
                group="self-check",
                enabled=self._can_stop,
                reason="No self-check runs.",
            ),
        )

    def start(self) -> None:
        self._start(quick=False)

    def start_quick(self) -> None:
        self._start(quick=True)

    def stop(self) -> None:
        self.run.stop()

    def show_trials(self) -> None:
        """Its experiment in Compare."""
        if self.result is not None and self.result.experiment:
            self._services.navigate("compare", ShowExperiment(self.result.experiment))

    def look_up(self, machine: str) -> None:
        """Fetch the newest stored one of a machine, once for each."""
        if machine != self._machine:
            self._machine = machine
            self._services.bridge.run(ListSelfChecks(machine=machine, limit=1), self._found, receiver=self)

    def shutdown(self) -> None:
        self.run.shutdown()

    def _start(self, *, quick: bool) -> None:
        workbench = self._services.workbench
        if workbench is not None and not self.run.running:
            self.run.start(workbench.database, quick=quick)

    def _can_start(self) -> bool:
        return self._services.workbench is not None and not self.run.running

    def _can_stop(self) -> bool:
        return self.run.running and not self.run.stopping

    def _refresh_actions(self, _running: bool) -> None:
        self._services.actions.update()

    def _found(self, results: tuple[SelfCheck, ...]) -> None:
        if results and self.result is None:
            self.result = results[0]
            self.changed.emit()

    def _finished(self, result: SelfCheck) -> None:
        self.result = result
        self.changed.emit()
        verdicts = [loss_verdict(result.telemetry), share_verdict(result.runner), same_verdict(result.again)]
        counts = [f"{n} {word}" for word in ("passed", "missed", "inconclusive") if (n := verdicts.count(word))]
        severity = "good" if set(verdicts) == {"passed"} else "warning" if "missed" in verdicts else "info"
        said = ", ".join(counts) or "no bar could be looked at"
        self._services.toasts.show(
            severity, f"The self-check has ended: {said}.", action="Show", handler=self._show_page
        )

    def _show_page(self) -> None:
        self._services.navigate("machines", None)

    def _failed(self, message: str, advice: str) -> None:
        if message:
            self._services.toasts.show("error", message, advice)
        else:
            self._services.toasts.show("info", "The self-check was stopped before it had any results.")
