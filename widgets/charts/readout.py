"""The column beside the live charts: every series' value at the cursor and its mean from A to B. One painted widget."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.theme.theme import Theme


@dataclass(frozen=True)
class Row:
    """One series: what it is called, its figures as texts, the colour of its curve."""

    title: str
    first: str
    second: str
    color: QColor
    help: str = ""


class Readout(QWidget):
    """Groups of rows, one group a plot, each beginning at the plot's top."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._groups: tuple[tuple[float, float, tuple[Row, ...]], ...] = ()
        self._two_columns = False
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.setFixedWidth(self._theme.width("readout_column"))
        self.update()

    def show_groups(self, groups: tuple[tuple[float, float, tuple[Row, ...]], ...], two_columns: bool) -> None:
        """(top, height, rows) of every plot in pixels; `two_columns` where A and B are shown."""
        if (groups, two_columns) != (self._groups, self._two_columns):
            self._groups, self._two_columns = groups, two_columns
            said = [f"{r.title} {r.first}" for _, _, rows in groups for r in rows]
            self.setAccessibleName("Values: " + ", ".join(said))
            self.update()

    def _first_line(self, top: float, height: float, rows: tuple[Row, ...]) -> float:
        """Where a group's first row begins: level with the caption of its plot where there is room."""
        line = self._theme.px(20)
        return top + (self._theme.px(14) if height >= line * len(rows) + self._theme.px(18) else 4)

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._help_at(event.pos().y()), self)
            return True
        return super().event(event)

    def _help_at(self, y: float) -> str:
        for top, height, rows in self._groups:
            place = int((y - self._first_line(top, height, rows)) // self._theme.px(20))
            if top <= y < top + height and 0 <= place < len(rows):
                row = rows[place]
                return f"{row.title}: {row.help}" if row.help else row.title
        return ""

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, painter = self._theme, QPainter(self)
        painter.fillRect(self.rect(), theme.color("bg.panel"))
        line = theme.px(20)
        left, right = theme.px(8), self.width() - theme.px(12)
        column = theme.px(64) if self._two_columns else 0
        middle = Qt.AlignmentFlag.AlignVCenter
        plain, strong = theme.font("dense"), theme.font("dense", 500)
        for i, (top, height, rows) in enumerate(self._groups):
            if i:
                painter.fillRect(QRectF(0, top - 1, self.width(), 1), theme.color("border.default"))
            fit = max(1, int((height - 4) // line))
            y = self._first_line(top, height, rows)
            for row in rows[:fit]:
                painter.fillRect(QRectF(left, y + line / 2 - 1, theme.px(14), 2), row.color)
                painter.setFont(strong)
                first = QRectF(left, y, right - column - left, line)
                painter.setPen(theme.color("text.primary"))
                painter.drawText(first, middle | Qt.AlignmentFlag.AlignRight, row.first)
                used = QFontMetricsF(strong).horizontalAdvance(row.first)
                painter.setFont(plain)
                start = left + theme.px(20)
                room = right - column - used - theme.px(8) - start
                painter.setPen(theme.color("text.secondary"))
                title = painter.fontMetrics().elidedText(row.title, Qt.TextElideMode.ElideRight, int(room))
                painter.drawText(QRectF(start, y, room, line), middle, title)
                painter.setPen(theme.color("text.muted"))
                painter.drawText(QRectF(left, y, right - left, line), middle | Qt.AlignmentFlag.AlignRight, row.second)
                y += line
        painter.end()
