"""What tells a configuration from the others in every table, chart, legend and export: from its place in the palette.

Ten colours that colour-blind people can tell apart go round again after ten configurations, because more would be too
near each other. From then on the markers have moved on by one and areas (bars, swatches) carry a texture, another one
in each round. No two of the first sixty share colour and texture, no two of the first hundred colour and marker. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

COLOURS = 10
"""Colours, and markers, of each theme in assets/tokens.json."""
Texture = Literal["plain", "rising", "level", "falling", "upright", "crossed"]
TEXTURES: tuple[Texture, ...] = ("plain", "rising", "level", "falling", "upright", "crossed")
"""Of the first ten configurations, the second ten and so on: stripes that run this way."""
STRIPE = 0.5
"""Share of the ground in the colour of a texture's stripes."""
HOLLOW_STRIPE = 0.7
"""The same in areas that are drawn open."""


@dataclass(frozen=True)
class RunLook:
    """`color` and `marker` are places in the palette's lists."""

    color: int
    marker: int
    texture: Texture


def run_look(index: int) -> RunLook:
    """The look of a configuration of the given palette index, 0 or more."""
    lap, color = divmod(index, COLOURS)
    return RunLook(color, (color + lap) % COLOURS, TEXTURES[lap % len(TEXTURES)])


def mixed(color: str, ground: str, share: float) -> str:
    """`"#RRGGBB"` of a colour with the given share (0 to 1) of the ground in it."""
    parts = zip(_channels(color), _channels(ground), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in parts)


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
