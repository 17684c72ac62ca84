"""Where direct labels stand, in the window's charts and in exported ones: next to their marks, never over one another.

Pure geometry in pixels. Not adjustText: on random charts of 5 and 10 points it left names on points and whiskers, and
took ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""x and y of one corner, x and y of the opposite one, both larger."""

_RINGS = 7
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_OUTSIDE = 10.0
"""An area that is cut off costs so many times one that covers something."""


@dataclass(frozen=True)
class Placed:
    """`leader`: it stands away from its mark and needs a line to it."""

    box: Box
    leader: bool

    def nearest(self, point: tuple[float, float]) -> tuple[float, float]:
        """The place in the box that is nearest to a point: where a leader ends."""
        x0, y0, x1, y1 = self.box
        return min(max(point[0], x0), x1), min(max(point[1], y0), y1)


def place_labels(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    bounds: Box,
    *,
    gap: float,
    up: int,
    always: bool,
) -> list[Placed | None]:
    """A place for each label, in order of importance: at a side of its mark, `gap` from its middle, then further away.

    Where there is no room: None, or with `always` where it covers least. `up` is 1 where y grows upwards, else -1.
    """
    taken = list(obstacles)
    placed: list[Placed | None] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        cost, ring, box = _find(anchor, size, taken, bounds, gap, up)
        if cost and not always:
            placed.append(None)
            continue
        placed.append(Placed(box, leader=ring > 1))
        taken.append(box)
    return placed


def _find(
    anchor: tuple[float, float], size: tuple[float, float], taken: Sequence[Box], bounds: Box, gap: float, up: int
) -> tuple[float, int, Box]:
    """The first place that costs nothing, or the cheapest."""
    (x, y), (width, height) = anchor, size
    tried: list[tuple[float, int, Box]] = []
    for ring in range(_RINGS):
        away = gap + ring * 0.9 * height
        for dx, dy in _DIRECTIONS:
            x0 = x - width / 2 + dx * ((gap if dy else away) + width / 2)
            y0 = y - height / 2 + up * dy * (away + height / 2)
            box = (x0, y0, x0 + width, y0 + height)
            cost = sum(_overlap(box, other) for other in taken)
            cost += _OUTSIDE * (_overlap(box, box) - _overlap(box, bounds))
            tried.append((cost, ring, box))
            if cost == 0:
                return tried[-1]
    return min(tried)


def _overlap(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    along = min(a[3], b[3]) - max(a[1], b[1])
    return max(across, 0.0) * max(along, 0.0)


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
