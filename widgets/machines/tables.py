"""The tables of the Machines page: a few fixed rows of labels in a grid. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QGridLayout, QWidget

from widgets.machines.facts import DeviceRow, EngineRow, MissingRow, SensorRow
from widgets.parts.components import ElidedLabel, IconLabel, label, line, push_button, tool_button
from widgets.parts.layout import flush_row, set_ground
from widgets.parts.memory_bar import MemoryBar
from widgets.theme.theme import Theme


class Grid(QFrame):
    """Rows of 28 px on the base ground with a header of 24 px and lines between; `stretch` names the wide columns."""

    def __init__(self, theme: Theme, header: tuple[str, ...], stretch: dict[int, int], name: str) -> None:
        super().__init__()
        self._theme = theme
        self._row = 0
        self._columns = len(header)
        set_ground(self, "base")
        self.setAccessibleName(name)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(theme.spacing("m"))
        self._grid.setVerticalSpacing(0)
        for column in range(self._columns):
            self._grid.setColumnStretch(column, stretch.get(column, 0))
        ground = QFrame()
        set_ground(ground, "header")
        self._grid.addWidget(ground, 0, 0, 1, self._columns)
        self.add(tuple(label(text, role="dense", tone="secondary") for text in header), height="table_header")

    def add(self, cells: tuple[QWidget, ...], *, height: str = "row") -> None:
        """One row, a cell a column."""
        for column, cell in enumerate(cells):
            left = self._theme.spacing("m") if column == 0 else 0
            right = self._theme.spacing("m") if column == self._columns - 1 else 0
            cell.setContentsMargins(left, 0, right, 0)
            cell.setMinimumHeight(self._theme.height(height))
            self._grid.addWidget(cell, self._row, column)
        self._end_row(1)

    def add_wide(self, title: QWidget, state: QWidget, text: QWidget) -> None:
        """A title and its state over a text that takes the whole width."""
        side, gap = self._theme.spacing("m"), self._theme.spacing("s")
        title.setContentsMargins(side, gap, 0, 0)
        state.setContentsMargins(0, gap, side, 0)
        text.setContentsMargins(side, 0, side, gap)
        self._grid.addWidget(title, self._row, 0, 1, self._columns - 1)
        self._grid.addWidget(state, self._row, self._columns - 1, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(text, self._row + 1, 0, 1, self._columns)
        self._end_row(2)

    def _end_row(self, lines: int) -> None:
        self._grid.addWidget(line(), self._row + lines, 0, 1, self._columns)
        self._row += lines + 1


def device_table(theme: Theme, rows: tuple[DeviceRow, ...]) -> QWidget:
    """Devices with their free memory. What none of them says has no column, and a dash stands where one does not."""
    told = {
        title: values
        for title, values in (
            ("Driver or governor", [row.driver for row in rows]),
            ("Power limit", [row.power_limit for row in rows]),
            ("Clock, max", [row.clock for row in rows]),
        )
        if any(values)
    }
    grid = Grid(theme, ("Device", "Name", "Memory", "", *told), {1: 2, 2: 1}, "Devices")
    for place, row in enumerate(rows):
        grid.add(
            (
                label(row.device),
                _strong(row.name),
                MemoryBar(theme, row.total_bytes, row.free_bytes),
                label(row.memory),
                *(label(values[place] or "–", tone="secondary") for values in told.values()),
            )
        )
    return grid


def sensor_table(theme: Theme, rows: tuple[SensorRow, ...], missing: tuple[MissingRow, ...]) -> QWidget:
    """What can be measured and how; then what cannot, with the reason and what to do under it."""
    checked = any(row.changes for row in rows)
    header = ("Quantity", "Source", "Read at", *(("Changes at",) if checked else ()), "State")
    grid = Grid(theme, header, {1: 1}, "What can be measured")
    for row in rows:
        source = ElidedLabel(row.source, tone="secondary")
        source.setToolTip(row.how)
        cells = [_strong(row.quantity), source, label(row.rate, tone="secondary")]
        if checked:
            changes = label(row.changes or "–", tone="secondary")
            changes.setToolTip("" if row.changes else "It changed too rarely during the self-check to tell.")
            cells.append(changes)
        grid.add((*cells, _measured(theme)))
    for gap in missing:
        names = label(", ".join(gap.quantities), wrap=True)
        names.setProperty("strong", 500)
        why = label(f"{gap.reason} {gap.hint}".strip(), role="dense", tone="muted", wrap=True, selectable=True)
        grid.add_wide(names, label("not available", tone="secondary"), why)
    return grid


def engine_table(
    theme: Theme, rows: tuple[EngineRow, ...], copy: Callable[[str], None], install: Callable[[str], None] | None
) -> QWidget:
    """Packages with what they give; a missing one with the command that installs it, to copy or to run. Without
    `install` it can only be copied."""
    grid = Grid(theme, ("Package", "Version", "State"), {2: 1}, "Engines")
    for row in rows:
        if row.install:
            # what is copied names this very Python; what is read need not
            command = ElidedLabel(row.install.partition(" -m ")[2] or row.install, role="mono")
            button = tool_button(theme, "copy", "", f"Copy: {row.install}", partial(copy, row.install), compact=True)
            parts = [command, button]
            if install is not None:
                run = push_button("Install…", partial(install, row.package), kind="inline")
                run.setToolTip(f"{row.gives[:1].upper()}{row.gives[1:]}. Shows what would be run; nothing starts yet.")
                run.setAccessibleName(f"Install {row.package}")
                parts.append(run)
            grid.add((_strong(row.package), label("missing", tone="warn"), _beside(theme, *parts, wide=command)))
        else:
            check = IconLabel(theme, "check", "status.good", 14, "installed")
            gives = label(row.gives, role="dense", tone="secondary", wrap=True)
            gives.setContentsMargins(0, theme.spacing("xs"), 0, theme.spacing("xs"))
            grid.add((_strong(row.package), label(row.version), _beside(theme, check, gives, wide=gives)))
    return grid


def _strong(text: str) -> ElidedLabel:
    made = ElidedLabel(text)
    made.setProperty("strong", 500)
    return made


def _measured(theme: Theme) -> QWidget:
    return _beside(theme, IconLabel(theme, "check", "status.good", 14), label("measured", tone="good"))


def _beside(theme: Theme, *parts: QWidget, wide: QWidget | None = None) -> QWidget:
    """Parts in a row; `wide` takes what room there is, otherwise the rest stays empty."""
    holder = QWidget()
    row = flush_row(holder, theme.spacing("xs"))
    for part in parts:
        row.addWidget(part, 1 if part is wide else 0)
    if wide is None:
        row.addStretch(1)
    return holder
