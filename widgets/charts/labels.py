"""Where the direct labels of a chart stand: next to their marks, never over one another, never cut. No painting.

Plain geometry on `QRectF`, so that it can be tested by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSizeF

_DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
_DISTANCES = (9.0, 20.0, 34.0, 50.0, 70.0, 95.0, 125.0)


@dataclass(frozen=True)
class Placed:
    """A label's rectangle; `leader` says that it is away from its mark and needs a line to it."""

    rect: QRectF
    leader: bool


def place_labels(
    anchors: Sequence[QPointF], sizes: Sequence[QSizeF], obstacles: Sequence[QRectF], bounds: QRectF
) -> list[Placed | None]:
    """A rectangle for each label, in order of importance; None where there is no room (the readout still has it)."""
    taken = list(obstacles)
    placed: list[Placed | None] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        found = _find(anchor, size, taken, bounds)
        placed.append(found)
        if found is not None:
            taken.append(found.rect)
    return placed


def _find(anchor: QPointF, size: QSizeF, taken: Sequence[QRectF], bounds: QRectF) -> Placed | None:
    for distance in _DISTANCES:
        for dx, dy in _DIRECTIONS:
            reach = distance if dx == 0 or dy == 0 else distance * 0.75
            center = QPointF(
                anchor.x() + dx * (reach + size.width() / 2), anchor.y() + dy * (reach + size.height() / 2)
            )
            rect = QRectF(center.x() - size.width() / 2, center.y() - size.height() / 2, size.width(), size.height())
            if bounds.contains(rect) and not any(rect.intersects(other) for other in taken):
                return Placed(rect, distance > _DISTANCES[1])
    return None


def spread(positions: Sequence[float], height: float, low: float, high: float) -> list[float]:
    """Centres moved as little as a simple pass allows so that texts of `height` do not overlap within [low, high]."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    moved = [0.0] * len(positions)
    floor = low + height / 2
    for i in order:
        moved[i] = max(positions[i], floor)
        floor = moved[i] + height
    ceiling = high - height / 2
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - height
    return moved
