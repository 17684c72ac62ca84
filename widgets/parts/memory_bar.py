"""A bar that shows how much of a device's memory is taken. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from widgets.theme.theme import Theme


class MemoryBar(QWidget):
    """How much of a device's memory is taken: 10 px, grey from the left."""

    def __init__(self, theme: Theme, total: int, free: int) -> None:
        super().__init__()
        self._theme = theme
        self._used = 0.0 if total <= 0 else min(max(1 - free / total, 0.0), 1.0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(f"{100 * self._used:.0f} % of the memory is in use")

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(120), self._theme.height("row"))

    def minimumSizeHint(self) -> QSize:
        return QSize(self._theme.px(60), self._theme.height("memory_bar"))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        height = self._theme.height("memory_bar")
        bar = QRect(0, (self.height() - height) // 2, self.width(), height)
        painter.fillRect(bar, self._theme.color("memory.free"))
        painter.fillRect(
            QRect(bar.topLeft(), QSize(round(bar.width() * self._used), height)), self._theme.color("memory.overhead")
        )
        painter.end()
