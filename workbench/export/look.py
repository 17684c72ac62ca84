"""Colours, markers and type of exported figures, from the same tokens as the window. Loaded late, any thread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

ThemeName = Literal["light", "dark"]

MARKERS = ("o", "s", "D", "^", "v", "h", "P", "*", "p", "X")
"""matplotlib's names for the ten run markers, in the palette's order (see assets/tokens.json)."""


@dataclass(frozen=True)
class Look:
    """One theme for matplotlib; colours as "#RRGGBB"."""

    background: str
    text: str
    label: str
    tick: str
    muted: str
    axis: str
    grid: str
    reference: str
    neutral: tuple[str, str]
    """Second and third series of one trial."""
    runs: tuple[str, ...]
    bands: dict[str, str]
    lanes: dict[str, str]
    families: tuple[str, ...]

    def color(self, index: int) -> str:
        """A run's colour, or a neutral one at -1 and -2."""
        if index < 0:
            return self.neutral[0 if index == -1 else 1]
        return self.runs[index % len(self.runs)]

    def marker(self, index: int) -> str:
        """After ten configurations colours repeat and the markers move on by one."""
        return MARKERS[(index + index // len(MARKERS)) % len(MARKERS)] if index >= 0 else "o"


@cache
def look(theme: ThemeName) -> Look:
    tokens = json.loads((files("assets") / "tokens.json").read_text(encoding="utf-8"))
    colors = tokens["themes"][theme]
    chart, text = colors["chart"], colors["text"]
    return Look(
        background=chart["background"],
        text=text["primary"],
        label=chart["label_text"],
        tick=chart["tick_text"],
        muted=text["muted"],
        axis=chart["axis"],
        grid=chart["grid"],
        reference=chart["reference"],
        neutral=(chart["series2"], chart["series3"]),
        runs=tuple(run["color"] for run in colors["run"]),
        lanes={name: phase["lane"] for name, phase in colors["phase"].items()},
        bands={name: phase["band"] for name, phase in colors["phase"].items()},
        families=(tokens["type"]["family"], *tokens["type"]["family_fallback"]),
    )
