"""Ticks, gutters and the ground of a plot: what all charts of the window share. Main thread.

pyqtgraph's own axes are not used: they rebuild text in Python at every range change, which costs more than the curves
of a live chart. Here ticks are computed once per range and painted by two plain items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyqtgraph as pg
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QGraphicsItem, QGraphicsWidget

from widgets.theme.theme import Theme

_ALIGN = Qt.AlignmentFlag


@dataclass(frozen=True)
class Ticks:
    """Positions in axis units and their texts."""

    values: tuple[float, ...]
    texts: tuple[str, ...]
    step: float


def nice_step(span: float, count: int) -> float:
    """The smallest of 1, 2, 5 x 10**k that gives at most `count` steps over `span`."""
    if span < 1e-200 or not math.isfinite(span):
        return 1.0
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9)))


def ticks(low: float, high: float, count: int, *, whole: bool = False) -> Ticks:
    """Round positions within [low, high], about `count` of them at the most, and their texts; only whole numbers with
    `whole`."""
    step = nice_step(high - low, count)
    if whole:
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    values = tuple(i * step for i in range(first, last + 1))
    return Ticks(values, tuple(tick_text(v, step) for v in values), step)


def powers(low: float, high: float, count: int) -> Ticks:
    """Places of 1, 2, 5, of 1, 3 or of 1 times powers of ten within [10**low, 10**high], as logarithms: the most of
    them that `count` allows."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        decades = range(math.floor(low) - 1, math.ceil(high) + 1)
        found = [(m, d) for d in decades for m in steps if low - 1e-9 <= math.log10(m) + d <= high + 1e-9]
        if len(found) <= count:
            break
    places = tuple(math.log10(m) + d for m, d in found)
    texts = tuple(f"{m}e{d}" if not -3 < d < 4 else f"{m * 10.0**d:g}" for m, d in found)
    return Ticks(places, texts, 1.0)


def tick_text(value: float, step: float) -> str:
    """A tick's text with just the digits its step needs: "2,000", "0.25"; powers of ten where long."""
    if abs(value) < step / 2:
        value = 0.0
    if step >= 1e7 or step < 1e-5:
        return f"{value:.4g}"
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}".replace("-", "−")


def nice_range(low: float, high: float, count: int) -> tuple[float, float]:
    """[low, high] widened to whole steps, so that a live chart's range seldom moves. Zero span is given one."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if high - low < 1e-12 * max(1.0, abs(high)):
        flat = abs(high) < 1e-9
        low, high = (0.0, 1.0) if flat else (0.0, 2 * high) if high > 0 else (2 * low, 0.0)
    step = nice_step(high - low, count)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


class Gutter(QGraphicsWidget):
    """Tick texts beside a plot, on its left or its right. Width as given, never squeezed."""

    def __init__(self, theme: Theme, width: int, *, ground: str = "", right: bool = False) -> None:
        """`ground` is the token of a colour to fill with, "" for none."""
        super().__init__()
        self._side = _ALIGN.AlignLeft if right else _ALIGN.AlignRight
        self._theme = theme
        self._fill = ground
        self._font = theme.font("caption")
        self._ticks: Ticks = Ticks((), (), 1.0)
        self._range = (0.0, 1.0)
        self.set_width(width)

    def set_width(self, width: int) -> None:
        self.setMinimumWidth(width)
        self.setMaximumWidth(width)

    def show_ticks(self, shown: Ticks, low: float, high: float) -> None:
        if (shown, (low, high)) != (self._ticks, self._range):
            self._ticks, self._range = shown, (low, high)
            self.update()

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        box = self.boundingRect()
        low, high = self._range
        if self._fill:
            painter.fillRect(box, self._theme.color(self._fill))
        if high <= low:
            return
        painter.setFont(self._font)
        painter.setPen(self._theme.color("chart.tick_text"))
        half = painter.fontMetrics().height() / 2
        align = _ALIGN.AlignVCenter | self._side
        for value, text in zip(self._ticks.values, self._ticks.texts, strict=True):
            y = box.bottom() - (value - low) / (high - low) * box.height()
            # a text at the very edge is moved in, never cut
            y = min(max(y, box.top() + half), box.bottom() - half)
            painter.drawText(QRectF(box.left() + 6, y - half, box.width() - 12, 2 * half), align, text)


class Ground(QGraphicsItem):
    """What lies behind the curves of one plot, in pixels of its view box: bands, then grid lines."""

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__(box)
        self.setZValue(-50)
        self._box = box
        self._pen = QPen(theme.color("chart.grid"), 1)
        self._bands: QPixmap | None = None
        self._lines: list[QLineF] = []

    def boundingRect(self) -> QRectF:
        return self._box.rect()

    def show_lines(self, x: Sequence[float], y: Sequence[float]) -> None:
        """Grid lines at these pixels."""
        rect = self._box.rect()
        lines = [QLineF(round(v) + 0.5, rect.top(), round(v) + 0.5, rect.bottom()) for v in x]
        lines += [QLineF(rect.left(), round(v) + 0.5, rect.right(), round(v) + 0.5) for v in y]
        if lines != self._lines:
            self._lines = lines
            self.update()

    def show_bands(self, bands: QPixmap | None) -> None:
        """A strip of one pixel's height as wide as the plot (see `strip`), the same object for all plots of a stack."""
        if bands is not self._bands:
            self._bands = bands
            self.update()

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        if self._bands is not None:
            painter.drawTiledPixmap(self._box.rect(), self._bands)
        painter.setPen(self._pen)
        painter.drawLines(self._lines)


def strip(width: float, bands: Iterable[tuple[float, float, QColor]], ground: QColor, ratio: float = 1.0) -> QPixmap:
    """Bands from pixel to pixel in their colours, one pixel high: painted once, then repeated down every plot."""
    made = QPixmap(max(1, math.ceil(width * ratio)), max(1, math.ceil(ratio)))
    made.setDevicePixelRatio(ratio)
    made.fill(ground)
    painter = QPainter(made)
    for left, right, color in bands:
        painter.fillRect(QRectF(left, 0, right - left, 1), color)
    painter.end()
    return made
