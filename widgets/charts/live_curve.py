"""One curve of a live plot: its reduced points and the items that draw it. Main thread."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from widgets.charts.decimation import Pyramid, Reduced
from widgets.theme.theme import Theme
from workbench.charts.curves import Curve
from workbench.charts.readings import GAP_COLUMNS, as_line

_CIRCLE, _RING = 7, 13


class LiveCurve:
    """`draw` follows the curve's points; `scale` and `shift` carry its values onto the plot's left axis."""

    def __init__(self, theme: Theme, box: pg.ViewBox, curve: Curve, run: QColor) -> None:
        self.curve = curve
        self.color = _color(theme, curve, run)
        self._theme, self._box = theme, box
        self._pyramid = Pyramid()
        self.scale, self.shift = 1.0, 0.0
        self.item = pg.PlotCurveItem(pen=self._pen(), antialias=False)
        area = curve.kind.style == "area"
        if area:
            self.item.setFillLevel(curve.below)
            self.item.setBrush(self.color)
        # the first line is the one that matters: it is drawn last; areas lie under all lines
        self.item.setZValue(-5 if area else 10 - curve.neutral)
        box.addItem(self.item, ignoreBounds=True)
        self._circles: pg.ScatterPlotItem | None = None
        if curve.kind.style == "points":
            ground = pg.mkBrush(theme.color("chart.background"))
            self._circles = pg.ScatterPlotItem(pen=pg.mkPen(self.color, width=1.5), brush=ground, antialias=True)
            self._circles.setZValue(15)
            box.addItem(self._circles, ignoreBounds=True)

    def _pen(self) -> object:
        if self.curve.kind.style == "area":
            return pg.mkPen(None)
        # as in exports: from the fourth on colours repeat
        dashes = Qt.PenStyle.DashLine if self.curve.neutral > 2 else Qt.PenStyle.SolidLine
        return pg.mkPen(self.color, width=1, style=dashes)

    def remove(self) -> None:
        self._box.removeItem(self.item)
        if self._circles is not None:
            self._box.removeItem(self._circles)

    def reduce(self, start: float, end: float, columns: int) -> Reduced:
        """The drawn points in the chart's unit."""
        points, factor, below = self.curve.points, self.curve.factor, self.curve.below
        points.sync()
        self._pyramid.sync(points.x, points.y)
        raw = self._pyramid.reduce(start, end, columns)
        return Reduced(raw.x, raw.y * factor + below, raw.samples, raw.per_point)

    def draw(self, points: Reduced, column: float, best: float | None = None) -> None:
        """`column` is the width of a pixel on the axis; `best` the value that is ringed twice where it is in view."""
        x, y = self._line(points, column)
        y = y * self.scale + self.shift
        whole = not np.isnan(y).any()
        self.item.setData(x, y, connect="all" if whole else "finite", skipFiniteCheck=whole)
        if self._circles is not None:
            edge = self._theme.px(_CIRCLE)
            sizes = np.full(len(x), edge, dtype=float)
            ringed = () if best is None else np.flatnonzero(np.isclose(y, best * self.scale + self.shift))[:1]
            if len(ringed):
                x, y, sizes = np.append(x, x[ringed]), np.append(y, y[ringed]), np.append(sizes, edge)
                sizes[ringed] = self._theme.px(_RING)
            self._circles.setData(x=x, y=y, size=sizes)

    def _line(self, points: Reduced, column: float) -> tuple[np.ndarray, np.ndarray]:
        """What the curve goes through. Tokens and steps are no readings: nothing is missing between two of them."""
        curve = self.curve
        if not curve.is_read:
            return points.x, points.y
        # reduced to pixel columns, steps cannot be seen, and neighbours stand up to two columns apart
        steps, least = curve.steps and not points.decimated, GAP_COLUMNS * column if points.decimated else 0.0
        return as_line(points.x, points.y, curve.channel.times, steps=steps, least_s=least)


def _color(theme: Theme, curve: Curve, run: QColor) -> QColor:
    if curve.kind.color:
        return theme.color(curve.kind.color)
    return run if curve.neutral == 0 else theme.color("chart.series2" if curve.neutral == 1 else "chart.series3")
