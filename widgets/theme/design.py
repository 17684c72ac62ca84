"""The design in force: colours, fonts and scaled measures, read from `assets/tokens.json`. Main thread."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette

from workbench.plan.looks import Texture, mixed, run_look

MODES = ("light", "dark", "system")
SCALES = (0.9, 1.0, 1.15, 1.3, 1.5, 2.0)


@lru_cache(maxsize=1)
def load_tokens() -> dict[str, Any]:
    """The parsed token file. Treat it as read-only."""
    tokens: dict[str, Any] = json.loads((files("assets") / "tokens.json").read_text(encoding="utf-8"))
    return tokens


def resolve(tokens: dict[str, Any], theme: str, path: str) -> str:
    """The hex colour at a dotted path of a theme: `resolve(tokens, "dark", "status.good")`. KeyError where none is."""
    node: Any = tokens["themes"][theme]
    for part in path.split("."):
        node = node[part]
    if not isinstance(node, str):
        raise KeyError(path)
    return node


def without_ligatures(font: QFont) -> None:
    """Commands and logs are read letter by letter: ">=" is not drawn as one sign."""
    for feature in ("liga", "calt"):
        font.setFeature(QFont.Tag(feature), 0)


class Design(QObject):
    """Tokens at a mode ("light", "dark", "system") and a text scale. Read by whoever paints; changed by `Theme`."""

    def __init__(self, cache: Path, mode: str, scale: float, parent: QObject | None = None) -> None:
        """`cache` is a folder where tinted icons for the style sheet may be written."""
        super().__init__(parent)
        self.tokens = load_tokens()
        self.cache = cache
        self._mode = mode if mode in MODES else "system"
        self._scale = scale
        self._families: dict[str, list[str]] = {}

    # --- choice -----------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def scale(self) -> float:
        """Text scale; multiplies every size and height."""
        return self._scale

    @property
    def name(self) -> str:
        """The theme in force: "light" or "dark"."""
        if self._mode != "system":
            return self._mode
        scheme = QGuiApplication.styleHints().colorScheme()
        return "dark" if scheme == Qt.ColorScheme.Dark else "light"

    @property
    def is_dark(self) -> bool:
        return self.name == "dark"

    # --- colours ----------------------------------------------------------------------------------

    def hex(self, path: str) -> str:
        """`"#RRGGBB"` at a dotted path of the theme in force: "bg.panel", "text.muted", "status.bad_soft"."""
        return resolve(self.tokens, self.name, path)

    def color(self, path: str) -> QColor:
        return QColor(self.hex(path))

    def run_color(self, index: int) -> QColor:
        """Colour of a configuration; repeats after ten, see `workbench.plan.looks`."""
        return QColor(self._run_hex(index))

    def run_marker(self, index: int) -> str:
        """Name of a configuration's marker (`widgets.theme.run_paint.marker_path`)."""
        return str(self._runs[run_look(index).marker]["marker"])

    def run_texture(self, index: int) -> Texture:
        """Texture of a configuration's bars and swatches."""
        return run_look(index).texture

    def run_stripe(self, index: int, share: float) -> QColor:
        """Colour of that texture's stripes, with the given share of the ground in it."""
        return QColor(mixed(self._run_hex(index), self.hex("chart.background"), share))

    def _run_hex(self, index: int) -> str:
        return str(self._runs[run_look(index).color]["color"])

    @property
    def _runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.tokens["themes"][self.name]["run"]
        return runs

    def phase_color(self, phase: str, part: str = "band") -> QColor:
        """Ground of a phase; `part` is "band" (behind curves) or "lane". An unknown phase is drawn as idle."""
        phases = self.tokens["themes"][self.name]["phase"]
        return QColor(phases.get(phase, phases["idle"])[part])

    # --- sizes ------------------------------------------------------------------------------------

    def px(self, value: float) -> int:
        """A size of the design in pixels at the text scale."""
        return max(1, round(value * self._scale))

    def height(self, name: str) -> int:
        return self.px(self.tokens["height"][name])

    def width(self, name: str) -> int:
        """Widths that hold text grow with the scale; lines do not."""
        value = self.tokens["width"][name]
        return int(value) if name in ("splitter", "splitter_grab") else self.px(value)

    def spacing(self, name: str) -> int:
        return self.px(self.tokens["spacing"][name])

    def radius(self, name: str) -> int:
        return int(self.tokens["radius"][name])

    def icon_size(self, name: str = "size") -> int:
        """Edge of an icon: "size" (16), "rail" (20), "small" (14), "in_chip" (12)."""
        return self.px(self.tokens["icon"][name])

    # --- type -------------------------------------------------------------------------------------

    def font(self, role: str = "body", weight: int | None = None) -> QFont:
        """A font of the scale ("caption", "dense", "body", "panel_title", "page_title", "trial_title", "hero",
        "mono") with tabular figures."""
        spec = self.tokens["type"]["scale"][role]
        font = QFont()
        font.setFamilies(self._family_list("mono" if role == "mono" else "family"))
        font.setPixelSize(self.px(spec["size"]))
        font.setWeight(QFont.Weight(weight or spec["weight"]))
        for feature in self.tokens["type"]["features"]:
            font.setFeature(QFont.Tag(feature), 1)
        if role == "mono":
            font.setStyleHint(QFont.StyleHint.Monospace)
            without_ligatures(font)
        return font

    def mono_family(self) -> str:
        return self._family_list("mono")[0]

    def _family_list(self, kind: str) -> list[str]:
        """Installed families in the order of the tokens, the system's own at the end."""
        if kind not in self._families:
            spec = self.tokens["type"]
            wanted = [spec[kind], *spec[f"{kind}_fallback"]]
            installed = set(QFontDatabase.families())
            system = QFontDatabase.systemFont(
                QFontDatabase.SystemFont.FixedFont if kind == "mono" else QFontDatabase.SystemFont.GeneralFont
            ).family()
            self._families[kind] = [f for f in wanted if f in installed] + [system]
        return self._families[kind]

    # --- palette ----------------------------------------------------------------------------------

    def palette(self) -> QPalette:
        """The application palette in the theme's colours."""
        role = QPalette.ColorRole
        palette = QPalette()
        for target, path in {
            role.Window: "bg.panel",
            role.WindowText: "text.primary",
            role.Base: "bg.base",
            role.AlternateBase: "bg.alternate",
            role.Text: "text.primary",
            role.Button: "bg.panel",
            role.ButtonText: "text.primary",
            role.BrightText: "status.error",
            role.PlaceholderText: "text.muted",
            role.Highlight: "bg.selected",
            role.HighlightedText: "text.primary",
            role.Accent: "accent.default",
            role.Link: "text.link",
            role.LinkVisited: "text.link",
            role.ToolTipBase: "bg.raised",
            role.ToolTipText: "text.primary",
            role.Light: "bg.base",
            role.Midlight: "border.subtle",
            role.Mid: "border.default",
            role.Dark: "border.control",
            role.Shadow: "border.default",
        }.items():
            palette.setColor(target, self.color(path))
        for target in (role.WindowText, role.Text, role.ButtonText, role.HighlightedText):
            palette.setColor(QPalette.ColorGroup.Disabled, target, self.color("text.disabled"))
        palette.setColor(QPalette.ColorGroup.Disabled, role.Base, self.color("bg.disabled"))
        return palette
