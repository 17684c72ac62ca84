"""The machines as the window uses them: read from the file all windows and commands share, connected when needed.

What takes time runs on the bridge's threads; errors become toasts. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from engines.protocol.messages import ProbeResult
from widgets.machines.words import login_of
from widgets.shell.services import Services
from workbench.machines.host_keys import HostKey, accept, host_key
from workbench.machines.machine import THIS, THIS_COMPUTER, Machine, MachinesError, keep, machines, remove
from workbench.machines.restart import renew_runner, restart_runner
from workbench.running.events import RunnerLink
from workbench.running.workbench import Workbench


class KnownMachines(QObject):
    changed = Signal()
    """Another machine, or another way to reach one."""
    probe_failed = Signal(str, object)
    """Machine's id, the exception."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.all: tuple[Machine, ...] = (THIS_COMPUTER,)
        self.looking: set[str] = set()
        """Machines that are being probed."""
        self.keys: dict[str, HostKey] = {}
        """Host keys that wait for a decision, by machine."""
        self._asked: set[str] = set()
        self.read()

    def read(self) -> None:
        """The file may have changed: a command adds machines too."""
        try:
            found = machines(self._services.places)
        except MachinesError as error:
            self._services.toasts.error(error)
            return
        if found != self.all:
            self.all = found
            self.changed.emit()

    def find(self, machine: str) -> Machine:
        """This computer where there is no such machine any more."""
        return next((m for m in self.all if m.id == machine), THIS_COMPUTER)

    # --- what a person does -----------------------------------------------------------------------

    def keep(self, machine: Machine) -> bool:
        """Add a machine, or reach it another way from now on. -> whether it could be written down"""
        return self._write(machine.id, lambda: keep(self._services.places, machine))

    def set_up(self, machine: Machine) -> bool:
        """Reach it with its new engines: a runner there that has nothing to do is one of them from now on."""
        places = self._services.places
        return self._write(machine.id, lambda: keep(places, machine), lambda: renew_runner(machine, places))

    def remove(self, machine: str) -> bool:
        """Forget how it is reached; its stored trials stay."""
        return self._write(machine, lambda: remove(self._services.places, machine))

    def _write(self, machine: str, work: Callable[[], None], then: Callable[[], object] = lambda: None) -> bool:
        """`then`: what follows in the background, before it is connected to again."""
        try:
            work()
        except MachinesError as error:
            self._services.toasts.error(error)
            return False
        workbench = self._services.workbench
        if workbench is not None:

            def renew() -> None:
                workbench.forget(machine)
                then()

            self._run(renew, lambda _none: self._forgotten(machine))
        self.read()
        return True

    def _forgotten(self, machine: str) -> None:
        self.keys.pop(machine, None)
        self._services.bridge.say_link(RunnerLink("", machine=machine))

    def connect_to(self, machine: str) -> None:
        """Follow it from now on, and look at what it has; nothing where that is so already."""
        bridge = self._services.bridge
        if machine == THIS:
            if bridge.probe is None:
                self.look(machine)
        elif machine not in bridge.links:
            self._with_link(machine, lambda workbench: workbench.link(machine).follow())
        elif bridge.links[machine].state == "connected" and machine not in bridge.probes:
            self.look(machine)

    def look_at_key(self, machine: str) -> None:
        """What the user's known hosts say of a computer's host key, for the user to decide on."""
        reach = login_of(self.find(machine))
        if reach is None or machine in self.keys or machine in self._asked:
            return
        self._asked.add(machine)
        # where that fails the link's own words are in view
        self._run(
            lambda: host_key(reach),
            lambda key: self._key_seen(machine, key),
            lambda _error: self._asked.discard(machine),
        )

    def trust(self, machine: str) -> None:
        """The user's decision: exactly the key that was shown is trusted from now on."""
        reach, key = login_of(self.find(machine)), self.keys.pop(machine, None)
        if reach is not None and key is not None:
            self._asked.add(machine)  # a link lost meanwhile asks for the same key
            self._run(
                lambda: accept(reach, key),
                lambda now: self._key_seen(machine, now),
                lambda error: self._not_accepted(machine, error),
            )

    def _not_accepted(self, machine: str, error: BaseException) -> None:
        self._asked.discard(machine)
        self._services.toasts.error(error)

    def _key_seen(self, machine: str, key: HostKey) -> None:
        """Known: the link is tried; else it is shown, perhaps that of the next computer on the way."""
        self._asked.discard(machine)
        if key.state == "known":
            self.keys.pop(machine, None)
            self.retry(machine)
        else:
            self.keys[machine] = key
            self.changed.emit()

    def retry(self, machine: str) -> None:
        """A lost link is tried now, not when its time has come."""
        self._with_link(machine, lambda workbench: workbench.link(machine).retry())

    def look(self, machine: str) -> None:
        """Probe again; the answer comes through the bridge like every probe."""
        workbench = self._services.workbench
        if workbench is None or machine in self.looking:
            return
        self.looking.add(machine)
        self._run(
            lambda: workbench.probe(machine, refresh=True),
            lambda result: self._looked(machine, result),
            lambda error: self._not_looked(machine, error),
        )

    def restart(self, machine: str) -> None:
        """End the runner there and start it again; while trials run it is left alone, and a toast says so."""
        known = self.find(machine)
        self._run(
            lambda: restart_runner(known, self._services.places),
            lambda _pid: self._services.toasts.show("info", f"The runner on {known.title} was restarted."),
        )

    # --- answers ----------------------------------------------------------------------------------

    def _with_link(self, machine: str, work: Callable[[Workbench], None]) -> None:
        workbench = self._services.workbench
        if workbench is None:
            return
        bridge = self._services.bridge
        bridge.say_link(RunnerLink("connecting", machine=machine))
        self._run(lambda: work(workbench), None, lambda error: self._not_linked(machine, error))

    def _not_linked(self, machine: str, error: BaseException) -> None:
        text = f"{error} {getattr(error, 'advice', '')}".strip()
        code = str(getattr(error, "code", ""))
        self._services.bridge.say_link(RunnerLink("lost", text, machine, code))

    def _looked(self, machine: str, result: ProbeResult) -> None:
        self.looking.discard(machine)
        bridge = self._services.bridge
        if bridge.probes.get(machine) is not result:  # else its event has come first
            bridge.probes[machine] = result
            bridge.machine_probed.emit(machine, result)

    def _not_looked(self, machine: str, error: BaseException) -> None:
        self.looking.discard(machine)
        self.probe_failed.emit(machine, error)

    def _run(
        self,
        work: Callable[[], object],
        success: Callable[..., None] | None,
        failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._services.bridge.run(work, success, failure or self._services.toasts.error, receiver=self)
