"""A small square or marker in a configuration's look. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from widgets.theme.run_paint import paint_dot, paint_swatch
from widgets.theme.theme import Theme

EDGE = 14
DOT = 10


class Swatch(QWidget):
    """14 px square, or its marker alone on 10 px. Never the only carrier of a meaning: the name is beside it."""

    def __init__(self, theme: Theme, index: int | None = None, *, dot: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self._theme = theme
        self._index = index
        self._dot = dot
        theme.follow(self._restyle)

    def set_run(self, index: int | None) -> None:
        """The configuration's colour index; None paints nothing."""
        if index != self._index:
            self._index = index
            self.update()

    def _restyle(self) -> None:
        edge = self._theme.px(DOT if self._dot else EDGE)
        self.setFixedSize(edge, edge)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._index is None:
            return
        painter = QPainter(self)
        paint = paint_dot if self._dot else paint_swatch
        paint(painter, self._theme, QRectF(self.rect()), self._index)
        painter.end()
