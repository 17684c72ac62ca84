"""One plot of the live stack: gutter, curves, ground, caption, crosshair. Main thread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem

from widgets.charts.axes import Ground, Gutter, nice_range, ticks
from widgets.charts.decimation import Pyramid, Reduced
from widgets.theme.theme import Theme
from workbench.charts.curves import Curve, TrialChart
from workbench.charts.readings import GAP_COLUMNS, as_line


class LiveBox(pg.ViewBox):
    """A view box that asks instead of acting: the stack zooms all plots together and keeps the history."""

    wheel_turned = Signal(float, float)
    """Time under the pointer (s), steps up."""
    range_dragged = Signal(float, float, bool)
    """Start and present time of a drag (s), whether it is finished."""
    panned = Signal(float)
    """Seconds to move the view by."""

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
    """Title and unit at the top left, the note on drawing at the top right."""

    def __init__(self, box: LiveBox, theme: Theme, title: str, unit: str) -> None:
        super().__init__(box)
        self.setZValue(20)
        self._box, self._theme = box, theme
        self._title, self._unit = title, unit
        self._bold, self._plain = theme.font("dense", 600), theme.font("dense")
        self._title_width = QFontMetricsF(self._bold).horizontalAdvance(title)
        self._unit_width = QFontMetricsF(self._plain).horizontalAdvance(unit)
        self.note = ""

    def say(self, note: str) -> None:
        if note != self.note:
            self.note = note
            self.update()

    def boundingRect(self) -> QRectF:
        return QRectF(0, 0, self._box.width(), self._theme.px(20))

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        theme = self._theme
        height = self.boundingRect().height()
        left = float(theme.px(8))
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setFont(self._bold)
        painter.setPen(theme.color("text.primary"))
        width = self._title_width
        painter.drawText(QRectF(left, 0, width + 2, height), middle, self._title)
        painter.setFont(self._plain)
        painter.setPen(theme.color("text.muted"))
        used = left + width + theme.px(6)
        unit_width = self._unit_width
        painter.drawText(QRectF(used, 0, unit_width + 2, height), middle, self._unit)
        note_width = QFontMetricsF(self._plain).horizontalAdvance(self.note) if self.note else 0.0
        right = self._box.width() - theme.px(8)
        if self.note and right - note_width > used + unit_width + theme.px(12):
            place = QRectF(right - note_width - 4, 2, note_width + 8, height - 3)
            painter.fillRect(place, theme.color("chart.background"))
            painter.drawText(place, middle | Qt.AlignmentFlag.AlignHCenter, self.note)


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
        painter.drawLine(QPointF(x, 0), QPointF(x, self._box.height()))
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
        self.ground = Ground(self.box, theme)
        self.caption = _Caption(self.box, theme, chart.kind.title, chart.kind.unit)
        self.crosshair = _Crosshair(self.box, theme)
        self.colors = [color, theme.color("chart.series2"), theme.color("chart.series3")]
        self._curves: list[pg.PlotCurveItem] = []
        self._pyramids: list[Pyramid] = []
        self._low, self._high = 0.0, 1.0
        self._range: tuple[float, float] | None = None
        self.series: tuple[Curve, ...] = ()
        self.take_series(chart)

    def take_series(self, chart: TrialChart) -> None:
        """The chart's curves; those of sensors that began to speak after the plot was made are added."""
        self.chart = chart
        if [s.channel for s in chart.curves] != [s.channel for s in self.series]:
            for curve in self._curves:
                self.box.removeItem(curve)
            known = dict(zip((id(s.channel) for s in self.series), self._pyramids, strict=True))
            self._pyramids = [known.get(id(s.channel), Pyramid()) for s in chart.curves]
            self._curves = [self._make_curve(i) for i in range(len(chart.curves))]
        self.series = chart.curves

    def _make_curve(self, index: int) -> pg.PlotCurveItem:
        # as in exports: from the fourth on colours repeat
        dashes = Qt.PenStyle.DashLine if index > 2 else Qt.PenStyle.SolidLine
        curve = pg.PlotCurveItem(pen=pg.mkPen(self.color_of(index), width=1, style=dashes), antialias=False)
        # the first series is the one that matters: it is drawn last
        curve.setZValue(10 - index)
        self.box.addItem(curve, ignoreBounds=True)
        return curve

    def color_of(self, index: int) -> QColor:
        return self.colors[min(index, len(self.colors) - 1)]

    def reduce(self, start: float, end: float, columns: int) -> list[Reduced]:
        """The drawn points of every series in the chart's unit."""
        found = []
        for series, pyramid in zip(self.series, self._pyramids, strict=True):
            pyramid.sync(series.channel.times, series.channel.values)
            raw = pyramid.reduce(start, end, columns)
            found.append(Reduced(raw.x, raw.y * series.factor, raw.samples, raw.per_point))
        return found

    def draw(self, start: float, end: float, across: Sequence[float]) -> None:
        """Bring everything up to date for [start, end] (s); `across` are the grid lines of the time axis (px)."""
        width, height = self.box.width(), self.box.height()
        if width < 2 or height < 2:
            return
        reduced = self.reduce(start, end, int(width))
        left = self._value_range([r.y for r in reduced])
        # room for the caption above and a little below, so that no curve runs along an edge
        head, foot = self.theme.px(22), self.theme.px(7)
        scale = (left[1] - left[0]) / max(height - head - foot, 1.0)
        low, high = left[0] - foot * scale, left[1] + head * scale
        self._low, self._high = low, high
        self.box.setRange(xRange=(start, end), yRange=(low, high), padding=0, disableAutoRange=False)
        for curve, points, series in zip(self._curves, reduced, self.series, strict=True):
            x, y = self._line(points, series, (end - start) / width)
            whole = not np.isnan(y).any()
            curve.setData(x, y, connect="all" if whole else "finite", skipFiniteCheck=whole)
        count = max(2, int((height - head) / self.theme.px(26)))
        marks = ticks(left[0], left[1], count)
        self.left.show_ticks(marks, low, high)
        self.ground.show_lines(across, [height - (v - low) / (high - low) * height for v in marks.values])
        most = max((r.per_point for r in reduced), default=1)
        self.caption.say(f"drawn as min and max of {most:,} samples" if most > 1 else "")

    @staticmethod
    def _line(points: Reduced, series: Curve, column_s: float) -> tuple[np.ndarray, np.ndarray]:
        """What a curve goes through. Tokens are no readings: nothing is missing between two of them."""
        if not series.is_read:
            return points.x, points.y
        # reduced to pixel columns, steps cannot be seen, and neighbours stand up to two columns apart
        steps, least = series.steps and not points.decimated, GAP_COLUMNS * column_s if points.decimated else 0.0
        return as_line(points.x, points.y, series.channel.times, steps=steps, least_s=least)

    def show_crosshair(self, time: float | None, start: float, end: float) -> None:
        """Line and dots at `time` (s), nothing for None."""
        if time is None or end <= start:
            self.crosshair.move_to(None, [])
            return
        height = self.box.height()
        dots = []
        for i, series in enumerate(self.series):
            value = series.value_at(time)
            if math.isfinite(value):
                dots.append((height - (value - self._low) / (self._high - self._low) * height, self.color_of(i)))
        self.crosshair.move_to((time - start) / (end - start) * self.box.width(), dots[::-1])

    def _value_range(self, curves: list[np.ndarray]) -> tuple[float, float]:
        """A range of whole ticks that holds the curves; it widens at once and narrows only when it is far too wide."""
        finite = [c[np.isfinite(c)] for c in curves]
        finite = [c for c in finite if len(c)]
        if not finite:
            return self._range or (0.0, 1.0)
        low, high = min(float(c.min()) for c in finite), max(float(c.max()) for c in finite)
        if self.chart.kind.from_zero:
            low, high = min(low, 0.0), max(high, 0.0)
        else:
            middle, half = (low + high) / 2, self.chart.kind.least_span / 2
            low, high = min(low, middle - half), max(high, middle + half)
        wanted = nice_range(low, high, 3)
        old = self._range
        if old and old[0] <= wanted[0] and wanted[1] <= old[1] and wanted[1] - wanted[0] > 0.5 * (old[1] - old[0]):
            return old
        self._range = wanted
        return wanted
