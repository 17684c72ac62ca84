"""The messages of this session, newest first, under the bell. Main thread."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from widgets.messages.overlay import Overlay
from widgets.messages.toast_layer import LOOKS, WIDTH
from widgets.messages.toasts import Toast, Toasts
from widgets.parts.components import IconLabel, PanelHeader, label, line, tool_button
from widgets.parts.layout import flush_column
from widgets.theme.theme import Theme


class HistoryPanel(Overlay):
    """The messages of this session, newest first, under the bell. Esc closes it."""

    def __init__(self, theme: Theme, toasts: Toasts, host: QWidget) -> None:
        super().__init__(theme, host, "Messages")
        self._toasts = toasts
        self._below: QWidget | None = None
        column = self.inner_column()
        self._header = PanelHeader(theme, "Messages")
        self._header.add_tool(tool_button(theme, "copy", tip="Copy all messages", clicked=self._copy, compact=True))
        self._header.add_tool(tool_button(theme, "trash", tip="Forget all messages", clicked=self._clear, compact=True))
        self._header.add_tool(tool_button(theme, "close", tip="Close", clicked=self.leave, compact=True))
        column.addWidget(self._header)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(self._scroll)
        toasts.added.connect(self._added)

    def toggle(self, below: QWidget) -> None:
        """Open under a widget at the right edge, or close."""
        if self.isVisible():
            self.leave()
            return
        self._below = below
        self._fill()
        self.place()
        self.appear()
        self._toasts.mark_read()

    def place(self) -> None:
        """Under its widget at the right edge, as far as the window has room."""
        if self._below is None:
            return
        px, edge = self.theme.px, self.theme.px(8)
        width = min(px(WIDTH + 60), self.host.width() - 2 * edge)
        top = self._below.mapTo(self.host, self._below.rect().bottomLeft()).y() + px(4)
        height = min(px(420), self.host.height() - top - px(100))
        self.setGeometry(self.host.width() - width - edge, top, width, height)

    def _fill(self) -> None:
        inner = QWidget()
        inner.setProperty("ground", "base")
        column = flush_column(inner)
        messages = self._toasts.history
        self._header.set_count(str(len(messages)) if messages else "")
        for toast in reversed(messages):
            column.addWidget(self._row(toast))
            column.addWidget(line(inner))
        if not messages:
            empty = label("No messages yet. What happens in the background is reported here.", tone="muted", wrap=True)
            empty.setMargin(self.theme.px(12))
            column.addWidget(empty)
        column.addStretch(1)
        self._scroll.setWidget(inner)

    def _row(self, toast: Toast) -> QWidget:
        made = QWidget()
        row = QHBoxLayout(made)
        pad = self.theme.px(10)
        row.setContentsMargins(pad, pad, pad, pad)
        name, color, meaning = LOOKS.get(toast.severity, LOOKS["info"])
        top = Qt.AlignmentFlag.AlignTop
        row.addWidget(IconLabel(self.theme, name, color, meaning=meaning), alignment=top)
        column = QVBoxLayout()
        column.addWidget(label(toast.message, wrap=True, selectable=True))
        if toast.advice:
            column.addWidget(label(toast.advice, tone="muted", wrap=True, selectable=True))
        row.addLayout(column, 1)
        clock = time.strftime("%H:%M:%S", time.localtime(toast.at))
        row.addWidget(label(clock, role="dense", tone="muted"), alignment=top)
        return made

    def _added(self) -> None:
        if self.isVisible():
            self._fill()

    def _clear(self) -> None:
        self._toasts.clear()
        self._fill()

    def _copy(self) -> None:
        lines = [
            f"{time.strftime('%H:%M:%S', time.localtime(t.at))} {t.severity}: {t.message} {t.advice}".rstrip()
            for t in self._toasts.history
        ]
        QGuiApplication.clipboard().setText("\n".join(lines))
