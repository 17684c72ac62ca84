"""A field to look for things: a lens at the left, what is typed, a shortcut at the right. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QRect
from PySide6.QtGui import QPainter, QPaintEvent

from widgets.parts.components import UnitLineEdit
from widgets.parts.strokes import draw_icon


class SearchField(UnitLineEdit):
    """As `UnitLineEdit`, with the lens painted inside."""

    def _fit(self) -> None:
        super()._fit()
        margins = self.textMargins()
        margins.setLeft(self._theme.px(20))
        self.setTextMargins(margins)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        box = QRect(self._theme.px(7), 0, self._theme.px(16), self.height())
        draw_icon(painter, self._theme, "search", "text.secondary", box)
        painter.end()
