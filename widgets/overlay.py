"""Cards over the window: a child frame with one border that takes the focus, gives it back, and closes with Esc.

The base of the palette, the shortcut sheet, the message history and the about card. Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QApplication, QFrame, QWidget

from widgets.theme import Theme


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
