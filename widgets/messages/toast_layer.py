"""Draws the toasts at the bottom right above the queue strip. Main thread.

Cards are children of the window: no window of their own, never taking the focus by themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from widgets.messages.toasts import Toast, Toasts
from widgets.parts.components import IconLabel, label, push_button, tool_button
from widgets.theme.theme import Theme

WIDTH = 360
STAYS_MS = 8000
AT_ONCE = 4
"""More than these would cover the page; the rest is in the history."""
LOOKS = {
    "info": ("info", "status.info", "Information"),
    "good": ("check", "status.good", "Done"),
    "warning": ("warning", "status.warn", "Warning"),
    "error": ("error", "status.error", "Error"),
}


class ToastCard(QFrame):
    """One message: icon, what happened, what to do, one action, close."""

    def __init__(self, theme: Theme, toast: Toast, layer: ToastLayer) -> None:
        super().__init__(layer.window_)
        self._layer = layer
        self.toast = toast
        self.setProperty("card", "true")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        name, color, meaning = LOOKS.get(toast.severity, LOOKS["info"])
        self.setAccessibleName(f"{meaning}: {toast.message} {toast.advice}".strip())
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.px(12), theme.px(10), theme.px(8), theme.px(10))
        row.setSpacing(theme.px(10))
        top = Qt.AlignmentFlag.AlignTop
        row.addWidget(IconLabel(theme, name, color, meaning=meaning), alignment=top)
        column = QVBoxLayout()
        column.setSpacing(theme.px(4))
        message = label(toast.message, wrap=True)
        message.setProperty("strong", "500")
        column.addWidget(message)
        if toast.advice:
            column.addWidget(label(toast.advice, tone="muted", wrap=True))
        if toast.action and toast.handler is not None:
            column.addWidget(push_button(toast.action, self._act, kind="inline"), alignment=Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        row.addLayout(column, 1)
        self.close_button = tool_button(theme, "close", tip="Close this message", clicked=self.dismiss, compact=True)
        row.addWidget(self.close_button, alignment=top)
        self.setFixedWidth(theme.px(WIDTH))
        if not toast.stays:
            QTimer.singleShot(STAYS_MS, self, self.dismiss)

    def _act(self) -> None:
        handler = self.toast.handler
        self.dismiss()
        if handler is not None:
            handler()

    def dismiss(self) -> None:
        self._layer.remove(self)


class ToastLayer(QObject):
    """Places the cards of a window and keeps them in the corner."""

    def __init__(self, theme: Theme, toasts: Toasts, window: QWidget, above: Callable[[], QWidget]) -> None:
        """`above` gives the widget the cards stand on: the page's foot, or the queue strip."""
        super().__init__(window)
        self.window_ = window
        self._theme = theme
        self._above = above
        self._cards: list[ToastCard] = []
        toasts.added.connect(self._add)
        theme.changed.connect(self.place)
        window.installEventFilter(self)

    @property
    def cards(self) -> tuple[ToastCard, ...]:
        return tuple(self._cards)

    def _add(self, toast: Toast) -> None:
        card = ToastCard(self._theme, toast, self)
        self._cards.append(card)
        while len(self._cards) > AT_ONCE:
            # errors stay until they are closed: the oldest passing message goes first
            self.remove(next((c for c in self._cards if not c.toast.stays), self._cards[0]))
        card.show()
        self.place()

    def remove(self, card: ToastCard) -> None:
        if card in self._cards:
            self._cards.remove(card)
            card.hide()
            card.deleteLater()
            self.place()

    def place(self) -> None:
        """Stack the cards upwards from the corner."""
        margin = self._theme.spacing("m")
        above = self._above()
        bottom = above.mapTo(self.window_, above.rect().topLeft()).y() - margin
        for card in reversed(self._cards):
            card.resize(card.width(), max(card.heightForWidth(card.width()), card.minimumSizeHint().height()))
            bottom -= card.height()
            card.move(self.window_.width() - card.width() - margin, bottom)
            card.raise_()
            bottom -= self._theme.spacing("s")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self.place()
        return False
