"""How a configuration looks wherever it is painted: markers, areas with their texture, swatches. Main thread.

What its look is says `workbench.plan.looks`; exports draw the same with matplotlib.
"""

from __future__ import annotations

import math
from functools import cache

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QPolygonF, QTransform

from widgets.theme.theme import Theme
from workbench.plan.looks import HOLLOW_STRIPE, STRIPE, Texture

_PERIOD = 8.0
"""Pixels from stripe to stripe; half of it is the stripe."""
_CUT = 0.56
"""Size of the marker in a swatch, as a share of its edge."""
_HALO = 0.36
"""Width of the line around a marker that is cut out of stripes, as a share of its size; half of it is seen."""
_VEIL = 0.55
"""How much of the ground lies over the swatch of a hidden configuration."""
_ARM = 0.17
"""Half the width of a cross's arms, as a share of its size."""


@cache
def marker_path(name: str) -> QPainterPath:
    """The marker around the origin, one pixel high, under pyqtgraph's name for it. KeyError for another name."""
    path = QPainterPath()
    if name == "o":
        path.addEllipse(QPointF(0, 0), 0.5, 0.5)
        return path
    path.addPolygon(_CORNERS[name])
    path.closeSubpath()
    return path


def _regular(corners: int, *, radius: float = 0.5, inner: float | None = None) -> QPolygonF:
    """A polygon with a corner at the top; with an `inner` radius a star."""
    radii = (radius,) if inner is None else (radius, inner)
    count = corners * len(radii)
    turns = [2 * math.pi * i / count for i in range(count)]
    return QPolygonF(
        [
            QPointF(radii[i % len(radii)] * math.sin(t), -radii[i % len(radii)] * math.cos(t))
            for i, t in enumerate(turns)
        ]
    )


def _cross() -> QPolygonF:
    a, b = 0.5, _ARM
    return QPolygonF(
        [
            QPointF(x, y)
            for x, y in (
                (-b, -a), (b, -a), (b, -b), (a, -b), (a, b), (b, b),
                (b, a), (-b, a), (-b, b), (-a, b), (-a, -b), (-b, -b),
            )
        ]
    )  # fmt: skip


_CORNERS: dict[str, QPolygonF] = {
    "s": QPolygonF([QPointF(x, y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]),
    "d": QPolygonF([QPointF(x, y) for x, y in ((0, -0.5), (0.4, 0), (0, 0.5), (-0.4, 0))]),
    "t": QPolygonF([QPointF(x, y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0, 0.5))]),
    "t1": QPolygonF([QPointF(x, y) for x, y in ((-0.5, 0.5), (0, -0.5), (0.5, 0.5))]),
    "h": _regular(6),
    "p": _regular(5),
    "star": _regular(5, radius=0.6, inner=0.26),
    "+": _cross(),
    "x": QTransform().rotate(45).map(_cross()),
}


def paint_area(
    painter: QPainter, theme: Theme, rect: QRectF, run: int, *, hollow: bool = False, edge: float = 0
) -> None:
    """Fill a rectangle (px) with a configuration's colour and texture; `hollow`: only its edge of `edge` px, with the
    texture pale within."""
    color = theme.run_color(run)
    painter.fillRect(rect, color)
    inner = rect
    if hollow:
        inner = rect.adjusted(edge, edge, -edge, -edge)
        if min(inner.width(), inner.height()) <= 0:
            return
        painter.fillRect(inner, theme.color("chart.background"))
    path = QPainterPath()
    path.addRect(inner)
    _paint_stripes(painter, theme, path, run, HOLLOW_STRIPE if hollow else STRIPE)


def paint_swatch(painter: QPainter, theme: Theme, rect: QRectF, run: int, *, faded: bool = False) -> None:
    """A square (px) in a configuration's colour and texture with its marker cut out: what its bars and points look
    like. `faded`: hidden from the charts."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    path = QPainterPath()
    radius = theme.radius("swatch")
    path.addRoundedRect(rect, radius, radius)
    painter.fillPath(path, theme.run_color(run))
    _paint_stripes(painter, theme, path, run, STRIPE)
    size, at = rect.width() * _CUT, rect.center()
    marker = QTransform.fromTranslate(at.x(), at.y()).scale(size, size).map(marker_path(theme.run_marker(run)))
    if theme.run_texture(run) != "plain":
        # stripes keep off the marker
        painter.strokePath(marker, QPen(theme.run_color(run), _HALO * size))
    ground = theme.color("bg.base")
    if faded:
        veil = QColor(ground)
        veil.setAlphaF(_VEIL)
        painter.fillPath(path, veil)
    painter.fillPath(marker, ground)
    painter.restore()


def paint_dot(painter: QPainter, theme: Theme, rect: QRectF, run: int) -> None:
    """A configuration's marker alone, filling a square (px): for a place too small for a swatch."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.center())
    painter.scale(rect.width(), rect.height())
    painter.fillPath(marker_path(theme.run_marker(run)), theme.run_color(run))
    painter.restore()


def _paint_stripes(painter: QPainter, theme: Theme, area: QPainterPath, run: int, share: float) -> None:
    texture = theme.run_texture(run)
    if texture == "plain":
        return
    period = theme.px(_PERIOD)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setClipPath(area, Qt.ClipOperation.IntersectClip)
    painter.setPen(QPen(theme.run_stripe(run, share), period / 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
    painter.drawLines(stripes(area.boundingRect(), texture, period))
    painter.restore()


def stripes(rect: QRectF, texture: Texture, period: float) -> list[QLineF]:
    """The middles of a texture's stripes over a rectangle (px), the first half a period from its corner."""
    left, right, top, bottom = rect.left(), rect.right(), rect.top(), rect.bottom()
    found: list[QLineF] = []
    if texture == "level":
        found += [QLineF(left, y, right, y) for y in _places(top, bottom, period)]
    if texture == "upright":
        found += [QLineF(x, top, x, bottom) for x in _places(left, right, period)]
    across, height = period * math.sqrt(2), rect.height()
    if texture in ("rising", "crossed"):
        found += [QLineF(x - height, bottom, x, top) for x in _places(left, right + height, across)]
    if texture in ("falling", "crossed"):
        found += [QLineF(x - height, top, x, bottom) for x in _places(left, right + height, across)]
    return found


def _places(start: float, end: float, step: float) -> list[float]:
    return [start + step * (i + 0.5) for i in range(max(0, math.ceil((end - start) / step)))]
