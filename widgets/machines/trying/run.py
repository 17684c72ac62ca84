"""Tests of machines under way and their results, with what things take there. Main thread; the steps run on a thread of
the bridge.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import datetime

from PySide6.QtCore import QObject, QTimer, Signal

from widgets.shell.services import Services
from workbench.machines.machine import Machine
from workbench.machines.setup.sizes import Sizes, sizes
from workbench.machines.setup.target import home_of, shell_of
from workbench.machines.trying import Tried, try_machine

_DRAIN_MS = 100


@dataclass(frozen=True)
class Tested:
    """`ended_at` is None while it runs. `sizes` is None where it failed, or they could not be read."""

    steps: tuple[Tried, ...] = ()
    ended_at: datetime | None = None
    sizes: Sizes | None = None

    @property
    def works(self) -> bool:
        return bool(self.steps) and self.steps[-1].state != "failed"


class MachineTests(QObject):
    """At most one at a time for each machine; results are kept while the window is open."""

    changed = Signal(str)
    """Machine's id."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.results: dict[str, Tested] = {}
        self._lock = threading.Lock()
        self._told: list[tuple[str, Tried]] = []
        self._timer = QTimer(self, interval=_DRAIN_MS)
        self._timer.timeout.connect(self._drain)

    def running(self, machine: str) -> bool:
        return machine in self.results and self.results[machine].ended_at is None

    def forget(self, machine: str) -> None:
        """It is no more, or reached in another way."""
        if not self.running(machine):
            self.results.pop(machine, None)

    def start(self, machine: Machine) -> None:
        if self.running(machine.id):
            return
        self.results[machine.id] = Tested()
        self._timer.start()
        places = self._services.places

        def work() -> Sizes | None:
            steps = try_machine(machine, places, lambda tried: self._tell(machine.id, tried))
            return sizes(shell_of(machine, places), home_of(machine)) if steps[-1].state != "failed" else None

        self._services.bridge.run(
            work, lambda room: self._ended(machine.id, room), lambda e: self._failed(machine.id, e), receiver=self
        )
        self.changed.emit(machine.id)

    def _tell(self, machine: str, tried: Tried) -> None:
        """On the thread of the test."""
        with self._lock:
            self._told.append((machine, tried))

    def _drain(self) -> None:
        with self._lock:
            told, self._told = self._told, []
        for machine, tried in told:
            result = self.results[machine]
            self.results[machine] = replace(result, steps=(*result.steps, tried))
        for machine in dict.fromkeys(machine for machine, _ in told):
            self.changed.emit(machine)

    def _ended(self, machine: str, room: Sizes | None) -> None:
        self._drain()
        self.results[machine] = replace(self.results[machine], ended_at=datetime.now(), sizes=room)
        if not any(self.running(m) for m in self.results):
            self._timer.stop()
        self.changed.emit(machine)

    def _failed(self, machine: str, error: BaseException) -> None:
        self._ended(machine, None)
        self._services.toasts.error(error)
