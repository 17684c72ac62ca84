"""The Machines page: a list of machines at the left, everything about the chosen one at the right. Main thread.

There is one machine for now, this computer; others join the same list when they can be reached over SSH.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QVBoxLayout, QWidget

from engines.catalogue import engines
from engines.protocol.messages import ProbeResult, QueueState
from widgets.machines.entries import ENTRIES
from widgets.machines.facts import MachineFacts, machine_facts, report
from widgets.machines.install_run import Installs
from widgets.machines.install_sheet import InstallSheet
from widgets.machines.selfcheck import SelfChecks
from widgets.machines.selfcheck_panel import SelfCheckPanel
from widgets.machines.selfcheck_rows import measured_rates, text_report
from widgets.machines.tables import device_table, engine_table, sensor_table
from widgets.parts.components import Chip, EmptyState, IconLabel, Panel, PanelHeader, label, line, tool_button
from widgets.shell.entries import Does, fulfilled
from widgets.shell.page import Page
from widgets.shell.services import Services
from widgets.shell.targets import InstallPackages
from workbench.machines.installing import with_its_engine


class MachinesPage(Page):
    name = "machines"
    title = "Machines"
    icon = "server"

    def __init__(self, services: Services, parent: QWidget | None = None) -> None:
        super().__init__(services, parent)
        self._facts: MachineFacts | None = None
        self._probe: ProbeResult | None = None
        self.checks = SelfChecks(services, self)
        self.checks.changed.connect(self._show_again)
        self.installs = Installs(services, self)
        self._wanted: tuple[str, ...] = ()
        """Packages to install that were asked for before the machine was looked at."""
        theme = services.theme
        self.test_button = tool_button(
            theme, "refresh", "Look again", "Read devices, sensors and packages again", self.look
        )
        self.copy_button = tool_button(theme, "copy", "Copy report", "Copy this page as text", self.copy_report)
        self.toolbar.add_right(self.test_button)
        self.toolbar.add_right(self.copy_button)
        does = {
            "machines.look": Does(self.look),
            "machines.copy-report": Does(self.copy_report),
            "machines.install-engine": Does(
                self._install_engine, lambda: bool(self._missing_engine()), "all are installed"
            ),
        }
        services.actions.add(*fulfilled(ENTRIES, does))
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setObjectName("list")
        splitter.setHandleWidth(1)
        self._list = self._make_list()
        theme.follow(self._fit_list)
        self._right = QScrollArea()
        self._right.setWidgetResizable(True)
        self._right.setFrameShape(QFrame.Shape.NoFrame)
        self._right.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        splitter.addWidget(self._list)
        splitter.addWidget(self._right)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([theme.width("machines_list"), 1000])
        self.body.addWidget(splitter, 1)
        self._show_waiting()
        services.bridge.probe_finished.connect(self.show_probe)
        services.bridge.opened.connect(self.look)
        self.sheet = InstallSheet(theme, self.installs, self)
        self.sheet.copied.connect(self._copied)
        services.bridge.queue_changed.connect(self._queue_changed)
        theme.changed.connect(self._show_again)
        if services.bridge.probe is not None:
            self.show_probe(services.bridge.probe)
        elif services.workbench is not None:
            self.look()

    # --- what a person does -----------------------------------------------------------------------

    def look(self) -> None:
        """Probe again; the answer comes through the bridge like every probe."""
        workbench = self.services.workbench
        if workbench is None:
            return
        self.test_button.setEnabled(False)
        self.test_button.setToolTip("Looking at this computer")
        self.services.bridge.run(
            lambda: workbench.probe(refresh=True), self.show_probe, self._probe_failed, receiver=self
        )

    # --- installing -------------------------------------------------------------------------------

    def show_target(self, target: object) -> None:
        if isinstance(target, InstallPackages):
            self.install(target.packages)

    def install(self, packages: tuple[str, ...]) -> None:
        """Open the sheet for these packages, or for what is being installed; nothing starts by itself."""
        if self._probe is None:
            self._wanted = packages
            return
        why_not = self.installs.prepare(packages, self._probe)
        if why_not:
            self.services.toasts.show("info", why_not)
            return
        self._queue_changed(self.services.bridge.queue)
        self.sheet.open()

    def _missing_engine(self) -> tuple[str, ...]:
        """Packages of the first engine whose own is not installed."""
        here = self._probe.packages if self._probe is not None else ()
        missing = {p.name for p in here if not p.version}
        return next((e.packages for e in engines() if e.packages and e.packages[0] in missing), ())

    def _install_engine(self) -> None:
        if packages := self._missing_engine():
            self.install(packages)

    def _install_row(self, package: str) -> None:
        self.install(with_its_engine(package))

    def _queue_changed(self, state: QueueState | None) -> None:
        self.sheet.tell_queue(len(state.in_state("running")) if state is not None else 0)

    def _copied(self, what: str) -> None:
        self.services.toasts.show("info", f"{what} is on the clipboard.")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.sheet.follow_host()

    # --- the report -------------------------------------------------------------------------------

    def copy_report(self) -> None:
        if self._facts is not None:
            text = report(self._facts)
            if self.checks.result is not None:
                text += "\n" + text_report(self.checks.result)
            QGuiApplication.clipboard().setText(text)
            self.services.toasts.show("info", "The report of this computer is on the clipboard.")

    def shutdown(self) -> None:
        self.checks.shutdown()
        self.installs.shutdown()

    # --- what is shown ----------------------------------------------------------------------------

    def show_probe(self, result: ProbeResult) -> None:
        """Build the right side anew; the old one goes away with everything in it."""
        self.test_button.setEnabled(True)
        self.test_button.setToolTip("Read devices, sensors and packages again")
        self._probe = result
        wanted, self._wanted = self._wanted, ()
        if wanted:
            self.install(wanted)
        self.checks.look_up(result.machine)
        self._show_again()

    def _show_again(self) -> None:
        """A probe or a self-check has come, or the text has another size; the view stays where it was scrolled to."""
        if self._probe is None:
            return
        self._facts = machine_facts(self._probe, measured_rates(self.checks.result))
        self._summary.setText(self._facts.summary)
        bar = self._right.verticalScrollBar()
        place = bar.value()
        self._right.setWidget(self._make_detail(self._facts))
        bar.setValue(place)

    def _probe_failed(self, error: BaseException) -> None:
        self.test_button.setEnabled(True)
        if self._facts is None:
            advice = str(getattr(error, "advice", ""))
            self._right.setWidget(
                EmptyState(
                    self.services.theme,
                    "This computer could not be examined",
                    f"{error} {advice}".strip(),
                    icon_name="error",
                    action="Try again",
                    clicked=self.look,
                )
            )
        else:
            self.services.toasts.show("error", str(error), str(getattr(error, "advice", "")))

    def _show_waiting(self) -> None:
        self._right.setWidget(
            EmptyState(
                self.services.theme,
                "Looking at this computer",
                "Devices, sensors and engines appear here once the runner answers.",
                icon_name="server",
            )
        )

    def _make_list(self) -> QWidget:
        theme = self.services.theme
        panel = Panel(theme, "Machines", "1")
        self._row = row = QFrame()
        row.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        row.setProperty("ground", "base")
        self._row_parts = inner = QHBoxLayout(row)
        inner.addWidget(IconLabel(theme, "chip", "text.secondary", 20))
        names = QVBoxLayout()
        names.setSpacing(0)
        names.addStretch(1)
        title = label("this computer")
        title.setProperty("strong", 500)
        self._summary = label("", role="dense", tone="muted", wrap=True)
        names.addWidget(title)
        names.addWidget(self._summary)
        names.addStretch(1)
        inner.addLayout(names, 1)
        inner.addWidget(label("ready", role="dense", tone="good"))
        panel.body.addWidget(row)
        panel.body.addWidget(line())
        self._hint = label(
            "Trials run in a runner of their own on this computer. They continue when the window closes; it catches up "
            "when it opens again.",
            role="dense",
            tone="muted",
            wrap=True,
        )
        panel.body.addWidget(self._hint)
        panel.body.addStretch(1)
        return panel

    def _fit_list(self) -> None:
        """The list follows the text size; the right side is built anew."""
        theme = self.services.theme
        edge = theme.spacing("m")
        self._row.setMinimumHeight(theme.height("machine_row"))
        self._row_parts.setContentsMargins(edge, 0, edge, 0)
        self._row_parts.setSpacing(edge)
        self._hint.setContentsMargins(edge, edge, edge, 0)
        self._list.setMinimumWidth(theme.px(220))

    def _make_detail(self, facts: MachineFacts) -> QWidget:
        theme = self.services.theme
        detail = QWidget()
        detail.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        detail.setProperty("ground", "panel")
        column = QVBoxLayout(detail)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._make_title(facts))
        column.addWidget(line())
        column.addWidget(PanelHeader(theme, "Devices", str(len(facts.devices))))
        column.addWidget(device_table(theme, facts.devices))
        column.addWidget(line())
        halves = QHBoxLayout()
        halves.setContentsMargins(0, 0, 0, 0)
        halves.setSpacing(0)
        sensors = Panel(theme, "What can be measured", f"{len(facts.sensors)} of {facts.quantities}")
        sensors.body.addWidget(sensor_table(theme, facts.sensors, facts.missing))
        note = label(
            "Readings come from outside the worker: they cost the trial nothing in its own process.",
            tone="muted",
            wrap=True,
        )
        note.setContentsMargins(theme.spacing("m"), theme.spacing("m"), theme.spacing("m"), theme.spacing("m"))
        sensors.body.addWidget(note)
        sensors.body.addStretch(1)
        installed = len(facts.engines) - facts.missing_engines
        missing = f", {facts.missing_engines} missing" if facts.missing_engines else ""
        engines = Panel(theme, "Engines", f"{installed} installed{missing}")
        engines.body.addWidget(engine_table(theme, facts.engines, self._copy_command, self._install_row))
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(engines)
        right.addWidget(line())
        right.addWidget(SelfCheckPanel(theme, self.checks))
        right.addStretch(1)
        halves.addWidget(sensors, 3)
        halves.addWidget(line(vertical=True))
        halves.addLayout(right, 2)
        column.addLayout(halves, 1)
        return detail

    def _make_title(self, facts: MachineFacts) -> QWidget:
        theme = self.services.theme
        head = QWidget()
        row = QVBoxLayout(head)
        row.setContentsMargins(theme.spacing("m"), theme.spacing("m"), theme.spacing("m"), theme.spacing("m"))
        row.setSpacing(theme.spacing("xs"))
        first = QHBoxLayout()
        first.setSpacing(theme.spacing("s"))
        first.addWidget(label("this computer", role="trial_title"))
        first.addWidget(Chip(theme, "Ready", "good"))
        first.addStretch(1)
        row.addLayout(first)
        row.addWidget(label(f"{facts.name} · {facts.summary}", role="dense", tone="muted"))
        return head

    def _copy_command(self, command: str) -> None:
        QGuiApplication.clipboard().setText(command)
        self.services.toasts.show("info", f"Copied: {command}")
