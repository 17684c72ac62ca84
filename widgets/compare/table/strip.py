"""The trials of one figure on a line, with their interval and the baseline. Main thread."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from widgets.compare.card.view import Strip
from widgets.theme.theme import Theme
from workbench.units import range_ends, significant

_HEIGHT = 48


class ValueStrip(QWidget):
    """Open circles are trials, crosses those left out, the bracket is the interval, the tall line the baseline."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._strip = Strip()
        self._color = 0
        self._unit = ""
        theme.follow(self._restyle)

    def show_strip(self, strip: Strip | None, color: int, unit: str) -> None:
        self._strip, self._color, self._unit = strip or Strip(), color, unit
        self.setVisible(strip is not None and bool(strip.values))
        values = ", ".join(significant(v, 4) for v in self._strip.values)
        self.setAccessibleName(f"Trial values: {values} {unit}".strip())
        self.setToolTip(f"Trials: {values} {unit}".strip())
        self.update()

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.px(_HEIGHT))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        theme, px, strip = self._theme, self._theme.px, self._strip
        low, high = strip.ends
        width, radius = self.width() - 1, px(4)
        middle = px(24) + 0.5

        def x(value: float) -> float:
            return 0.5 + (min(max(value, low), high) - low) / (high - low) * width

        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.color("chart.axis"), 1))
        painter.drawLine(QLineF(0, middle, width, middle))
        if strip.interval is not None:
            self._interval(painter, x, strip.interval, (low, high), middle)
        painter.setBrush(theme.color("bg.raised"))
        painter.setPen(QPen(theme.run_color(self._color), 1.5))
        for value in strip.values:
            painter.drawEllipse(QPointF(x(value), middle), radius, radius)
        painter.setPen(QPen(theme.color("status.warn"), 1.5))
        for value in strip.left_out:
            at, arm = x(value), px(3)
            painter.drawLine(QLineF(at - arm, middle - arm, at + arm, middle + arm))
            painter.drawLine(QLineF(at - arm, middle + arm, at + arm, middle - arm))
        painter.setFont(theme.font("caption"))
        if strip.baseline is not None:
            at = x(strip.baseline)
            painter.setPen(QPen(theme.color("accent.default"), 2))
            painter.drawLine(QLineF(at, middle - px(9), at, middle + px(9)))
            text = painter.fontMetrics().horizontalAdvance(strip.baseline_text)
            left = at - text - px(4) if at - text - px(4) >= 0 else min(at + px(4), width - text)
            painter.setPen(theme.color("text.muted"))
            painter.drawText(QRectF(left, 0, text + 2, px(14)), Qt.AlignmentFlag.AlignLeft, strip.baseline_text)
        painter.setPen(theme.color("text.muted"))
        first, last = range_ends(low, high)
        below = QRectF(0, self.height() - px(14), width, px(14))
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, first)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, last)
        painter.end()

    def _interval(
        self,
        painter: QPainter,
        x: Callable[[float], float],
        interval: tuple[float, float],
        ends: tuple[float, float],
        middle: float,
    ) -> None:
        """A bracket over the interval; an open end where it continues beyond the line."""
        cap = self._theme.px(7)
        left, right = x(interval[0]), x(interval[1])
        painter.setPen(QPen(self._theme.color("text.primary"), 1))
        painter.drawLine(QLineF(left, middle, right, middle))
        for at, value, sign in ((left, interval[0], 1), (right, interval[1], -1)):
            if ends[0] <= value <= ends[1]:
                painter.drawLine(QLineF(at, middle - cap, at, middle + cap))
            else:
                painter.drawLine(QLineF(at, middle, at + sign * cap / 1.5, middle - cap / 1.5))
                painter.drawLine(QLineF(at, middle, at + sign * cap / 1.5, middle + cap / 1.5))
