"""Colours, markers and type of exported figures, from the same tokens as the window. Loaded late, any thread."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from workbench.plan.looks import Texture, mixed, run_look

ThemeName = Literal["light", "dark"]

MARKERS = ("o", "s", "D", "^", "v", "h", "P", "*", "p", "X")
"""matplotlib's names for the ten run markers, in the palette's order (see assets/tokens.json)."""
_HATCHES: dict[Texture, str] = {
    "plain": "", "rising": "//", "level": "---", "falling": "\\\\", "upright": "|||", "crossed": "xx",
}  # fmt: skip


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
    memory: dict[str, str]
    """Parts of a device's memory: "weights"."""
    families: tuple[str, ...]

    def color(self, index: int) -> str:
        """A run's colour, or a neutral one under 0."""
        if index < 0:
            return self.neutral[0 if index == -1 else 1]
        return self.runs[run_look(index).color]

    def marker(self, index: int) -> str:
        return MARKERS[run_look(index).marker] if index >= 0 else "o"

    def hatch(self, index: int) -> str:
        """matplotlib's pattern for a run's texture; "" for none."""
        return _HATCHES[run_look(index).texture] if index >= 0 else ""

    def stripe(self, index: int, share: float) -> str:
        """Colour of that pattern, with the given share of the ground in it."""
        return mixed(self.color(index), self.background, share)


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
        memory=colors["memory"],
        families=(tokens["type"]["family"], *tokens["type"]["family_fallback"]),
    )
