"""Tokens, palette, style sheet and icons of both themes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from tests.contrast import contrast
from widgets.parts.components import label
from widgets.theme import icons
from widgets.theme.design import load_tokens, resolve
from widgets.theme.theme import Theme

GROUNDS = ("window", "panel", "base", "raised", "header", "alternate", "hover", "selected")
TEXT_PAIRS = [
    *((f"text.{text}", f"bg.{ground}") for text in ("primary", "secondary", "muted", "link") for ground in GROUNDS),
    ("text.primary", "bg.pressed"),
    *(("text.on_accent", f"accent.{state}") for state in ("default", "hover", "pressed")),
    ("text.link", "accent.soft"),
    *((f"status.{s}", f"status.{s}_soft") for s in ("good", "bad", "warn", "error", "info", "neutral")),
    *(
        (f"status.{s}", f"bg.{g}")
        for s in ("good", "bad", "warn", "error", "info")
        for g in ("panel", "base", "raised")
    ),
    ("chart.tick_text", "chart.background"),
    ("chart.label_text", "chart.background"),
]
"""Every pair of text and ground that the style sheet and the delegates put together; WCAG AA asks 4.5."""
SHAPE_PAIRS = [
    *(("border.control", f"bg.{g}") for g in ("window", "panel", "base", "raised")),
    *(("border.focus", f"bg.{g}") for g in ("window", "panel", "base", "raised", "selected")),
    ("accent.default", "bg.window"),
    ("accent.default", "bg.panel"),
    ("accent.default", "bg.base"),
]
"""Borders of controls, the focus ring, marks: 3.0."""


def test_that_the_contrast_formula_gives_the_known_extremes() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize(("pairs", "needed"), [(TEXT_PAIRS, 4.5), (SHAPE_PAIRS, 3.0)], ids=["text", "shapes"])
def test_that_every_pair_used_meets_wcag_aa(mode: str, pairs: list[tuple[str, str]], needed: float) -> None:
    tokens = load_tokens()
    found = {p: contrast(resolve(tokens, mode, p[0]), resolve(tokens, mode, p[1])) for p in pairs}
    too_low = {pair: round(ratio, 2) for pair, ratio in found.items() if ratio < needed}
    assert not too_low


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_that_palette_and_sheet_follow_the_theme(qapp: QApplication, tmp_path: Path, mode: str) -> None:
    theme = Theme(tmp_path, mode)
    theme.apply(qapp)
    assert qapp.palette().color(QPalette.ColorRole.Base) == QColor(theme.hex("bg.base"))
    assert qapp.palette().color(QPalette.ColorRole.Text) == QColor(theme.hex("text.primary"))
    assert theme.hex("bg.base") in qapp.styleSheet()
    other = "dark" if mode == "light" else "light"
    assert resolve(theme.tokens, other, "bg.window") not in qapp.styleSheet()


def test_that_no_placeholder_of_the_sheet_is_left_open(qapp: QApplication, tmp_path: Path) -> None:
    theme = Theme(tmp_path, "light")
    theme.apply(qapp)
    assert "$" not in qapp.styleSheet()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_that_labels_are_painted_in_their_tone(qtbot: QtBot, qapp: QApplication, tmp_path: Path, mode: str) -> None:
    theme = Theme(tmp_path, mode)
    theme.apply(qapp)
    made = label("words", tone="muted")
    qtbot.addWidget(made)
    made.ensurePolished()
    assert made.palette().color(QPalette.ColorRole.WindowText) == QColor(theme.hex("text.muted"))


def test_that_text_scale_multiplies_fonts_and_heights(qapp: QApplication, tmp_path: Path) -> None:
    theme = Theme(tmp_path, "light", 2.0)
    theme.apply(qapp)
    assert theme.font("body").pixelSize() == 26
    assert theme.height("row") == 56
    theme.choose(scale=1.0)
    assert theme.font("body").pixelSize() == 13


class Follower(QWidget):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.calls = 0
        theme.follow(self.restyle)

    def restyle(self) -> None:
        self.calls += 1


def test_that_followers_are_told_and_dead_ones_forgotten(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> None:
    theme = Theme(tmp_path, "light")
    theme.apply(qapp)
    alive, dead = Follower(theme), Follower(theme)
    qtbot.addWidget(alive)
    dead.deleteLater()
    qtbot.waitUntil(lambda: not _valid(dead))
    theme.choose(mode="dark")
    assert alive.calls == 2
    assert dead.calls == 1


def _valid(widget: QWidget) -> bool:
    from shiboken6 import isValid

    return bool(isValid(widget))


def test_that_all_icons_draw_something_in_their_colour(qapp: QApplication, theme: Theme) -> None:
    names = icons.names()
    assert {"sliders", "pulse", "bars", "server", "gear", "bell", "kill", "eye-off"} <= set(names)
    for name in names:
        image = icons.pixmap(theme, name, "#FF0000", 16, ratio=2.0).toImage()
        inked = [image.pixelColor(x, y) for x in range(32) for y in range(32) if image.pixelColor(x, y).alpha() > 200]
        assert inked, f"{name} is empty"
        assert all(c.red() > 240 and c.green() < 16 for c in inked), f"{name} has a colour of its own"


def test_that_run_colours_repeat_after_ten_with_another_marker_and_texture(theme: Theme) -> None:
    assert theme.run_color(3) == theme.run_color(13)
    assert theme.run_marker(3) != theme.run_marker(13)
    assert (theme.run_texture(3), theme.run_texture(13)) == ("plain", "rising")
    assert theme.run_stripe(3, 0.0) == theme.run_color(3)
    assert theme.run_stripe(3, 1.0) == theme.color("chart.background")


class Emitter(QObject):
    fired = Signal(object)


class Receiver(QObject):
    def take(self, value: object) -> None:
        self.value = value


@pytest.mark.parametrize("value", [True, None, False], ids=str)
def test_that_500_emits_leave_the_reference_counts_alone(qapp: QApplication, value: object) -> None:
    """A binding that drops a reference at each signal ends the process later and elsewhere."""
    emitter, receiver = Emitter(), Receiver()
    emitter.fired.connect(receiver.take)
    emitter.fired.emit(value)
    before = sys.getrefcount(value)
    for _ in range(500):
        emitter.fired.emit(value)
    assert abs(sys.getrefcount(value) - before) < 50


def test_that_a_label_never_interprets_markup(qtbot: QtBot, theme: Theme) -> None:
    made: QLabel = label("<b>model</b>")
    qtbot.addWidget(made)
    assert made.text() == "<b>model</b>"
    made.adjustSize()
    assert made.sizeHint().width() > made.fontMetrics().horizontalAdvance("model") + 10
