"""Bars, points, intervals, lines and direct labels of a stored chart, painted in pixels of its view box.

`layout` turns a `Chart` into positioned marks for the size at hand; `paint` only draws them. Main thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen, QPolygonF, QTransform
from PySide6.QtWidgets import QGraphicsItem

from widgets.charts.decimation import Pyramid
from widgets.theme.run_paint import marker_path, paint_area
from widgets.theme.theme import Theme
from workbench.charts.labels import Box, place_labels, spread
from workbench.charts.stored import Chart, Series

_CAP = 4.0
_MARKER = 11.0
_BAND_ALPHA = 46
SPAN_ROW = 12
"""Height of a row of ranges at the foot of a plot."""


@dataclass
class _Text:
    rect: QRectF
    text: str
    color: QColor
    leader: QLineF | None = None
    ground: bool = False
    """Painted on a piece of the plot's ground, because it lies on curves."""


@dataclass(frozen=True)
class Target:
    """What the pointer or the keyboard can rest on: a place in pixels and what the readout says."""

    point: QPointF
    area: QRectF
    text: str


@dataclass(frozen=True)
class _Bar:
    rect: QRectF
    run: int
    """Palette index."""
    hollow: bool


@dataclass(frozen=True)
class _Span:
    bar: QRectF
    at: QPointF
    color: QColor
    open_low: bool
    open_high: bool


@dataclass
class _Laid:
    """Everything positioned for one size of one chart."""

    bars: list[_Bar] = field(default_factory=list)
    intervals: list[tuple[QLineF, QColor]] = field(default_factory=list)
    points: list[tuple[QPointF, str, QColor, bool]] = field(default_factory=list)
    lines: list[tuple[QPolygonF, QColor, float]] = field(default_factory=list)
    areas: list[tuple[QPolygonF, QColor]] = field(default_factory=list)
    circles: list[tuple[QPointF, QColor, bool]] = field(default_factory=list)
    """Middle, colour, whether filled."""
    spans: list[_Span] = field(default_factory=list)
    references: list[QLineF] = field(default_factory=list)
    front: QPolygonF = field(default_factory=QPolygonF)
    texts: list[_Text] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


class Marks(QGraphicsItem):
    """All marks of one chart; `per_point` says how many samples a drawn point covers at most."""

    def __init__(self, box: pg.ViewBox, theme: Theme, chart: Chart) -> None:
        super().__init__(box)
        self.setZValue(10)
        # curves that run out of the visible range end at the plot's edge
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemClipsToShape)
        self._box = box
        self._theme = theme
        self._chart = chart
        self._laid = _Laid()
        self.per_point = 1
        self._pyramids: dict[int, Pyramid] = {}

    @property
    def targets(self) -> list[Target]:
        return self._laid.targets

    @property
    def label_rects(self) -> list[QRectF]:
        """Where the direct labels stand (px)."""
        return [t.rect for t in self._laid.texts]

    def boundingRect(self) -> QRectF:
        return self._box.rect()

    def shape(self) -> QPainterPath:
        path = QPainterPath()
        path.addRect(self._box.rect())
        return path

    # --- layout -----------------------------------------------------------------------------------

    def layout(self) -> None:
        """Position everything for the view box's present size and range."""
        self.prepareGeometryChange()
        self._laid = _Laid()
        self.per_point = 1
        metrics = QFontMetricsF(self._theme.font("dense"))
        self._lay_references()
        self._lay_spans()
        self._laid.front = QPolygonF([self._map(x, y) for x, y in self._chart.front])
        lines: list[tuple[Series, float]] = []
        loose: list[tuple[QPointF, str, QColor]] = []
        for index, series in enumerate(self._chart.series):
            color = self.color(series.color)
            if series.style == "bars":
                self._lay_bars(series, metrics)
            elif series.style == "markers":
                loose += self._lay_points(series, color)
            else:
                end = self._lay_line(index, series, color)
                if end is not None:
                    lines.append((series, end))
        self._lay_loose_labels(loose, metrics)
        self._lay_line_labels(lines, metrics)
        self.update()

    def color(self, index: int) -> QColor:
        """A run's colour, or the neutral second and third series at -1 and -2."""
        if index >= 0:
            return self._theme.run_color(index)
        return self._theme.color("chart.series2" if index == -1 else "chart.series3")

    def _map(self, x: float, y: float) -> QPointF:
        """Pixels of a value; the box itself counts in powers of ten on a logarithmic axis."""
        along = math.log10(x) if self._chart.x.log else x
        up = math.log10(y) if self._chart.y.log else y
        return QPointF(self._box.mapFromView(QPointF(along, up)))

    def _lay_references(self) -> None:
        rect = self._box.rect()
        metrics = QFontMetricsF(self._theme.font("dense"))
        for reference in self._chart.references:
            at = self._map(reference.value if reference.orientation == "vertical" else 1.0, reference.value)
            size = QSizeF(metrics.horizontalAdvance(reference.title), metrics.height())
            if reference.orientation == "vertical":
                self._laid.references.append(QLineF(at.x(), rect.top(), at.x(), rect.bottom()))
                left = at.x() + 4 if at.x() + 4 + size.width() < rect.right() else at.x() - 4 - size.width()
                place = QRectF(QPointF(max(left, 2.0), rect.top() + 1), size)
            else:
                self._laid.references.append(QLineF(rect.left(), at.y(), rect.right(), at.y()))
                place = QRectF(QPointF(rect.right() - size.width() - 4, at.y() - size.height() - 1), size)
            if reference.title:
                self._laid.texts.append(_Text(place, reference.title, self._theme.color("text.muted")))

    def _lay_bars(self, series: Series, metrics: QFontMetricsF) -> None:
        row = abs(self._map(0, 1).y() - self._map(0, 0).y())
        half = min(self._theme.px(10), row * 0.3)
        dark = self._theme.color("text.primary")
        for i, (value, position) in enumerate(zip(series.x, series.y, strict=True)):
            if not np.isfinite(value):
                continue
            zero, tip = self._map(0, position), self._map(value, position)
            left, right = min(zero.x(), tip.x()), max(zero.x(), tip.x())
            bar = QRectF(left, tip.y() - half, max(right - left, 1.0), 2 * half)
            self._laid.bars.append(_Bar(bar, series.color, series.hollow))
            low, high = _interval(series.x_low, series.x_high, i)
            if low is not None and high is not None:
                seen, beyond = _cut(high, self._chart.x.maximum)
                a, b = self._map(low, position).x(), self._map(seen, position).x()
                self._laid.intervals += [(line, dark) for line in _whiskers(a, b, tip.y(), half * 0.6, beyond)]
                right = max(right, b)
            text = series.labels[i] if i < len(series.labels) else ""
            size = QSizeF(metrics.horizontalAdvance(text), metrics.height())
            place = QRectF(QPointF(right + 8, tip.y() - size.height() / 2), size)
            if text:
                self._laid.texts.append(_Text(place, text, dark))
            names = self._chart.y.categories
            name = names[round(position)] if 0 <= round(position) < len(names) else series.title
            area = QRectF(0, tip.y() - row / 2, self._box.rect().width(), row)
            said = _spoken(name, text or _number(value), self._chart.x.unit, low, high)
            self._laid.targets.append(Target(tip, area, said))

    def _lay_points(self, series: Series, color: QColor) -> list[tuple[QPointF, str, QColor]]:
        marker = self._theme.run_marker(series.color) if series.color >= 0 else "o"
        cap = self._theme.px(_CAP)
        loose = []
        for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            at = self._map(x, y)
            x_low, x_high = _interval(series.x_low, series.x_high, i)
            y_low, y_high = _interval(series.y_low, series.y_high, i)
            if x_low is not None and x_high is not None:
                seen, beyond = _cut(x_high, self._chart.x.maximum)
                a, b = self._map(x_low, y).x(), self._map(seen, y).x()
                self._laid.intervals += [(line, color) for line in _whiskers(a, b, at.y(), cap, beyond)]
            if y_low is not None and y_high is not None:
                seen, beyond = _cut(y_high, self._chart.y.maximum)
                a, b = self._map(x, y_low).y(), self._map(x, seen).y()
                upright = [QLineF(w.y1(), w.x1(), w.y2(), w.x2()) for w in _whiskers(a, b, at.x(), cap, beyond)]
                self._laid.intervals += [(line, color) for line in upright]
            self._laid.points.append((at, marker, color, series.hollow))
            name = series.labels[i] if i < len(series.labels) else series.title
            loose.append((at, name, self._theme.color("text.primary")))
            said = "\n".join(
                (
                    series.title,
                    _spoken(self._chart.x.title, _number(x), self._chart.x.unit, x_low, x_high),
                    _spoken(self._chart.y.title, _number(y), self._chart.y.unit, y_low, y_high),
                )
            )
            reach = self._theme.px(12)
            area = QRectF(at.x() - reach, at.y() - reach, 2 * reach, 2 * reach)
            self._laid.targets.append(Target(at, area, said))
        return loose

    def _lay_line(self, index: int, series: Series, color: QColor) -> float | None:
        """Position one curve, decimated to the width at hand. -> height of its visible end (px)."""
        pyramid = self._pyramids.setdefault(index, Pyramid())
        if not len(pyramid) and not self._chart.x.log and np.all(np.diff(series.x) >= 0):
            pyramid.sync(series.x, series.y)
        (start, end), _ = self._box.viewRange()
        if len(pyramid):
            reduced = pyramid.reduce(start, end, int(self._box.width()))
            xs, ys = reduced.x, reduced.y
            self.per_point = max(self.per_point, reduced.per_point)
        else:
            xs, ys = series.x, series.y
        self._lay_band(series, color)
        if series.style == "points":
            self._lay_circles(series, color)
        polygon = QPolygonF()
        last: float | None = None
        wide = 1.5 if series.style == "line" and series.color < 0 else 1.0
        for x, y in zip(xs, ys, strict=True):
            if not (np.isfinite(x) and np.isfinite(y)):
                self._laid.lines.append((polygon, color, wide))
                polygon = QPolygonF()
                continue
            at = self._map(x, y)
            if series.style == "steps" and not polygon.isEmpty():
                polygon.append(QPointF(at.x(), polygon.last().y()))
            polygon.append(at)
            if self._chart.x.log or x <= end:
                last = at.y()
        self._laid.lines.append((polygon, color, wide))
        return last

    def _lay_band(self, series: Series, color: QColor) -> None:
        """What lies between the lowest and the highest trial."""
        if series.y_low is None or series.y_high is None:
            return
        ground = self._theme.color(series.token) if series.token else QColor(color)
        ground.setAlpha(255 if series.token else _BAND_ALPHA)
        seen = np.isfinite(series.x) & np.isfinite(series.y_low) & np.isfinite(series.y_high)
        places = np.flatnonzero(seen)
        edge = [self._map(series.x[i], series.y_high[i]) for i in places]
        edge += [self._map(series.x[i], series.y_low[i]) for i in places[::-1]]
        self._laid.areas.append((QPolygonF(edge), ground))

    def _lay_circles(self, series: Series, color: QColor) -> None:
        reach = self._theme.px(10)
        for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            at = self._map(x, y)
            self._laid.circles.append((at, color, i in series.filled))
            low, high = _interval(series.y_low, series.y_high, i)
            chart = self._chart
            said = "\n".join(
                (
                    series.title,
                    _spoken(chart.x.title, _number(x), chart.x.unit, None, None),
                    _spoken(chart.y.title, _number(y), chart.y.unit, low, high),
                )
            )
            self._laid.targets.append(Target(at, QRectF(at.x() - reach, at.y() - reach, 2 * reach, 2 * reach), said))

    def _lay_spans(self) -> None:
        """Bars in rows at the foot of the plot, the first on top."""
        row = self._theme.px(SPAN_ROW)
        rect, spans = self._box.rect(), self._chart.spans
        for i, span in enumerate(spans):
            y = rect.bottom() - (len(spans) - i) * row + row / 2
            left, right, at = (self._map(v, 1.0).x() for v in (span.low, span.high, span.at))
            bar = QRectF(left, y - self._theme.px(2), max(right - left, 1.0), self._theme.px(4))
            self._laid.spans.append(_Span(bar, QPointF(at, y), self.color(span.color), span.open_low, span.open_high))
            low = f"{_number(span.low)}{' or lower' if span.open_low else ''}"
            high = f"{_number(span.high)}{' or higher' if span.open_high else ''}"
            said = f"{span.title}\nbest at {_number(span.at)}, as good from {low} to {high}"
            self._laid.targets.append(
                Target(QPointF(at, y), QRectF(left - 6, y - row / 2, right - left + 12, row), said)
            )

    def _lay_loose_labels(self, loose: list[tuple[QPointF, str, QColor]], metrics: QFontMetricsF) -> None:
        reach = self._theme.px(7)
        obstacles = [QRectF(at.x() - reach, at.y() - reach, 2 * reach, 2 * reach) for at, _, _ in loose]
        obstacles += [
            QRectF(line.p1(), line.p2()).normalized().adjusted(-1, -1, 1, 1) for line, _ in self._laid.intervals
        ]
        obstacles += [text.rect for text in self._laid.texts]
        corners = self._laid.front.toList()
        obstacles += [QRectF(a, b).normalized().adjusted(-1, -1, 1, 1) for a, b in pairwise(corners)]
        placed = place_labels(
            [(at.x(), at.y()) for at, _, _ in loose],
            [(metrics.horizontalAdvance(text) + 2, metrics.height()) for _, text, _ in loose],
            [_box(rect) for rect in obstacles],
            _box(self._box.rect().adjusted(2, 2, -2, -2)),
            gap=self._theme.px(9),
            up=-1,
            always=False,  # the readout still has it
        )
        for (at, text, color), place in zip(loose, placed, strict=True):
            if place is not None:
                leader = QLineF(at, QPointF(*place.nearest((at.x(), at.y())))) if place.leader else None
                rect = QRectF(QPointF(*place.box[:2]), QPointF(*place.box[2:]))
                self._laid.texts.append(_Text(rect, text, color, leader))

    def _lay_line_labels(self, lines: list[tuple[Series, float]], metrics: QFontMetricsF) -> None:
        named = [(series, end) for series, end in lines if series.title and len(self._chart.series) > 1]
        rect = self._box.rect()
        heights = spread(
            [end - metrics.height() * 0.6 for _, end in named], metrics.height(), rect.top(), rect.bottom()
        )
        for (series, _), center in zip(named, heights, strict=True):
            width = metrics.horizontalAdvance(series.title) + 8
            place = QRectF(rect.right() - width - 8, center - metrics.height() / 2, width, metrics.height())
            self._laid.texts.append(_Text(place, series.title, self.color(series.color), ground=True))

    # --- painting ---------------------------------------------------------------------------------

    def paint(self, painter: QPainter, option: object, widget: object = None) -> None:
        laid, theme = self._laid, self._theme
        thick = theme.px(2)
        for bar in laid.bars:
            paint_area(painter, theme, bar.rect, bar.run, hollow=bar.hollow, edge=thick)
        painter.setPen(QPen(theme.color("chart.reference"), 1, Qt.PenStyle.DashLine))
        painter.drawLines(laid.references)
        painter.drawPolyline(laid.front)
        painter.setPen(Qt.PenStyle.NoPen)
        for polygon, color in laid.areas:
            painter.setBrush(color)
            painter.drawPolygon(polygon)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for polygon, color, width in laid.lines:
            painter.setPen(QPen(color, width))
            painter.drawPolyline(polygon)
        for line, color in laid.intervals:
            painter.setPen(QPen(color, theme.px(1)))
            painter.drawLine(line)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_circles(painter)
        marker_edge = theme.px(_MARKER)
        for at, marker, color, hollow in laid.points:
            ground = theme.color("chart.background")
            painter.setPen(QPen(color if hollow else ground, theme.px(2 if hollow else 1)))
            painter.setBrush(ground if hollow else color)
            sized = QTransform.fromTranslate(at.x(), at.y()).scale(marker_edge, marker_edge)
            painter.drawPath(sized.map(marker_path(marker)))
        painter.setFont(theme.font("dense"))
        for text in laid.texts:
            if text.leader is not None:
                painter.setPen(QPen(theme.color("chart.axis"), 1))
                painter.drawLine(text.leader)
            if text.ground:
                painter.fillRect(text.rect, theme.color("chart.background"))
            painter.setPen(text.color)
            painter.drawText(text.rect, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextDontClip, text.text)

    def _paint_circles(self, painter: QPainter) -> None:
        theme = self._theme
        ground, radius = theme.color("chart.background"), theme.px(7) / 2
        for at, color, filled in self._laid.circles:
            painter.setPen(QPen(color, theme.px(1.5)))
            painter.setBrush(color if filled else ground)
            painter.drawEllipse(at, radius * (1.3 if filled else 1), radius * (1.3 if filled else 1))
        for span in self._laid.spans:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(span.color)
            painter.drawRect(span.bar)
            tip, half = span.bar.height(), span.bar.height()
            for open_, x, way in ((span.open_low, span.bar.left(), -1), (span.open_high, span.bar.right(), 1)):
                if open_:
                    # beyond the mark, where that is at the end
                    x, y = x + way * radius * 1.5, span.at.y()
                    head = [QPointF(x, y - half), QPointF(x + 1.5 * way * tip, y), QPointF(x, y + half)]
                    painter.drawPolygon(QPolygonF(head))
            painter.setPen(QPen(ground, 1))
            painter.drawEllipse(span.at, radius * 1.3, radius * 1.3)


def _interval(low: np.ndarray | None, high: np.ndarray | None, i: int) -> tuple[float | None, float | None]:
    if low is None or high is None or not (np.isfinite(low[i]) and np.isfinite(high[i])):
        return None, None
    return float(low[i]), float(high[i])


def _cut(high: float, maximum: float | None) -> tuple[float, bool]:
    """Where an interval's upper end is drawn, and whether it continues beyond."""
    return (high, False) if maximum is None or high <= maximum else (maximum, True)


def _whiskers(a: float, b: float, across: float, cap: float, beyond: bool = False) -> list[QLineF]:
    """A line from a to b and its two ends, along the horizontal; an arrow at b where it continues `beyond`."""
    a, b, across = round(a) + 0.5, round(b) + 0.5, round(across) + 0.5
    back = b - (cap if b >= a else -cap) if beyond else b
    tip = across if beyond else across + cap
    ends = [QLineF(back, across - cap, b, tip)]
    if beyond:
        ends.append(QLineF(back, across + cap, b, tip))
    return [QLineF(a, across, b, across), QLineF(a, across - cap, a, across + cap), *ends]


def _box(rect: QRectF) -> Box:
    return rect.left(), rect.top(), rect.right(), rect.bottom()


def _number(value: float) -> str:
    return f"{value:,.4g}".replace("e-0", "e-") if abs(value) < 1000 else f"{value:,.0f}"


def _spoken(name: str, text: str, unit: str, low: float | None, high: float | None) -> str:
    said = f"{name}: {text} {unit}".rstrip()
    return said if low is None or high is None else f"{said} [{_number(low)}, {_number(high)}]"
