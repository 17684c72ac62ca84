"""The demo, run from the window: fetch the starter model, plan, submit, wait, report. The work is
`workbench.running.demo`'s.

Owned by the window; its methods run on the main thread, its work on the bridge's threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from engines.protocol.problems import advice_of
from widgets.background.bridge import Bridge
from workbench.running.events import StoreChanged
from workbench.store.operations import ListTrials, TrialRow

if TYPE_CHECKING:
    from workbench.running.demo import DemoReport


class DemoRun(QObject):
    """At most one demo at a time. `state`: "idle", "preparing", "running", "reporting"."""

    progressed = Signal(object, str)
    """Fraction 0..1 or None, and what is being done. While the model is fetched and the plan is made."""
    started = Signal(str)
    """Experiment id: its trials are in the queue."""
    finished = Signal(object)
    """`workbench.running.demo.DemoReport`"""
    failed = Signal(str, str)
    """message, advice"""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self.state = "idle"
        self.experiment = ""
        self._asking = False
        bridge.store_changed.connect(self._store_changed)
        bridge.queue_changed.connect(self._look)

    def start(self) -> None:
        """Begin; nothing happens while one is under way."""
        if self.state != "idle" or self._bridge.workbench is None:
            return
        self.state = "preparing"
        self.progressed.emit(None, "Looking for the starter model")
        self._bridge.run(self._prepare, self._submitted, self._failed)

    def _prepare(self) -> str:
        """On a thread of the bridge. -> experiment id"""
        from engines.protocol.problems import ProblemsFound
        from workbench.models.starter import ensure_starter
        from workbench.running.demo import demo_experiment

        workbench = self._bridge.workbench
        if workbench is None:
            raise RuntimeError("The database was closed before the demo could start.")
        ensure_starter(workbench.places, self._report_progress)
        self._report_progress(None, "Planning the trials")
        plan = workbench.plan(demo_experiment())
        errors = tuple(p for p in plan.problems if p.severity == "error")
        if errors:
            raise ProblemsFound(errors)
        self._report_progress(None, "Handing the trials to the runner")
        return workbench.run(plan)

    def _report_progress(self, fraction: float | None, text: str) -> None:
        self.progressed.emit(fraction, text)

    def _submitted(self, experiment: str) -> None:
        self.state = "running"
        self.experiment = experiment
        self.started.emit(experiment)
        self._look()

    def _failed(self, error: BaseException) -> None:
        self.state = "idle"
        self.failed.emit(str(error) or type(error).__name__, advice_of(error))

    # --- waiting for the end ------------------------------------------------------------------------

    def _store_changed(self, change: StoreChanged) -> None:
        self._look()

    def _look(self, _state: object = None) -> None:
        if self.state == "running" and not self._asking:
            self._asking = True
            self._bridge.run(ListTrials(experiment=self.experiment), self._looked, self._look_failed)

    def _looked(self, trials: tuple[TrialRow, ...]) -> None:
        self._asking = False
        if self.state == "running" and trials and all(has_ended(t) for t in trials):
            self.state = "reporting"
            self._bridge.run(self._make_report, self._reported, self._failed)

    def _look_failed(self, error: BaseException) -> None:
        """The next change of the store asks again; the store itself reports what is wrong with it."""
        self._asking = False

    def _make_report(self) -> DemoReport:
        from workbench.running.demo import report

        workbench = self._bridge.workbench
        if workbench is None:
            raise RuntimeError("The database was closed before the demo's report was made.")
        return report(workbench, self.experiment)

    def _reported(self, report: DemoReport) -> None:
        self.state = "idle"
        self.finished.emit(report)


def has_ended(trial: TrialRow) -> bool:
    """Whether a trial is over and its figures are stored."""
    return (trial.state == "ended" and trial.verdict is not None) or trial.outcome == "lost"


def starter_is_here(folder: Path) -> bool:
    """Whether the starter model was fetched and converted before."""
    return (folder / "config.json").is_file()
