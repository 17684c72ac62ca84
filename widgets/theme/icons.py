"""The stroke icons of `assets/icons`, tinted from the tokens on load. Main thread.

Every file is drawn on a 16 x 16 grid with `currentColor` and the stroke width of the tokens; at other sizes the
stroke keeps its width in pixels.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from widgets.theme.design import Design

GRID = 16
"""Edge of the grid the icons are drawn on."""


@lru_cache(maxsize=128)
def source(name: str) -> str:
    """The SVG text of an icon. FileNotFoundError names the missing file."""
    return (files("assets") / "icons" / f"{name}.svg").read_text(encoding="utf-8")


def names() -> tuple[str, ...]:
    """All icons there are, sorted."""
    return tuple(sorted(f.name[:-4] for f in (files("assets") / "icons").iterdir() if f.name.endswith(".svg")))


def tinted(name: str, color: str, stroke: float) -> str:
    """SVG text with its colour (`"#RRGGBB"`) and stroke width (grid units) filled in."""
    return source(name).replace("currentColor", color).replace('stroke-width="1.4"', f'stroke-width="{stroke:.3f}"')


@lru_cache(maxsize=1024)
def _pixmap(name: str, color: str, size: int, stroke: float, ratio: float) -> QPixmap:
    pixmap = QPixmap(round(size * ratio), round(size * ratio))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    edge = float(pixmap.width())
    QSvgRenderer(QByteArray(tinted(name, color, stroke).encode())).render(painter, QRectF(0.0, 0.0, edge, edge))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def pixmap(
    design: Design, name: str, color: str = "text.secondary", size: int | None = None, ratio: float = 1.0
) -> QPixmap:
    """An icon in a token's colour (dotted path) or a `"#RRGGBB"`; `size` in design pixels before the text scale."""
    tint = color if color.startswith("#") else design.hex(color)
    base = float(design.tokens["icon"]["size"] if size is None else size)
    stroke = float(design.tokens["icon"]["stroke"]) * GRID / base
    return _pixmap(name, tint, design.px(base), stroke, ratio)


def icon(design: Design, name: str, color: str = "text.secondary", size: int | None = None) -> QIcon:
    """A QIcon in normal and disabled colours, sharp on screens of ratio 1 and 2. Ask again after a theme change."""
    made = QIcon()
    for ratio in (1.0, 2.0):
        made.addPixmap(pixmap(design, name, color, size, ratio), QIcon.Mode.Normal)
        made.addPixmap(pixmap(design, name, color, size, ratio), QIcon.Mode.Selected)
        made.addPixmap(pixmap(design, name, "text.disabled", size, ratio), QIcon.Mode.Disabled)
    return made


def tinted_file(design: Design, name: str, color: str) -> str:
    """Path of a tinted copy in the design's cache, for style sheets, which take files only. "" where the disk
    refuses (the control is then drawn without its picture)."""
    text = tinted(name, design.hex(color), 1.8 if name in ("check", "dash") else 1.4)
    path: Path = design.cache / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.svg"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError:
            return ""
    return path.as_posix()
