"""A small square or dot in a configuration's run colour. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from widgets.theme import Theme

EDGE = 12
DOT = 8


class Swatch(QWidget):
    """12 px square, or an 8 px dot. Never the only carrier of a meaning: the name stands beside it."""

    def __init__(self, theme: Theme, index: int | None = None, *, round_: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self._theme = theme
        self._index = index
        self._round = round_
        theme.follow(self._restyle)

    def set_run(self, index: int | None) -> None:
        """The configuration's colour index; None paints nothing."""
        if index != self._index:
            self._index = index
            self.update()

    def _restyle(self) -> None:
        edge = self._theme.px(DOT if self._round else EDGE)
        self.setFixedSize(edge, edge)

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._index is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.run_color(self._index))
        radius = self.width() / 2 if self._round else float(self._theme.radius("swatch"))
        painter.drawRoundedRect(QRectF(self.rect()), radius, radius)
        painter.end()
