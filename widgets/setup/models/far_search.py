"""Asks the machines that are ticked what models they have. Main thread; the asking is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QObject, Signal

from engines.models.lookup.local_model import LocalModel
from widgets.setup.models.there import There
from widgets.shell.services import Services


class FarSearch(QObject):
    """Each machine is asked once, and again after `forget`."""

    changed = Signal()

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self._known: dict[str, There] = {}
        self._wanted: tuple[str, ...] = ()

    @property
    def machines(self) -> tuple[There, ...]:
        """What is known of those that are wanted."""
        return tuple(self._known[machine] for machine in self._wanted if machine in self._known)

    def want(self, machines: Sequence[str]) -> None:
        """These, besides this computer, are ticked."""
        self._wanted = tuple(machines)
        workbench = self._services.workbench
        if workbench is None:
            return
        for machine in machines:
            if machine not in self._known:
                self._known[machine] = asked = There(machine, self._services.bridge.title_of(machine))
                self._services.bridge.run(
                    partial(workbench.models_on, machine),
                    partial(self._heard, asked),
                    partial(self._refused, asked),
                    receiver=self,
                )

    def forget(self, *machines: str) -> None:
        """Something may be different there; without names, anywhere."""
        for machine in machines or tuple(self._known):
            self._known.pop(machine, None)
        self.want(self._wanted)

    def heard_from(self, machine: str) -> None:
        """It answers again: it is asked where it did not say."""
        if machine in self._known and self._known[machine].error:
            self.forget(machine)

    def _heard(self, asked: There, models: tuple[LocalModel, ...]) -> None:
        self._take(asked, replace(asked, models=models))

    def _refused(self, asked: There, error: BaseException) -> None:
        self._take(asked, replace(asked, error=str(error)))

    def _take(self, asked: There, there: There) -> None:
        """An answer to an earlier question is old."""
        if self._known.get(asked.machine) is asked:
            self._known[asked.machine] = there
            self.changed.emit()
