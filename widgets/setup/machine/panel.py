"""The Machine panel: where trials run, what is free there, and what will be measured. Main thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from widgets.parts.components import ElidedLabel, IconLabel, Panel, label, line, tool_button
from widgets.parts.layout import flush_column, scroll_area, set_ground
from widgets.parts.memory_bar import MemoryBar
from widgets.setup.machine.rows import DeviceRow, Known, MachineRows, Measured, machine_rows, measured
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment
from workbench.plan.plan import Plan

_TONES = {"good": "good", "warn": "warn", "error": "error", "neutral": "muted"}


class MachinePanel(Panel):
    """One row a device, under its machine where there are several."""

    toggled = Signal(str, bool)
    """`DeviceRow.key`, whether trials are to run on it"""
    refresh_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Machine", parent=parent)
        self._theme = theme
        self._shown: tuple[object, ...] = ()
        self.checks: dict[str, QCheckBox] = {}
        self.refresh = tool_button(
            theme, "refresh", "", "Look at the machines again", self.refresh_wanted.emit, compact=True
        )
        self.header.add_tool(self.refresh)
        inner = QWidget()
        self._column = flush_column(inner)
        self._scroll = scroll_area(inner)
        self.body.addWidget(self._scroll, 1)
        self.say("Looking at this computer")
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setMinimumWidth(self._theme.px(216))

    def say(self, text: str, tone: str = "muted") -> None:
        """A sentence in place of the devices: they are not known yet, or cannot be."""
        self._clear()
        self._shown = ()
        words = label(text, tone=tone, wrap=True)
        margin = self._theme.px(12)
        words.setContentsMargins(margin, margin, margin, margin)
        self._column.addWidget(words)
        self._column.addStretch(1)

    def show_experiment(self, experiment: Experiment, machines: Sequence[Known], plan: Plan | None) -> None:
        groups, facts = machine_rows(experiment, machines), measured(experiment, machines, plan)
        devices = [d for group in groups for d in group.devices]
        chosen = sum(d.checked for d in devices)
        self.header.set_title("Machine" if len(groups) == 1 else "Machines")
        self.header.set_count(f"{chosen} selected" if len(devices) > 1 else "")
        named = tuple((g.title, g.state) for g in groups)
        shown = (named, tuple((d.key, d.title, d.detail, d.memory) for d in devices), facts)
        if shown == self._shown:
            for device in devices:
                self.checks[device.key].setChecked(device.checked)
            return
        focused = next((key for key, check in self.checks.items() if check.hasFocus()), "")
        self._clear()
        self._shown = shown
        for group in groups:
            if group.title:
                self._column.addWidget(self._machine(group))
                self._column.addWidget(line())
            for device in group.devices:
                self._column.addWidget(self._device(device, group.title, only=len(devices) == 1))
                self._column.addWidget(line())
        self._column.addWidget(self._facts(facts))
        self._column.addStretch(1)
        if focused in self.checks:
            self.checks[focused].setFocus()

    def _clear(self) -> None:
        self.checks = {}
        while (item := self._column.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    def _machine(self, group: MachineRows) -> QWidget:
        """The name over its devices, and the state of its link."""
        px = self._theme.px
        row = QFrame()
        set_ground(row, "header")
        across = QHBoxLayout(row)
        across.setContentsMargins(px(12), px(4), px(12), px(4))
        title = ElidedLabel(group.title, role="dense")
        title.setProperty("strong", "500")
        across.addWidget(title, 1)
        across.addWidget(label(group.state, role="dense", tone=_TONES[group.status]))
        return row

    def _device(self, device: DeviceRow, machine: str, *, only: bool) -> QWidget:
        theme, px = self._theme, self._theme.px
        row = QFrame()
        set_ground(row, "base")
        grid = QGridLayout(row)
        grid.setContentsMargins(px(12), px(8), px(12), px(10))
        grid.setHorizontalSpacing(px(8))
        grid.setVerticalSpacing(px(2))
        check = QCheckBox()
        parts = (machine, device.title, device.detail, device.memory)
        check.setAccessibleName(f"Run on {', '.join(p for p in parts if p)}")
        check.setChecked(device.checked)
        if only:
            check.setToolTip("The only device of this computer")
        check.clicked.connect(partial(self._clicked, device.key))
        self.checks[device.key] = check
        title = label(device.title)
        title.setProperty("strong", "500")
        grid.addWidget(check, 0, 0)
        grid.addWidget(title, 0, 1)
        grid.addWidget(ElidedLabel(device.detail, role="dense", tone="muted"), 1, 1)
        if device.memory:
            bar = MemoryBar(theme, 1_000_000, round(1_000_000 * (1 - device.used)))
            bar.setFixedHeight(theme.height("memory_bar") + px(6))
            grid.addWidget(bar, 2, 1)
            grid.addWidget(label(device.memory, role="dense", tone="secondary"), 3, 1)
        grid.setColumnStretch(1, 1)
        return row

    def _clicked(self, key: str) -> None:
        """`clicked` gives a partial no state: its argument has a default."""
        self.toggled.emit(key, self.checks[key].isChecked())

    def _facts(self, facts: tuple[Measured, ...]) -> QWidget:
        px = self._theme.px
        box = QWidget()
        column = QVBoxLayout(box)
        column.setContentsMargins(px(12), px(12), px(12), px(12))
        column.setSpacing(px(6))
        head = QHBoxLayout()
        head.setSpacing(px(6))
        head.addWidget(IconLabel(self._theme, "info", "text.secondary", 14))
        title = label("What will be measured")
        title.setProperty("strong", "500")
        head.addWidget(title, 1)
        column.addLayout(head)
        grid = QGridLayout()
        grid.setHorizontalSpacing(px(8))
        grid.setVerticalSpacing(px(4))
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(0, px(80))
        top = Qt.AlignmentFlag.AlignTop
        for index, fact in enumerate(facts):
            grid.addWidget(label(fact.name, role="dense", tone="muted"), index, 0, top)
            # a path may break at its slashes, but not right after the first one
            said = fact.text.replace(" /", " /\u2060")
            text = label(said, role="dense", tone="primary" if fact.available else "secondary", wrap=True)
            text.setToolTip(fact.hint)
            grid.addWidget(text, index, 1, top)
        column.addLayout(grid)
        return box
