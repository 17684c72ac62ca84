"""A question in place: a sentence, at most one field, one button that does it and one that does not. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QWidget

from widgets.parts.components import IconLabel, label, push_button, set_look
from widgets.parts.layout import set_ground
from widgets.theme.theme import Theme


class AskBar(QFrame):
    """Hidden until `ask` or `ask_text`; Escape and "Keep" answer no."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._yes: Callable[[], None] | None = None
        self._named: Callable[[str], None] | None = None
        set_ground(self, "raised", "bottom")
        self._icon = IconLabel(theme, "warning", "status.warn")
        self.text = label(wrap=True)
        self.field = QLineEdit()
        self.field.returnPressed.connect(self._agree)
        self.agree = push_button("", self._agree)
        self.refuse = push_button("Keep", self.close_)
        row = QHBoxLayout(self)
        row.addWidget(self._icon)
        row.addWidget(self.text, 1)
        row.addWidget(self.field, 1)
        row.addWidget(self.agree)
        row.addWidget(self.refuse)
        self._row = row
        self.hide()
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(px(12), px(6), px(12), px(6))
        self._row.setSpacing(px(8))

    def ask(self, text: str, agree: str, yes: Callable[[], None]) -> None:
        """Something that cannot be taken back."""
        self._yes, self._named = yes, None
        self.text.setText(text)
        self._show(agree, "Keep", field=False)
        self.refuse.setFocus(Qt.FocusReason.TabFocusReason)

    def ask_text(self, text: str, value: str, agree: str, named: Callable[[str], None]) -> None:
        """A new text for something."""
        self._yes, self._named = None, named
        self.text.setText(text)
        self.field.setText(value)
        self.field.setAccessibleName(text)
        self._show(agree, "Leave as it is", field=True)
        self.field.selectAll()
        self.field.setFocus(Qt.FocusReason.TabFocusReason)

    def _show(self, agree: str, refuse: str, *, field: bool) -> None:
        self.agree.setText(agree)
        self.refuse.setText(refuse)
        set_look(self.agree, kind="" if field else "danger")
        self.field.setVisible(field)
        self._icon.setVisible(not field)
        self._row.setStretch(1, 0 if field else 1)
        self.show()

    def _agree(self) -> None:
        yes, named, text = self._yes, self._named, self.field.text().strip()
        if named is not None and not text:
            return
        self.close_()
        if yes is not None:
            yes()
        elif named is not None:
            named(text)

    def close_(self) -> None:
        self._yes = self._named = None
        self.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close_()
        else:
            super().keyPressEvent(event)
