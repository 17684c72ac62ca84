"""Cards over the window: a child frame with one border that takes the focus, gives it back, and closes with Esc.

The base of the palette, the shortcut sheet, the message history and the about card. Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QFrame, QVBoxLayout, QWidget

from widgets.parts.layout import flush_column
from widgets.theme.theme import Theme


class Overlay(QFrame):
    """Hidden until `appear`. `host` is the window it lies in."""

    def __init__(self, theme: Theme, host: QWidget, name: str) -> None:
        super().__init__(host)
        self.theme = theme
        self.host = host
        self._back: QWidget | None = None
        self.setProperty("card", "true")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("ring", False)
        self.hide()
        host.installEventFilter(self)
        theme.changed.connect(self._refit)

    def inner_column(self) -> QVBoxLayout:
        """A column that fills the card within its border."""
        made = flush_column(self)
        made.setContentsMargins(1, 1, 1, 1)
        return made

    def place(self) -> None:
        """Take the size and place that suit the window and the text size; asked while it is open. The base does
        nothing."""

    def _refit(self) -> None:
        if self.isVisible():
            self.place()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window changed its size under an open card."""
        if watched is self.host and event.type() == QEvent.Type.Resize:
            self._refit()
        return super().eventFilter(watched, event)

    def appear(self, focus: QWidget | None = None) -> None:
        """Show on top and move the focus in."""
        self._back = QApplication.focusWidget()
        self.raise_()
        self.show()
        (focus or self).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def leave(self) -> None:
        """Hide and give the focus back to where it came from."""
        self.hide()
        back, self._back = self._back, None
        if back is not None and back.isVisible():
            back.setFocus(Qt.FocusReason.PopupFocusReason)

    def centre(self) -> None:
        self.move((self.host.width() - self.width()) // 2, (self.host.height() - self.height()) // 2)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.leave()
        else:
            super().keyPressEvent(event)
