"""How rows of the Settings page stand: name, field with a note under it, buttons at the right end. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from widgets.parts.components import label
from widgets.theme.theme import Theme

NAME_WIDTH = 160


class Rows(QWidget):
    """A form that is filled from the top."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._names: list[QLabel] = []
        self._sides: list[QHBoxLayout] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(1, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._grid.setHorizontalSpacing(px(16))
        self._grid.setVerticalSpacing(px(12))
        self._grid.setColumnMinimumWidth(0, px(NAME_WIDTH))
        for name in self._names:
            name.setMinimumHeight(self._theme.height("control"))
        for side in self._sides:
            side.setSpacing(px(8))

    def add(self, name: str, field: QWidget, note: str = "", *buttons: QWidget) -> None:
        """One setting: words, or a field."""
        row = self._grid.rowCount()
        title = label(name, tone="secondary")
        if not isinstance(field, QLabel):  # the name is beside a field, not at its upper edge
            title.setBuddy(field)
            self._names.append(title)
        beside = Qt.AlignmentFlag.AlignTop if note else Qt.AlignmentFlag.AlignVCenter
        self._grid.addWidget(title, row, 0, beside)
        middle = QVBoxLayout()
        middle.setSpacing(2)
        middle.addWidget(field)
        if note:
            middle.addWidget(label(note, role="dense", tone="muted", wrap=True))
        self._grid.addLayout(middle, row, 1)
        side = QHBoxLayout()
        self._sides.append(side)
        for button in buttons:
            side.addWidget(button)
        self._grid.addLayout(side, row, 2, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop)
        self._restyle()
