"""A card in the page's place while no database is open: icon and title, what is under them, buttons. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from widgets.parts.components import IconLabel, label
from widgets.theme.theme import Theme


class Card(QScrollArea):
    """Scrolls where large text does not fit. What it says goes into `body`."""

    def __init__(self, theme: Theme, title: str = "") -> None:
        super().__init__()
        self._theme = theme
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        self.setWidget(inner)
        outer = QHBoxLayout(inner)
        outer.addStretch(1)
        self._column = QVBoxLayout()
        outer.addLayout(self._column, 8)
        outer.addStretch(1)
        self._head = QHBoxLayout()
        self.icon = IconLabel(theme, "error", "status.error", 20, meaning="Error")
        self.title = label(title, role="trial_title", wrap=True)
        self._head.addWidget(self.icon)
        self._head.addWidget(self.title, 1)
        self.body = QVBoxLayout()
        self._buttons = QHBoxLayout()
        self._buttons.addStretch(1)
        self._column.addStretch(1)
        for part in (self._head, self.body, self._buttons):
            self._column.addLayout(part)
        self._column.addStretch(2)
        theme.follow(self._restyle)

    def add_button(self, button: QPushButton) -> QPushButton:
        """Append to the row of buttons."""
        self._buttons.insertWidget(self._buttons.count() - 1, button, alignment=Qt.AlignmentFlag.AlignVCenter)
        return button

    def _restyle(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(12))
        self.body.setSpacing(px(12))
        self._head.setSpacing(px(10))
        self._buttons.setSpacing(px(8))
