"""What a machine has, built from one probe: devices, sensors, engines, and what the page adds. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QSize
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from widgets.machines.facts import MachineFacts
from widgets.machines.tables import device_table, engine_table, sensor_table
from widgets.parts.components import Panel, PanelHeader, label, line
from widgets.parts.layout import flush_column, flush_row, set_ground
from widgets.theme.theme import Theme

OUTSIDE = "Readings come from outside the worker: they cost the trial nothing in its own process."


_BESIDE = 980
"""Pixels that both tables need beside each other."""


@dataclass(frozen=True)
class Offers:
    """What a person can do with what is missing. `install` is None where the window cannot."""

    copy: Callable[[str], None]
    install: Callable[[str], None] | None


def make_detail(theme: Theme, facts: MachineFacts, offers: Offers, *more: QWidget, as_of: str = "") -> QWidget:
    """`more`: panels under the engines. `as_of`: since when nothing newer is known, where the link is lost."""
    detail = QWidget()
    set_ground(detail, "panel")
    column = flush_column(detail)
    count = str(len(facts.devices))
    column.addWidget(PanelHeader(theme, "Devices", f"{count}, as of {as_of}" if as_of else count))
    column.addWidget(device_table(theme, facts.devices))
    column.addWidget(line())
    sensors = Panel(theme, "What can be measured", f"{len(facts.sensors)} of {facts.quantities}")
    sensors.body.addWidget(sensor_table(theme, facts.sensors, facts.missing))
    note = label(OUTSIDE, tone="muted", wrap=True)
    edge = theme.spacing("m")
    note.setContentsMargins(edge, edge, edge, edge)
    sensors.body.addWidget(note)
    sensors.body.addStretch(1)
    installed = len(facts.engines) - facts.missing_engines
    missing = f", {facts.missing_engines} missing" if facts.missing_engines else ""
    engines = Panel(theme, "Engines", f"{installed} installed{missing}")
    engines.body.addWidget(engine_table(theme, facts.engines, offers.copy, offers.install))
    more_column = QWidget()
    right = flush_column(more_column)
    for panel in (engines, *more):
        right.addWidget(panel)
        right.addWidget(line())
    right.addStretch(1)
    column.addWidget(_Halves(sensors, more_column), 1)
    return detail


class _Halves(QWidget):
    """Two parts beside each other, in a narrow window one below the other."""

    def __init__(self, left: QWidget, right: QWidget) -> None:
        super().__init__()
        self._between = line(vertical=True)
        self._row = flush_row(self)
        self._row.addWidget(left, 3)
        self._row.addWidget(self._between)
        self._row.addWidget(right, 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        wide = self.width() >= _BESIDE
        self._between.setVisible(wide)
        self._row.setDirection(QHBoxLayout.Direction.LeftToRight if wide else QHBoxLayout.Direction.TopToBottom)
        super().resizeEvent(event)

    def minimumSizeHint(self) -> QSize:
        """Narrower than both beside each other: it is then that they are stacked."""
        hint = super().minimumSizeHint()
        widest = max(item.minimumSize().width() for item in map(self._row.itemAt, range(self._row.count())) if item)
        return QSize(widest, hint.height())
