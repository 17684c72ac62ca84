"""The axes of a stored chart: titled gutter, category names, bottom axis. Painted in pixels, measured before layout."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsWidget

from widgets.charts.axes import Gutter, Ticks
from widgets.theme.theme import Theme

_ALIGN = Qt.AlignmentFlag
_TIGHTEST = 0.72
"""How close lines of names may come, in heights of a line: letters still do not touch."""
SEPARATOR = " · "
"""Titles of configurations are "model · technique": what differs is written on top, the rest below."""


class TitledGutter(Gutter):
    """The left axis of a numeric chart with its title written upwards."""

    def __init__(self, theme: Theme, title: str, shown: Ticks) -> None:
        metrics = QFontMetricsF(theme.font("caption"))
        text = max((metrics.horizontalAdvance(t) for t in shown.texts), default=0.0)
        self._title = title
        self._title_height = metrics.height() + 4 if title else 0.0
        super().__init__(theme, int(text + 16 + self._title_height))

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        super().paint(painter, option, widget)
        box = self.boundingRect()
        painter.save()
        painter.translate(box.left(), box.bottom())
        painter.rotate(-90)
        painter.setPen(self._theme.color("chart.label_text"))
        title = painter.fontMetrics().elidedText(self._title, Qt.TextElideMode.ElideRight, int(box.height()))
        painter.drawText(QRectF(0, 0, box.height(), self._title_height), _ALIGN.AlignCenter, title)
        painter.restore()


class CategoryGutter(QGraphicsWidget):
    """Names of categories right-aligned beside their bars, as wide as the longest needs: in two lines where the bars
    leave room, in one where they do not, and where even that is too much every second one, or fewer."""

    def __init__(self, theme: Theme, names: Sequence[str], widest: float) -> None:
        super().__init__()
        self._theme = theme
        self._names = tuple(names)
        self._widest = widest
        self._one_line = False
        self._lines: list[tuple[str, str]] = []
        self._centers: Sequence[float] = ()
        self._fold(False)

    def _fold(self, one_line: bool) -> None:
        self._one_line = one_line
        self._lines = [(_one_line(name), "") if one_line else _two_lines(name) for name in self._names]
        upper, lower = QFontMetricsF(self._theme.font("dense")), QFontMetricsF(self._theme.font("caption"))
        needed = max((max(upper.horizontalAdvance(a), lower.horizontalAdvance(b)) for a, b in self._lines), default=0.0)
        width = min(needed, self._widest) + self._theme.px(16)
        self.setMinimumWidth(width)
        self.setMaximumWidth(width)

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """The texts beside each bar, above and below."""
        return tuple(self._lines)

    def show_centers(self, centers: Sequence[float]) -> None:
        """Heights (px) of the categories' middles."""
        self._centers = centers
        needed = sum(QFontMetricsF(self._theme.font(role)).height() for role in ("dense", "caption"))
        one_line = self._spacing() < needed
        if one_line != self._one_line:
            self._fold(one_line)
        self.update()

    def _spacing(self) -> float:
        """From one bar to the next (px)."""
        return abs(self._centers[1] - self._centers[0]) if len(self._centers) > 1 else 1e9

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        box = self.boundingRect()
        width = int(box.width()) - self._theme.px(8)
        upper, lower = self._theme.font("dense"), self._theme.font("caption")
        upper_height, lower_height = QFontMetricsF(upper).height(), QFontMetricsF(lower).height()
        every = max(1, math.ceil(_TIGHTEST * upper_height / max(self._spacing(), 1.0)))
        for (first, second), center in list(zip(self._lines, self._centers, strict=False))[::every]:
            top = center - (upper_height + (lower_height if second else 0)) / 2
            for text, font, height, color in (
                (first, upper, upper_height, "text.primary"),
                (second, lower, lower_height, "text.muted"),
            ):
                painter.setFont(font)
                painter.setPen(self._theme.color(color))
                shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, width)
                painter.drawText(QRectF(0, top, width, height), _ALIGN.AlignRight | _ALIGN.AlignVCenter, shown)
                top += height


class BottomAxis(QGraphicsWidget):
    """Tick texts and the title under a plot. The last text that would be cut is moved in."""

    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__()
        self._theme = theme
        self._title = title
        self._ticks = Ticks((), (), 1.0)
        self._places: Sequence[float] = ()
        self._line = QFontMetricsF(theme.font("caption")).height() + 2
        self.setMinimumHeight(2 * self._line + 6)
        self.setMaximumHeight(2 * self._line + 6)

    def show_ticks(self, shown: Ticks, places: Sequence[float]) -> None:
        self._ticks, self._places = shown, places
        self.update()

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        box = self.boundingRect()
        painter.setFont(self._theme.font("caption"))
        painter.setPen(QPen(self._theme.color("chart.axis"), 1))
        painter.drawLine(QPointF(0, 0.5), QPointF(box.width(), 0.5))
        painter.setPen(self._theme.color("chart.tick_text"))
        metrics = QFontMetricsF(painter.font())
        end = -1e9
        for text, x in zip(self._ticks.texts, self._places, strict=True):
            width = metrics.horizontalAdvance(text)
            left = min(x - width / 2, box.width() - width)
            if left < end + 6:
                continue
            painter.drawText(QPointF(left, 4 + metrics.ascent()), text)
            end = left + width
        painter.setPen(self._theme.color("chart.label_text"))
        title = metrics.elidedText(self._title, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(QRectF(0, 4 + self._line, box.width(), self._line), _ALIGN.AlignCenter, title)


def _one_line(name: str) -> str:
    """What differs first: that is what is read down the column."""
    above, below = _two_lines(name)
    return f"{above}{SEPARATOR}{below}" if below else above


def _two_lines(name: str) -> tuple[str, str]:
    model, separator, technique = name.partition(SEPARATOR)
    return (technique, model) if separator else (name, "")
