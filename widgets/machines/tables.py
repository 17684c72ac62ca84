"""The tables of the Machines page: a few fixed rows of labels in a grid. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget

from widgets.components import IconLabel, label, line, tool_button
from widgets.machines.facts import DeviceRow, EngineRow, SensorRow
from widgets.theme import Theme


class Grid(QFrame):
    """Rows of 28 px on the base ground with a header of 24 px and lines between; `stretch` names the wide columns."""

    def __init__(self, theme: Theme, header: tuple[str, ...], stretch: dict[int, int], name: str) -> None:
        super().__init__()
        self._theme = theme
        self._row = 0
        self._columns = len(header)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "base")
        self.setAccessibleName(name)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.spacing("m"))
        self._grid.setVerticalSpacing(0)
        for column in range(self._columns):
            self._grid.setColumnStretch(column, stretch.get(column, 0))
        ground = QFrame()
        ground.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        ground.setProperty("ground", "header")
        self._grid.addWidget(ground, 0, 0, 1, self._columns)
        self.add(tuple(label(text, role="dense", tone="secondary") for text in header), height="table_header")

    def add(self, cells: tuple[QWidget | None, ...], *, height: str = "row", below: QWidget | None = None) -> None:
        """One row; `below` is a second line that begins under the second column."""
        for column, cell in enumerate(cells):
            if cell is None:
                continue
            if column == 0:
                cell.setContentsMargins(self._theme.spacing("m"), 0, 0, 0)
            if column == self._columns - 1:
                margins = cell.contentsMargins()
                cell.setContentsMargins(margins.left(), 0, self._theme.spacing("m"), 0)
            cell.setMinimumHeight(self._theme.height(height))
            self._grid.addWidget(cell, self._row, column)
        self._row += 1
        if below is not None:
            margin = self._theme.spacing("s")
            below.setContentsMargins(0, 0, self._theme.spacing("m"), margin)
            self._grid.addWidget(below, self._row, 1, 1, self._columns - 1)
            self._row += 1
        self._grid.addWidget(line(), self._row, 0, 1, self._columns)
        self._row += 1


class MemoryBar(QWidget):
    """How much of a device's memory is taken: 10 px, grey from the left."""

    def __init__(self, theme: Theme, total: int, free: int) -> None:
        super().__init__()
        self._theme = theme
        self._used = 0.0 if total <= 0 else min(max(1 - free / total, 0.0), 1.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(f"{100 * self._used:.0f} % of the memory is in use")

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(120), self._theme.height("row"))

    def minimumSizeHint(self) -> QSize:
        return QSize(self._theme.px(60), self._theme.height("memory_bar"))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        height = self._theme.height("memory_bar")
        bar = QRect(0, (self.height() - height) // 2, self.width(), height)
        painter.fillRect(bar, self._theme.color("memory.free"))
        painter.fillRect(
            QRect(bar.topLeft(), QSize(round(bar.width() * self._used), height)), self._theme.color("memory.overhead")
        )
        painter.end()


def device_table(theme: Theme, rows: tuple[DeviceRow, ...]) -> QWidget:
    """Devices with their free memory; a dash where the driver or the system says nothing."""
    grid = Grid(
        theme,
        ("Device", "Name", "Memory", "", "Driver or governor", "Power limit", "Clock, max"),
        {1: 3, 2: 1, 3: 2},
        "Devices",
    )
    for row in rows:
        grid.add(
            (
                label(row.device),
                _strong(row.name),
                MemoryBar(theme, row.total_bytes, row.free_bytes),
                label(row.memory),
                label(row.driver or "–", tone="secondary"),
                label(row.power_limit or "–", tone="secondary"),
                label(row.clock or "–", tone="secondary"),
            )
        )
    return grid


def sensor_table(theme: Theme, rows: tuple[SensorRow, ...]) -> QWidget:
    """What can be measured and how; what cannot, with the reason and what to do under it."""
    grid = Grid(theme, ("Quantity", "Source", "Rate", "State"), {1: 1}, "What can be measured")
    for row in rows:
        source = label(row.source, tone="secondary", wrap=True)
        if not row.reason:
            grid.add((_strong(row.quantity), source, label(row.rate, tone="secondary"), _measured(theme)))
            continue
        why = label(f"{row.reason} {row.hint}".strip(), role="dense", tone="muted", wrap=True, selectable=True)
        grid.add((_strong(row.quantity), source, None, label("not available", tone="secondary")), below=why)
    return grid


def engine_table(theme: Theme, rows: tuple[EngineRow, ...], copy: Callable[[str], None]) -> QWidget:
    """Packages with what they give; a missing one with the command that installs it, to copy."""
    grid = Grid(theme, ("Package", "Version", "State"), {2: 1}, "Engines")
    for row in rows:
        if row.install:
            version = label("missing", tone="warn")
            command = label(row.install, role="mono", selectable=True)
            button = tool_button(theme, "copy", "", f"Copy: {row.install}", partial(copy, row.install), compact=True)
            grid.add((_strong(row.package), version, _beside(theme, command, button)))
        else:
            check = IconLabel(theme, "check", "status.good", 14, "installed")
            grid.add(
                (_strong(row.package), label(row.version), _beside(theme, check, label(row.gives, tone="secondary")))
            )
    return grid


def _strong(text: str) -> QLabel:
    made = label(text)
    made.setProperty("strong", 500)
    return made


def _measured(theme: Theme) -> QWidget:
    return _beside(theme, IconLabel(theme, "check", "status.good", 14), label("measured", tone="good"))


def _beside(theme: Theme, *parts: QWidget) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(theme.spacing("xs"))
    for part in parts:
        row.addWidget(part)
    row.addStretch(1)
    return holder
