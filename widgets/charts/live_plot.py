"""One plot of the live stack: gutters, curves, ground, caption, crosshair. Main thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem

from widgets.charts.axes import Ground, Gutter, Ticks, ticks
from widgets.charts.decimation import Reduced
from widgets.charts.live_curve import LiveCurve
from widgets.charts.value_range import ValueRange
from widgets.theme.theme import Theme
from workbench.charts.curves import Curve, TrialChart

HEAD = 24
"""Pixels at the top of a plot that belong to its title and its readout: no curve enters them."""


class LiveBox(pg.ViewBox):
    """A view box that asks instead of acting: the stack zooms all plots together and keeps the history."""

    wheel_turned = Signal(float, float)
    """Place under the pointer on the axis, steps up."""
    range_dragged = Signal(float, float, bool)
    """Start and present place of a drag, whether it is finished."""
    panned = Signal(float)
    """How far to move the view."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False)
        self.setMouseEnabled(False, False)
        self.setDefaultPadding(0.0)
        self.disableAutoRange()

    def wheelEvent(self, event: object, axis: object = None) -> None:
        self.wheel_turned.emit(self.mapSceneToView(event.scenePos()).x(), event.delta() / 120.0)  # type: ignore[attr-defined]
        event.accept()  # type: ignore[attr-defined]

    def mouseDragEvent(self, event: object, axis: object = None) -> None:
        event.accept()  # type: ignore[attr-defined]
        here = self.mapToView(event.pos()).x()  # type: ignore[attr-defined]
        shifted = event.modifiers() & Qt.KeyboardModifier.ShiftModifier  # type: ignore[attr-defined]
        if event.button() == Qt.MouseButton.MiddleButton or shifted:  # type: ignore[attr-defined]
            self.panned.emit(self.mapToView(event.lastPos()).x() - here)  # type: ignore[attr-defined]
        elif event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            self.range_dragged.emit(self.mapToView(event.buttonDownPos()).x(), here, event.isFinish())  # type: ignore[attr-defined]


class _Caption(QGraphicsItem):
    """Title, what the values are, and how they are drawn, at the top left."""

    def __init__(self, box: LiveBox, theme: Theme, title: str, about: str) -> None:
        super().__init__(box)
        self.setZValue(20)
        self._box, self._theme = box, theme
        self._title, self._about = title, about
        self._bold, self._plain = theme.font("dense", 600), theme.font("dense")
        self._title_width = QFontMetricsF(self._bold).horizontalAdvance(title)
        self._taken = 0.0
        self.note = ""

    def say(self, note: str) -> None:
        if note != self.note:
            self.prepareGeometryChange()
            self.note = note

    def leave(self, taken: float) -> None:
        """Pixels at the right that the values take: what explains the title ends before them."""
        if taken != self._taken:
            self._taken = taken
            self.update()

    @property
    def _rest(self) -> str:
        return " · ".join(part for part in (self._about, self.note) if part)

    @property
    def explanation(self) -> str:
        """As much of what explains the title as there is room for."""
        room = self._box.width() - self._taken - self.title_width
        shown = QFontMetricsF(self._plain).elidedText(self._rest, Qt.TextElideMode.ElideRight, max(room, 0.0))
        return "" if shown == "…" else shown

    @property
    def title_width(self) -> float:
        """Pixels that the title needs; the rest gives way to the values."""
        return self._title_width + self._theme.px(14)

    @property
    def width(self) -> float:
        """Pixels that all of it takes."""
        return self.title_width + QFontMetricsF(self._plain).horizontalAdvance(self._rest) + self._theme.px(8)

    def boundingRect(self) -> QRectF:
        return QRectF(0, 0, self._box.width(), self._theme.px(HEAD))

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        theme = self._theme
        height = self.boundingRect().height()
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setFont(self._bold)
        painter.setPen(theme.color("text.primary"))
        painter.drawText(QRectF(theme.px(8), 0, self._title_width + 2, height), middle, self._title)
        painter.setFont(self._plain)
        painter.setPen(theme.color("text.muted"))
        painter.drawText(QRectF(self.title_width, 0, self.width, height), middle, self.explanation)


class _Best(QGraphicsItem):
    """A dashed line from the best value so far to the right edge, with the value and its step above the line."""

    def __init__(self, box: LiveBox, theme: Theme) -> None:
        super().__init__(box)
        self.setZValue(12)
        self._box, self._theme = box, theme
        self._at: tuple[float, float, str] | None = None

    def show_at(self, at: tuple[float, float, str] | None) -> None:
        """Pixels of the ring, and what is said."""
        if at != self._at:
            self.prepareGeometryChange()
            self._at = at

    def boundingRect(self) -> QRectF:
        if self._at is None:
            return QRectF()
        height = self._theme.px(18)
        return QRectF(0, self._at[1] - height, self._box.width(), 2 * height)

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        if self._at is None:
            return
        x, y, text = self._at
        theme, right = self._theme, self._box.width()
        line = math.floor(y) + 0.5
        painter.setPen(QPen(theme.color("chart.reference"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QLineF(max(x + theme.px(7), 0.0), line, right, line))
        painter.setFont(theme.font("caption"))
        width = QFontMetricsF(painter.font()).horizontalAdvance(text)
        place = QRectF(right - width - theme.px(12), line - theme.px(17), width + theme.px(8), theme.px(15))
        painter.fillRect(place, theme.color("chart.background"))
        painter.setPen(theme.color("text.secondary"))
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)


class _Crosshair(QGraphicsItem):
    """A dashed line with a dot on every curve. Only its own strip is repainted when it moves."""

    def __init__(self, box: LiveBox, theme: Theme) -> None:
        super().__init__(box)
        self.setZValue(30)
        self._box, self._theme = box, theme
        self._x: float | None = None
        self._dots: list[tuple[float, QColor]] = []

    def move_to(self, x: float | None, dots: list[tuple[float, QColor]]) -> None:
        """Pixels within the plot; None hides it."""
        self.prepareGeometryChange()
        self._x, self._dots = x, dots

    def boundingRect(self) -> QRectF:
        return QRectF() if self._x is None else QRectF(self._x - 5, 0, 10, self._box.height())

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        if self._x is None:
            return
        x = math.floor(self._x) + 0.5
        painter.setPen(QPen(self._theme.color("chart.crosshair"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, self._theme.px(HEAD)), QPointF(x, self._box.height()))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.color("chart.background"), 1))
        for y, color in self._dots:
            painter.setBrush(color)
            painter.drawEllipse(QPointF(x, y), 3.5, 3.5)


class LivePlot:
    """The items of one chart in a row of the layout; `draw` repaints what the range and the new samples changed."""

    def __init__(self, theme: Theme, chart: TrialChart, color: QColor) -> None:
        self.theme = theme
        self.chart = chart
        self.box = LiveBox()
        self.box.setBackgroundColor(theme.color("chart.background"))
        self.left = Gutter(theme, theme.width("axis_gutter"), ground="bg.panel")
        self.right = Gutter(theme, theme.width("right_axis"), ground="bg.panel", right=True)
        self.ground = Ground(self.box, theme)
        self.caption = _Caption(self.box, theme, chart.kind.title, chart.kind.said)
        self.crosshair = _Crosshair(self.box, theme)
        self._best = _Best(self.box, theme)
        self._run_color = color
        self.curves: list[LiveCurve] = []
        """Those that are drawn."""
        self._low, self._high = 0.0, 1.0
        self._left_range = ValueRange(from_zero=chart.kind.from_zero, least_span=chart.kind.least_span)
        self._right_range = ValueRange(from_zero=True)
        self.series: tuple[Curve, ...] = ()
        """All that the readout says."""
        self.take_series(chart)

    def take_series(self, chart: TrialChart) -> None:
        """The chart's curves; those that began to speak after the plot was made are added."""
        self.chart = chart
        if chart.curves == self.series:
            return
        self.series = chart.curves
        for curve in self.curves:
            curve.remove()
        drawn = [c for c in chart.curves if c.kind.style != "figure"]
        self.curves = [LiveCurve(self.theme, self.box, curve, self._run_color) for curve in drawn]

    def reduce(self, start: float, end: float, columns: int) -> list[Reduced]:
        """The drawn points of every curve in the chart's unit."""
        return [curve.reduce(start, end, columns) for curve in self.curves]

    def draw(
        self, start: float, end: float, across: Sequence[float], best: tuple[float, float, str] | None = None
    ) -> None:
        """Bring everything up to date for [start, end] of the axis; `across` are the grid lines (px) of its ticks.
        `best`: place, value and words of the point that is ringed twice, where this chart has one."""
        width, height = self.box.width(), self.box.height()
        if width < 2 or height < 2:
            return
        reduced = self.reduce(start, end, int(width))
        ys: tuple[list[np.ndarray], list[np.ndarray]] = [], []
        for curve, points in zip(self.curves, reduced, strict=True):
            ys[curve.curve.kind.right].append(points.y)
        if best is not None:
            ys[0].append(np.array([best[1]]))
        left = self._left_range.take(ys[0])
        # room for title and readout above and a little below, so that no curve runs along an edge
        head, foot = self.theme.px(HEAD), self.theme.px(7)
        scale = (left[1] - left[0]) / max(height - head - foot, 1.0)
        low, high = left[0] - foot * scale, left[1] + head * scale
        self._low, self._high = low, high
        self.box.setRange(xRange=(start, end), yRange=(low, high), padding=0, disableAutoRange=False)
        self._place_right(ys[1], left, height - head)
        for curve, points in zip(self.curves, reduced, strict=True):
            curve.draw(points, (end - start) / width, None if best is None else best[1])
        marks = ticks(left[0], left[1], max(2, int((height - head) / self.theme.px(26))))
        self.left.show_ticks(marks, low, high)
        self.ground.show_lines(across, [self._pixel(v) for v in marks.values])
        most = max((r.per_point for r in reduced), default=1)
        self.caption.say(f"drawn as min and max of {most:,} samples" if most > 1 else "")
        scaled = (end - start) / width
        reached = best is not None and best[0] <= end
        self._best.show_at(
            ((best[0] - start) / scaled, self._pixel(best[1]), best[2]) if best is not None and reached else None
        )

    def _place_right(self, values: list[np.ndarray], left: tuple[float, float], room: float) -> None:
        """Carry the curves of the right axis onto the left one, and write its ticks."""
        if not any(c.curve.kind.right for c in self.curves):
            return
        low, high = self._right_range.take(values)
        scale = (left[1] - left[0]) / (high - low)
        for curve in self.curves:
            if curve.curve.kind.right:
                curve.scale, curve.shift = scale, left[0] - low * scale
        marks = ticks(low, high, max(2, int(room / self.theme.px(26))))
        placed = tuple(left[0] + (v - low) * scale for v in marks.values)
        texts = tuple(_short(v) for v in marks.values)
        self.right.show_ticks(Ticks(placed, texts, marks.step), self._low, self._high)

    def _pixel(self, value: float) -> float:
        """Height (px) of a value of the left axis."""
        return self.box.height() - (value - self._low) / (self._high - self._low) * self.box.height()

    def show_crosshair(self, place: float | None, time: float, start: float, end: float) -> None:
        """Line and dots at a `place` of the axis, which is this `time` (s); nothing for None."""
        if place is None or end <= start:
            self.crosshair.move_to(None, [])
            return
        dots = []
        for drawn in self.curves:
            value = drawn.curve.value_at(time)
            if math.isfinite(value) and drawn.curve.kind.style in ("line", "steps"):
                dots.append((self._pixel(value * drawn.scale + drawn.shift), drawn.color))
        self.crosshair.move_to((place - start) / (end - start) * self.box.width(), dots[::-1])


def _short(value: float) -> str:
    """A tick of the narrow right axis: "3e-4", "0.02"."""
    if value == 0 or abs(value) >= 0.01:
        return f"{value:.3g}"
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"
