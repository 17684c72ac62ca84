"""The bar over the pages while a damaged database is open read-only. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from widgets.parts.components import IconLabel, label, push_button
from widgets.parts.layout import set_ground
from widgets.theme.theme import Theme

TEXT = (
    "This database is damaged and open read-only. Results can be read and exported; nothing is stored, and runners "
    "keep what their trials say."
)


class ReadOnlyBar(QFrame):
    """Says so, and offers the repair."""

    repair_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        set_ground(self, "panel")
        self.setProperty("edge", "bottom")
        self.setAccessibleName("Damaged database")
        self._row = QHBoxLayout(self)
        self._row.addWidget(IconLabel(theme, "warning", "status.warn", 16, meaning="Warning"))
        self._row.addWidget(label(TEXT, wrap=True), 1)
        self.repair = push_button("Repair", self.repair_wanted.emit)
        self._row.addWidget(self.repair, alignment=Qt.AlignmentFlag.AlignVCenter)
        theme.follow(self._restyle)
        self.hide()

    def _restyle(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(px(12), px(6), px(12), px(6))
        self._row.setSpacing(px(10))
