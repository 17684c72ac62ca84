"""Edits the draft as the panels ask: one slot for each kind of edit. Main thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal

from engines.protocol.problems import COPY, Fix
from engines.techniques import find
from widgets.setup import edits
from widgets.setup.draft_session import DraftSession
from widgets.shell.services import Services
from widgets.shell.targets import InstallPackages
from workbench.experiment.experiment import Experiment
from workbench.experiment.fixes import apply_fix, leave_out, take_in
from workbench.machines.machine import THIS
from workbench.plan.identity import short
from workbench.plan.obstacles import INSTALL


class DraftEditor(QObject):
    """Turns signals of the panels into edits of the draft."""

    copying = Signal()
    """A model began, or ended, its way to another machine: the plan is another."""

    def __init__(self, services: Services, session: DraftSession) -> None:
        super().__init__(session)
        self._services, self._session = services, session

    @property
    def _experiment(self) -> Experiment:
        return self._session.experiment

    def name(self, name: str) -> None:
        self._session.edit(replace(self._experiment, name=name), "renaming", "name")

    def name_broke(self, message: str) -> None:
        self._session.field_broke("name", message)

    def model(self, ref: str, on: bool, aliases: object) -> None:
        names = aliases if isinstance(aliases, tuple) else ()
        self._session.edit(edits.set_model(self._experiment, ref, on, names), "choosing a model")

    def technique(self, id: str, on: bool) -> None:
        changed = edits.set_technique(self._experiment, id, on, self._session.model_kinds)
        self._session.edit(changed, f"choosing {id.partition('.')[2]}")

    def parameter(self, id: str, name: str, values: object) -> None:
        technique = find(id)
        if technique is not None and isinstance(values, tuple):
            changed = edits.set_parameter(self._experiment, technique, name, values, self._session.model_kinds)
            self._session.edit(changed, f"changing {technique.short}", f"{id}.{name}")

    def workload(self, key: str, values: object) -> None:
        assert isinstance(values, tuple)
        if key == "seed":
            changed = replace(self._experiment, seed=values[0] if values else None)
        elif key in ("trials", "stop_at_ratio"):
            changed = edits.set_run(self._experiment, key, values[0])
        else:
            changed = edits.set_workload(self._experiment, key, values)
        self._session.edit(changed, "changing the workload", key)

    def seeds(self, count: int) -> None:
        self.workload("trials", (count,))

    def values(self, values: object) -> None:
        """Several settings of the workload in one step."""
        assert isinstance(values, dict)
        workload = self._experiment.workload.with_values(values)
        self._session.edit(replace(self._experiment, workload=workload), "changing the workload")

    def tasks(self, tasks: object) -> None:
        assert isinstance(tasks, tuple)
        self._session.edit(edits.set_tasks(self._experiment, tasks), "choosing tasks")

    def prompts(self, path: object) -> None:
        """A file of the user's own prompts, or None for the built-in ones. The plan says what is wrong with it."""
        file = str(path.absolute()) if isinstance(path, Path) else ""
        self._session.edit(edits.set_workload(self._experiment, "prompt_file", (file,)), "choosing prompts")

    def engine(self, key: str, values: object) -> None:
        assert isinstance(values, tuple)
        changed = edits.set_engine(self._experiment, key, values[0])
        self._session.edit(changed, "changing the engine", f"engine.{key}")

    def install(self, packages: object) -> None:
        """Not an edit: the Machines page shows what would be run."""
        if isinstance(packages, tuple):
            self._services.navigate("machines", InstallPackages(packages))

    def device(self, key: str, on: bool) -> None:
        """`key`: `widgets.setup.machine.rows.DeviceRow.key`."""
        host, _, device = key.rpartition("/")
        machine = host or THIS
        probe = self._services.bridge.probes.get(machine)
        if machine == THIS and self._session.planned is not None:
            probe = self._session.planned.probe
        if probe is not None and device:
            changed = edits.set_device(self._experiment, probe, device, on, machine)
        elif machine != THIS:
            changed = edits.set_machine(self._experiment, machine, on)
        else:
            return
        self._session.edit(changed, "choosing a device")

    def fix(self, hash: str, fix: Fix) -> None:
        """Apply a problem's fix to the experiment; packages are installed from the Machines page."""
        if fix.path == INSTALL:
            self.install(fix.value)
            return
        if fix.path == COPY and isinstance(fix.value, tuple):
            self._copy(*fix.value)
            return
        self._session.edit(apply_fix(self._experiment, hash, fix), f"“{fix.label}”")

    def _copy(self, machine: str, kind: str, named: str) -> None:
        """A model or data to a machine. The plan says how far it is, once it has begun."""
        workbench, base = self._services.workbench, self._session.draft.base
        if workbench is None:
            return
        waiting = [self.copying]

        def report(_share: float | None, _text: str) -> None:
            while waiting:
                waiting.pop().emit()

        copy = workbench.copy_model if kind == "model" else workbench.copy_data
        job = partial(copy, named, machine, base, report=report)
        self._services.bridge.run(job, self._copied, self._not_copied)
        stop = partial(workbench.copies.stop, machine, named)
        self._services.toasts.show("info", f"Copying {named} to {machine}.", action="Stop", handler=stop)

    def _copied(self, _path: str) -> None:
        self.copying.emit()

    def _not_copied(self, error: BaseException) -> None:
        self._services.toasts.error(error)
        self.copying.emit()

    def fix_experiment(self, fix: Fix) -> None:
        """A fix of a problem that belongs to no single configuration."""
        self.fix("", fix)

    def leave_out(self, hashes: object, out: bool) -> None:
        """The configurations of a row of the plan."""
        assert isinstance(hashes, tuple)
        changed = self._experiment
        for hash in hashes:
            changed = leave_out(changed, short(hash)) if out else take_in(changed, hash)
        self._session.edit(changed, "leaving out" if out else "taking in")
