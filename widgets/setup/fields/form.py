"""A form of Setup: label left, field right, what is wrong under the field. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

from widgets.parts.components import label
from widgets.theme.theme import Theme


class Form(QWidget):
    """Rows of 28 px, 8 px apart; labels stay at the height of their field when a message grows under it."""

    def __init__(self, theme: Theme, label_width: int = 88, *, columns: int = 1, parent: QWidget | None = None) -> None:
        """`columns`: fields beside each other in a row; hints and wide widgets only in forms with one."""
        super().__init__(parent)
        self._columns, self._added = columns, 0
        self._theme = theme
        self._label_width = label_width
        self._labels: list[QLabel] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        for column in range(columns):
            self._grid.setColumnStretch(2 * column + 1, 1)
        self._row = 0
        theme.follow(self._restyle)

    def add(self, title: str, field: QWidget, tip: str = "") -> QLabel:
        """One field with its label."""
        text = label(title, tone="secondary")
        text.setToolTip(tip)
        text.setBuddy(field)
        text.setMinimumHeight(self._theme.height("control"))
        self._labels.append(text)
        column = 2 * (self._added % self._columns)
        self._grid.addWidget(text, self._row, column, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(field, self._row, column + 1, Qt.AlignmentFlag.AlignTop)
        self._added += 1
        if self._added % self._columns == 0:
            self._row += 1
        return text

    def add_wide(self, widget: QWidget) -> None:
        """Something over both columns."""
        self._grid.addWidget(widget, self._row, 0, 1, 2)
        self._row += 1

    def add_hint(self, text: str) -> QLabel:
        """A sentence under the last field."""
        hint = label(text, role="dense", tone="muted", wrap=True)
        self._grid.addWidget(hint, self._row, 1)
        self._row += 1
        return hint

    def _restyle(self) -> None:
        px = self._theme.px
        self._grid.setHorizontalSpacing(px(8))
        self._grid.setVerticalSpacing(px(8))
        self._grid.setColumnMinimumWidth(0, px(self._label_width))
        for text in self._labels:
            text.setMinimumHeight(self._theme.height("control"))
