"""The Machines page: this computer and those the user added at the left, everything about the chosen one at the right.

A machine is connected when it is chosen here, or used elsewhere. Main thread.
"""

from __future__ import annotations

import time
from datetime import datetime

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QWidget

from engines.catalogue import engines
from engines.protocol.messages import ProbeResult, QueueState
from widgets.machines.adding.sheet import AddSheet
from widgets.machines.detail import Offers, make_detail
from widgets.machines.entries import ENTRIES
from widgets.machines.facts import MachineFacts, machine_facts, report
from widgets.machines.head import MachineHead
from widgets.machines.install_run import Installs
from widgets.machines.install_sheet import InstallSheet
from widgets.machines.known import KnownMachines
from widgets.machines.list_panel import MachineList
from widgets.machines.selfcheck import SelfChecks
from widgets.machines.selfcheck_panel import SelfCheckPanel
from widgets.machines.selfcheck_rows import measured_rates, text_report
from widgets.machines.setup.run import SetUps
from widgets.machines.setup.sheet import SetUpSheet
from widgets.machines.trying.panel import alone, panels_of
from widgets.machines.trying.run import MachineTests
from widgets.machines.words import key_words, link_words, machine_row, reached
from widgets.parts.components import EmptyState, tool_button
from widgets.parts.layout import flush_column
from widgets.shell.entries import Does, fulfilled
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.shell.targets import InstallPackages
from workbench.machines.installing import with_its_engine
from workbench.machines.machine import THIS, Machine
from workbench.machines.ssh_config import names
from workbench.running.events import RunnerLink

_CHOICE_MS = 200
"""Arrow keys may pass a machine without connecting to it."""


class MachinesPage(Page):
    name = "machines"
    title = "Machines"
    icon = "server"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        self._facts: MachineFacts | None = None
        self._shown: tuple[str, ProbeResult, str] | None = None
        """The machine and the probe that the details are of; the time of the probe, where the link is lost."""
        self._probed_at: dict[str, datetime] = {}
        self._retry_at: dict[str, float] = {}
        """On the monotonic clock, when each lost link is tried again."""
        self.chosen = THIS
        self.known = KnownMachines(services, self)
        self.checks = SelfChecks(services, self)
        self.installs = Installs(services, self)
        self.tests = MachineTests(services, self)
        self.setups = SetUps(services, self)
        self._wanted: tuple[str, ...] = ()
        """Packages to install that were asked for before this computer was looked at."""
        theme = services.theme
        self.test_button = tool_button(
            theme, "refresh", "Look again", "Read devices, sensors and packages again", self.look
        )
        self.copy_button = tool_button(theme, "copy", "Copy report", "Copy this page as text", self.copy_report)
        self.toolbar.add_right(self.test_button)
        self.toolbar.add_right(self.copy_button)
        self.list = MachineList(theme)
        self.head = MachineHead(theme)
        self._right = QScrollArea()
        self._arrange()
        self.sheet = InstallSheet(theme, self.installs, self)
        self.add_sheet = AddSheet(theme, self)
        self.setup_sheet = SetUpSheet(theme, self.setups, self)
        self._choice = QTimer(self, singleShot=True, interval=_CHOICE_MS)
        self._connect()
        self._show_all()
        self._opened()

    def _arrange(self) -> None:
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setObjectName("list")
        splitter.setHandleWidth(1)
        self._right.setWidgetResizable(True)
        self._right.setFrameShape(QFrame.Shape.NoFrame)
        self._right.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        inner = QWidget()
        self._column = flush_column(inner)
        over = QHBoxLayout()
        over.addWidget(self.head, 1)
        over.addStretch()
        self._column.addLayout(over)
        self._right.setWidget(inner)
        self._right.viewport().installEventFilter(self)
        splitter.addWidget(self.list)
        splitter.addWidget(self._right)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([self.services.theme.width("machines_list"), 1000])
        self.body.addWidget(splitter, 1)

    def _connect(self) -> None:
        bridge = self.services.bridge
        does = {
            "machines.add": Does(self.add),
            "machines.look": Does(self.look),
            "machines.copy-report": Does(self.copy_report),
            "machines.restart-runner": Does(self.restart_runner),
            "machines.install-engine": Does(
                self._install_engine, lambda: bool(self._missing_engine()), "all are installed"
            ),
        }
        self.services.actions.add(*fulfilled(ENTRIES, does))
        self.list.chosen.connect(self.choose)
        self.list.add_wanted.connect(self.add)
        self.head.retry_wanted.connect(self._retry)
        self.head.trust_wanted.connect(self._trust)
        self.head.edit_wanted.connect(self._edit)
        self.head.test_wanted.connect(self._test)
        self.head.setup_wanted.connect(self._set_up)
        self.tests.changed.connect(self._tested)
        self.setups.finished.connect(self.known.set_up)
        self.setup_sheet.copied.connect(self._copied)
        self.head.removal_wanted.connect(self._remove)
        self.add_sheet.decided.connect(self._keep)
        self._choice.timeout.connect(self._connect_to_chosen)
        self.known.changed.connect(self._show_all)
        self.known.probe_failed.connect(self._probe_failed)
        self.checks.changed.connect(self._show_again)
        self.sheet.copied.connect(self._copied)
        bridge.machine_probed.connect(self._probed)
        bridge.link_changed.connect(self._link_changed)
        bridge.queue_changed.connect(self._queue_changed)
        bridge.opened.connect(self._opened)
        self.services.theme.changed.connect(self._show_again)

    def activated(self) -> None:
        """A command may have added machines meanwhile."""
        self.known.read()

    def _opened(self) -> None:
        """There is a workbench; or there was one before the page."""
        if self.services.workbench is not None:
            if (probe := self.services.bridge.probe) is not None:
                self._probed(THIS, probe)
            self.known.connect_to(THIS)

    # --- what a person does -----------------------------------------------------------------------

    def choose(self, machine: str) -> None:
        """Show a machine; it is connected unless another one is chosen right after."""
        if machine == self.chosen:
            return
        self.chosen = machine
        self._show_all()
        self._right.verticalScrollBar().setValue(0)
        self._choice.start()

    def _connect_to_chosen(self) -> None:
        self.known.connect_to(self.chosen)

    def look(self) -> None:
        """Probe the chosen machine again."""
        self.known.look(self.chosen)
        self._show_looking()

    def restart_runner(self) -> None:
        """Of the chosen machine."""
        self.known.restart(self.chosen)

    def add(self) -> None:
        self.services.navigate(self.name, None)
        self.add_sheet.open_new(tuple(m.id for m in self.known.all), names())

    def _test(self) -> None:
        self.tests.start(self._machine)

    def _tested(self, machine: str) -> None:
        """A step of a test, or its end."""
        result = self.tests.results[machine]
        for step in result.steps:
            if step.key is not None:
                self.known.keys[machine] = step.key
        link = self.services.bridge.links.get(machine)
        if result.ended_at is not None and result.works and (link is None or link.state != "connected"):
            self.known.retry(machine)
        if machine == self.chosen:
            self._shown = None
            self._show_all()

    def _set_up(self) -> None:
        """With the engines that are installed here."""
        probe = self.services.bridge.probe
        here = {p.name for p in probe.packages if p.version} if probe is not None else set()
        self.setup_sheet.open_for(self._machine, tuple(e.id for e in engines() if here.issuperset(e.packages[:1])))

    def _edit(self) -> None:
        self.add_sheet.open_for(self._machine, names())

    def _keep(self, machine: Machine) -> None:
        if self.known.keep(machine):
            self.add_sheet.leave()
            self.chosen = machine.id
            self._show_all()

    def _remove(self) -> None:
        title, machine = self._machine.title, self.chosen
        if self.known.remove(machine):
            self._show_all()
            self.services.toasts.show("info", f"{title} was removed. Its stored trials are still there.")

    def _trust(self) -> None:
        self.known.trust(self.chosen)
        self._show_all()

    def _retry(self) -> None:
        if self.chosen == THIS and self.services.bridge.link is None:
            self.known.look(THIS)
        else:
            self.known.retry(self.chosen)

    # --- installing -------------------------------------------------------------------------------

    def show_target(self, target: object) -> None:
        if isinstance(target, InstallPackages):
            self.choose(THIS)
            self.install(target.packages)

    def install(self, packages: tuple[str, ...]) -> None:
        """Open the sheet for these packages, or for what is being installed; nothing starts by itself."""
        probe = self.services.bridge.probe
        if probe is None:
            self._wanted = packages
            return
        why_not = self.installs.prepare(packages, probe)
        if why_not:
            self.services.toasts.show("info", why_not)
            return
        self._queue_changed(self.services.bridge.queue)
        self.sheet.open()

    def _missing_engine(self) -> tuple[str, ...]:
        """Packages of the first engine whose own is not installed here."""
        probe = self.services.bridge.probe
        missing = {p.name for p in probe.packages if not p.version} if probe is not None else set()
        return next((e.packages for e in engines() if e.packages and e.packages[0] in missing), ())

    def _install_engine(self) -> None:
        if packages := self._missing_engine():
            self.install(packages)

    def _install_row(self, package: str) -> None:
        self.install(with_its_engine(package))

    def _queue_changed(self, state: QueueState | None) -> None:
        running = state.in_state("running") if state is not None else ()
        self.sheet.tell_queue(sum(entry.machine == THIS for entry in running))

    def _copied(self, what: str) -> None:
        self.services.toasts.show("info", f"{what} is on the clipboard.")

    def _copy_command(self, command: str) -> None:
        QGuiApplication.clipboard().setText(command)
        self.services.toasts.show("info", f"Copied: {command}")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.sheet.follow_host()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The head is never wider than what is seen, also where a table under it is."""
        if event.type() == QEvent.Type.Resize and watched is self._right.viewport():
            self.head.setMaximumWidth(self._right.viewport().width())
        return super().eventFilter(watched, event)

    # --- the report -------------------------------------------------------------------------------

    def copy_report(self) -> None:
        if self._facts is None:
            return
        text = report(self._facts)
        if self.chosen == THIS and self.checks.result is not None:
            text += "\n" + text_report(self.checks.result)
        QGuiApplication.clipboard().setText(text)
        name = "this computer" if self.chosen == THIS else self._machine.title
        self.services.toasts.show("info", f"The report of {name} is on the clipboard.")

    def shutdown(self) -> None:
        self.checks.shutdown()
        self.installs.shutdown()
        self.setups.shutdown()

    # --- what arrives -----------------------------------------------------------------------------

    def _probed(self, machine: str, result: ProbeResult) -> None:
        self._probed_at[machine] = datetime.now()
        if machine == THIS:
            self.checks.look_up(result.machine)
            wanted, self._wanted = self._wanted, ()
            if wanted:
                self.install(wanted)
        self._show_all()

    def _probe_failed(self, machine: str, error: BaseException) -> None:
        if machine != self.chosen or machine in self.services.bridge.probes:
            self.services.toasts.error(error)
        self._show_looking()
        if machine == self.chosen and machine not in self.services.bridge.probes:
            name = "This computer" if machine == THIS else self._machine.title
            advice = str(getattr(error, "advice", ""))
            self._show_empty(f"{name} could not be examined", f"{error} {advice}".strip(), failed=True)

    def _link_changed(self, link: RunnerLink) -> None:
        self._retry_at.pop(link.machine, None)
        if link.retry_s is not None:
            self._retry_at[link.machine] = time.monotonic() + link.retry_s
        if link.code == "host_key":
            self.known.look_at_key(link.machine)
        if link.state == "connected":
            self.known.keys.pop(link.machine, None)
        if not link.state:
            self.tests.forget(link.machine)
        if link.machine == self.chosen and link.state in ("connected", ""):  # has answered, or is reached in a new way
            self.known.connect_to(link.machine)
        self._show_all()

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def _machine(self) -> Machine:
        return self.known.find(self.chosen)

    def _show_all(self) -> None:
        """List, head and details; the details are built anew only where the probe is another."""
        bridge = self.services.bridge
        machine = self._machine
        self.chosen = machine.id
        rows = [machine_row(m, bridge.links.get(m.id), bridge.probes.get(m.id)) for m in self.known.all]
        self.list.show_rows(rows, machine.id)
        probe = bridge.probes.get(machine.id)
        here = machine.id == THIS
        about = f"{probe.machine} · {rows[0].about}" if here and probe is not None else reached(machine)
        self.head.show_machine(machine.title, about, added=not here)
        words = link_words(machine, bridge.links.get(machine.id), probe)
        self.head.show_link(words, self._retry_at.get(machine.id))
        self.head.show_testing(self.tests.running(machine.id))
        key = self.known.keys.get(machine.id)
        self.head.show_key(key_words(machine, key) if key is not None else None)
        self._show_looking()
        if probe is not None:
            lost = bool(words.title) and machine.id in self._probed_at
            as_of = f"{self._probed_at[machine.id]:%H:%M}" if lost else ""
            before = self._shown
            if before is None or before[1] is not probe or (before[0], before[2]) != (machine.id, as_of):
                self._shown = (machine.id, probe, as_of)
                self._show_again()
        else:
            self._shown = self._facts = None
            self._show_unknown(machine, words.state)

    def _show_under_head(self, widget: QWidget) -> None:
        """The old one goes away with everything in it."""
        while (item := self._column.takeAt(1)) is not None:
            old = item.widget()
            if old is not None:
                old.hide()
                old.setParent(None)
                old.deleteLater()  # a button in it may be what asked for another
        self._column.addWidget(widget, 1)
        widget.show()

    def _show_looking(self) -> None:
        busy = self.chosen in self.known.looking
        name = "this computer" if self.chosen == THIS else self._machine.title
        self.test_button.setEnabled(not busy)
        self.test_button.setToolTip(f"Looking at {name}" if busy else "Read devices, sensors and packages again")
        self.copy_button.setEnabled(self.chosen in self.services.bridge.probes)

    def _show_again(self) -> None:
        """A probe or a self-check has come, or the text has another size; the view stays where it was scrolled to."""
        if self._shown is None:
            return
        machine, probe, as_of = self._shown
        here = machine == THIS
        self._facts = machine_facts(probe, measured_rates(self.checks.result) if here else None)
        theme = self.services.theme
        offers = Offers(self._copy_command, self._install_row if here else None)
        more = (SelfCheckPanel(theme, self.checks),) if here else panels_of(theme, self.tests.results.get(machine))
        self._show_under_head(make_detail(theme, self._facts, offers, *more, as_of=as_of))

    def _show_unknown(self, machine: Machine, state: str) -> None:
        result = self.tests.results.get(machine.id)
        if result is not None:
            self._show_under_head(alone(self.services.theme, result))
            return
        name = "this computer" if machine.id == THIS else machine.title
        looking = machine.id == THIS or state in ("connecting", "connected")
        self._show_empty(
            f"Looking at {name}" if looking else f"Nothing is known of {name} yet",
            "Devices, sensors and engines appear here once its runner answers.",
        )

    def _show_empty(self, title: str, text: str, *, failed: bool = False) -> None:
        self._show_under_head(
            EmptyState(
                self.services.theme,
                title,
                text,
                icon_name="error" if failed else "server",
                action="Try again" if failed else "",
                clicked=self.look if failed else None,
            )
        )
