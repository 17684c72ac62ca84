"""Plans on another thread while the user keeps editing: debounced, one at a time, the newest wins.

Created, asked and answered on the main thread; `_work` runs on a thread of the bridge.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from engines.models.lookup.resolve import resolve
from engines.protocol.client import RunnerError
from engines.protocol.messages import ProbeResult
from engines.techniques import MachineFacts
from widgets.background.bridge import Bridge
from widgets.setup.models.rows import Resolved
from widgets.setup.plan.rows import PlanView, Seeing, plan_view
from workbench.experiment.experiment import Experiment
from workbench.machines.facts import best_device, find_device, machine_facts
from workbench.machines.machine import THIS
from workbench.plan.plan import Plan, hosts
from workbench.store.operations import Losses

if TYPE_CHECKING:
    from workbench.running.workbench import Workbench

DELAY_MS = 150
READING_MS = 1000


@dataclass(frozen=True)
class Planned:
    """A plan with what was looked up for it."""

    experiment: Experiment
    plan: Plan
    view: PlanView
    """The plan in words, made on the same thread: with a thousand rows that takes a while."""
    probe: ProbeResult
    resolved: Resolved


class Planner(QObject):
    """`ask` after every edit. Nothing is said about an experiment that was changed in the meantime."""

    planned = Signal(object)
    """`Planned`"""
    failed = Signal(object)
    """The exception: no runner answers, the store is gone."""

    def __init__(self, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self._wanted: tuple[Experiment, Path] | None = None
        self._busy = False
        self._look_again = False
        self._timer = QTimer(self, interval=DELAY_MS, singleShot=True)
        self._timer.timeout.connect(self._start)
        self._reading = QTimer(self, interval=READING_MS, singleShot=True)
        """Runs while a model's files are being read: the plan says how far that is."""
        self._reading.timeout.connect(self._look_at_reading)
        self._last: tuple[Experiment, Path] | None = None
        self._unreached: frozenset[str] = frozenset()
        """Machines that the last plan could not ask."""
        bridge.opened.connect(self._opened)
        bridge.machine_probed.connect(self._answered)

    @property
    def is_current(self) -> bool:
        """Whether the last plan is of the last experiment asked about."""
        return self._wanted is None and not self._busy

    def ask(self, experiment: Experiment, base: Path, *, refresh: bool = False, now: bool = False) -> None:
        """Plan this experiment soon; `refresh` looks at the machine anew, `now` does not wait for more edits."""
        self._wanted = (experiment, base)
        self._look_again = self._look_again or refresh
        self._timer.start(0 if now else DELAY_MS)

    def stop(self) -> None:
        self._timer.stop()
        self._reading.stop()
        self._wanted = None

    def _opened(self) -> None:
        if self._wanted is not None:
            self._timer.start(0)

    def _start(self) -> None:
        if self._busy or self._wanted is None or self._bridge.workbench is None:
            return
        experiment, base = self._wanted
        refresh, self._look_again = self._look_again, False
        self._last, self._wanted = self._wanted, None
        self._reading.stop()
        self._busy = True
        self._bridge.run(lambda: self._work(experiment, base, refresh), self._done, self._failed)

    def _work(self, experiment: Experiment, base: Path, refresh: bool) -> Planned:
        workbench = self._bridge.workbench
        if workbench is None:
            raise RuntimeError("The database was closed.")
        probe = workbench.probe(refresh=refresh)
        others = [host for host in hosts(experiment) if host != THIS]
        if refresh:
            for host in others:
                with suppress(RunnerError):  # the plan says so
                    workbench.probe(host, refresh=True)
        plan = workbench.plan(experiment, base, wait=False)
        models = {ref: resolve(ref, workbench.places, base) for ref in experiment.models}
        view = plan_view(plan, {host: workbench.title_of(host) for host in others})
        if experiment.workload.trains:
            view = replace(view, seeing=_seeing(workbench, plan, view))
        probes = {THIS: probe} | {m: known for m in others if (known := self._bridge.probes.get(m)) is not None}
        return Planned(experiment, plan, view, probe, Resolved(models, _machine(experiment, probes), base))

    def _done(self, planned: Planned) -> None:
        self._busy = False
        self._unreached = _unreached(planned)
        if self._wanted is None:
            if not planned.plan.identified:
                self._reading.start()
            self.planned.emit(planned)
        elif not self._timer.isActive():
            self._start()

    def _answered(self, machine: str) -> None:
        """A machine that the last plan could not ask is there again."""
        if self._last is not None and self._wanted is None and machine in self._unreached:
            self.ask(*self._last, now=True)

    def _look_at_reading(self) -> None:
        if self._last is not None and self._wanted is None:
            self.ask(*self._last, now=True)

    def _failed(self, error: BaseException) -> None:
        self._busy = False
        if self._wanted is None:
            self.failed.emit(error)
        elif not self._timer.isActive():
            self._start()


def _unreached(planned: Planned) -> frozenset[str]:
    said = [p.message for p in planned.plan.problems if p.place == "run.machines"]
    return frozenset(h for h in hosts(planned.experiment) if any(text.startswith(f"{h}: ") for text in said))


def _machine(experiment: Experiment, probes: Mapping[str, ProbeResult]) -> MachineFacts:
    """Facts of the first device the experiment names that is known, which reasons and estimates are about."""
    for name in experiment.run.machines:
        host, _, wanted = name.partition("/")
        probe = probes.get(host)
        device = None if probe is None else find_device(probe, wanted) if wanted else best_device(probe)
        if probe is not None and device is not None:
            return machine_facts(probe, device)
    return machine_facts(probes[THIS])


def _seeing(workbench: Workbench, plan: Plan, view: PlanView) -> Seeing:
    from widgets.setup.plan.seeing import seeing  # imported late: they need numpy, which the window starts without
    from workbench.plan.seeds import known_seeds

    hashes = tuple(c.hash for c in plan.configurations)
    runs = [c for c in plan.configurations if c.runnable and c.hash not in plan.skipped]
    known = known_seeds(runs, workbench.store.execute(Losses(configurations=hashes)))
    return seeing(known, plan.experiment.run.trials, sum(row.state == "runs" for row in view.rows))
