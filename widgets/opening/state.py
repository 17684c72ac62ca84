"""The page area while the database is opened, and when it could not be. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

from widgets.parts.components import EmptyState, IconLabel, label, push_button
from widgets.theme.theme import Theme


class OpeningPage(QWidget):
    """ "Opening ..." in words, or the error with what is safe and what to do."""

    again = Signal()
    other = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "panel")
        self._stack = QStackedLayout(self)
        self._waiting = EmptyState(theme, "Opening the database")
        self._stack.addWidget(self._waiting)
        self._error = QWidget()
        self._stack.addWidget(self._error)
        outer = QHBoxLayout(self._error)
        outer.addStretch(1)
        column = QVBoxLayout()
        outer.addLayout(column, 8)
        outer.addStretch(1)
        column.setSpacing(theme.px(12))
        column.addStretch(1)
        head = QHBoxLayout()
        head.setSpacing(theme.px(10))
        head.addWidget(IconLabel(theme, "error", "status.error", 20, meaning="Error"))
        self.title = label("The database could not be opened", role="trial_title")
        head.addWidget(self.title, 1)
        column.addLayout(head)
        self.message = label(wrap=True, selectable=True)
        self.advice = label(tone="secondary", wrap=True, selectable=True)
        self.path = label(role="mono", tone="muted", wrap=True, selectable=True)
        for widget in (self.message, self.advice, self.path):
            column.addWidget(widget)
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.px(8))
        self.again_button = push_button("Try again", self.again.emit, kind="main")
        self.other_button = push_button("Choose another database", self.other.emit)
        buttons.addWidget(self.again_button)
        buttons.addWidget(self.other_button, alignment=Qt.AlignmentFlag.AlignVCenter)
        buttons.addStretch(1)
        column.addLayout(buttons)
        column.addStretch(2)

    def show_waiting(self, database: Path) -> None:
        self._waiting.set("Opening the database", str(database))
        self._stack.setCurrentWidget(self._waiting)

    def show_error(self, error: BaseException, database: Path) -> None:
        """Say what happened; nothing was changed in the file."""
        self.message.setText(str(error) or type(error).__name__)
        advice = str(getattr(error, "advice", ""))
        self.advice.setText(advice or "The file was not changed. Running trials continue and keep their data.")
        self.path.setText(str(database))
        self._stack.setCurrentWidget(self._error)
        self.again_button.setFocus(Qt.FocusReason.OtherFocusReason)
