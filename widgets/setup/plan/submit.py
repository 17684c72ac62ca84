"""Hands a plan to the runner and finds the first trial to show. Main thread; the work runs on the bridge's threads."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from widgets.shell.services import Services
from workbench.plan.plan import Plan
from workbench.store.operations import ListTrials, TrialRow


class Submission(QObject):
    """At most one at a time."""

    submitted = Signal(str, int)
    """experiment id, number of trials"""
    first_found = Signal(str)
    """Id of the trial that runs first, "" where it could not be found out."""
    failed = Signal(object)

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.busy = False
        self._trials = 0

    def start(self, plan: Plan) -> None:
        workbench = self._services.workbench
        if self.busy or workbench is None:
            return
        self.busy = True
        self._trials = plan.trials
        self._services.bridge.run(lambda: workbench.run(plan), self._done, self._fail)

    def _done(self, experiment: str) -> None:
        self.busy = False
        self.submitted.emit(experiment, self._trials)
        self._services.bridge.run(
            ListTrials(experiment=experiment, limit=max(1, self._trials)), self._listed, self._not_listed
        )

    def _fail(self, error: BaseException) -> None:
        self.busy = False
        self.failed.emit(error)

    def _listed(self, trials: tuple[TrialRow, ...]) -> None:
        first = min(trials, key=lambda t: t.position, default=None)
        self.first_found.emit(first.trial if first is not None else "")

    def _not_listed(self, _error: BaseException) -> None:
        """The trials are in the queue all the same: Monitor shows what runs."""
        self.first_found.emit("")
