"""The page area while the database is opened, and when it could not be. Main thread."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QStackedLayout, QWidget

from engines.protocol.problems import advice_of
from widgets.opening.card import Card
from widgets.opening.repair_card import RepairCard
from widgets.parts.components import EmptyState, label, push_button
from widgets.parts.layout import set_ground
from widgets.theme.theme import Theme

DAMAGED = "damaged"
"""`StoreError.code` of a file that can be repaired."""


class OpeningPage(QWidget):
    """ "Opening ..." in words, the error with what is safe and what to do, or the repair of a damaged file."""

    again = Signal()
    other = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        set_ground(self, "panel")
        self._stack = QStackedLayout(self)
        self._waiting = EmptyState(theme, "Opening the database")
        self._error = Card(theme, "The database could not be opened")
        self.repair = RepairCard(theme)
        for page in (self._waiting, self._error, self.repair):
            self._stack.addWidget(page)
        self.message = label(wrap=True, selectable=True)
        self.advice = label(tone="secondary", wrap=True, selectable=True)
        self.path = label(role="mono", tone="muted", wrap=True, selectable=True)
        for widget in (self.message, self.advice, self.path):
            self._error.body.addWidget(widget)
        self.again_button = self._error.add_button(push_button("Try again", self.again.emit, kind="main"))
        self.other_button = self._error.add_button(push_button("Choose another database", self.other.emit))
        self.repair.open_wanted.connect(self.again)
        self.repair.other_wanted.connect(self.other)

    def show_waiting(self, database: Path) -> None:
        self._waiting.set("Opening the database", str(database))
        self._stack.setCurrentWidget(self._waiting)

    def show_repairing(self, database: Path) -> None:
        self.repair.show_repairing(database)
        self._stack.setCurrentWidget(self.repair)

    def show_error(self, error: BaseException, database: Path, *, readable: bool = True) -> None:
        """Say what happened; nothing was changed in the file. `readable`: as `RepairCard.show_damage`'s."""
        if getattr(error, "code", "") == DAMAGED:
            self.repair.show_damage(error, readable=readable)
            self._stack.setCurrentWidget(self.repair)
            return
        self.message.setText(str(error) or type(error).__name__)
        advice = advice_of(error)
        self.advice.setText(advice or "The file was not changed. Running trials continue and keep their data.")
        self.path.setText(str(database))
        self._stack.setCurrentWidget(self._error)
        self.again_button.setFocus(Qt.FocusReason.OtherFocusReason)
