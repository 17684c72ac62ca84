"""How configurations look on the screen: seventeen of them are told apart, in both themes, also without hues."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from widgets.theme.run_paint import marker_path, paint_area, paint_dot, paint_swatch, stripes
from widgets.theme.swatch import Swatch
from widgets.theme.theme import Theme
from workbench.plan.looks import TEXTURES

EDGE = 14


def image(theme: Theme, width: int = EDGE, height: int = EDGE) -> QImage:
    made = QImage(width, height, QImage.Format.Format_RGB32)
    made.fill(theme.color("bg.base"))
    return made


def pixels(picture: QImage) -> np.ndarray:
    """Red, green, blue of shape (height, width, 3)."""
    raw = np.frombuffer(picture.constBits(), dtype=np.uint8).reshape(picture.height(), picture.bytesPerLine() // 4, 4)
    return raw[:, : picture.width(), 2::-1].astype(int)


def swatch(theme: Theme, run: int, *, faded: bool = False) -> np.ndarray:
    picture = image(theme)
    painter = QPainter(picture)
    paint_swatch(painter, theme, QRectF(0, 0, EDGE, EDGE), run, faded=faded)
    painter.end()
    return pixels(picture)


def bar(theme: Theme, run: int, *, hollow: bool = False, width: int = 60) -> np.ndarray:
    picture = image(theme, width, 12)
    painter = QPainter(picture)
    paint_area(painter, theme, QRectF(0, 0, width, 12), run, hollow=hollow, edge=2)
    painter.end()
    return pixels(picture)


def unlike(a: np.ndarray, b: np.ndarray, by: int = 30) -> int:
    """Pixels that differ by more than `by` of 255 in a channel."""
    return int((np.abs(a - b).max(axis=2) > by).sum())


def grey(picture: np.ndarray) -> np.ndarray:
    """What is left without hues, in three equal channels."""
    return np.repeat((picture @ [0.2126, 0.7152, 0.0722])[:, :, None], 3, axis=2)


@pytest.fixture(params=["light", "dark"])
def both(request: pytest.FixtureRequest, theme: Theme, qapp: QApplication) -> Theme:
    theme.choose(mode=request.param)
    return theme


def test_that_seventeen_swatches_are_told_apart(both: Theme) -> None:
    found = [swatch(both, run) for run in range(17)]
    for a, b in combinations(found, 2):
        assert unlike(a, b) >= 20


def test_that_swatches_of_one_colour_differ_also_without_hues(both: Theme) -> None:
    for run in range(10):
        assert unlike(grey(swatch(both, run)), grey(swatch(both, run + 10)), by=20) >= 20


@pytest.mark.parametrize("hollow", [False, True])
def test_that_bars_of_one_colour_differ_by_their_texture(both: Theme, hollow: bool) -> None:
    for run in range(10):
        laps = [bar(both, run + 10 * lap, hollow=hollow) for lap in range(len(TEXTURES))]
        for a, b in combinations(laps, 2):
            assert unlike(grey(a), grey(b), by=12) >= 40


def test_that_open_and_filled_bars_of_one_configuration_differ(both: Theme) -> None:
    for run in (0, 7, 10, 17):
        assert unlike(bar(both, run), bar(both, run, hollow=True)) > 100


def test_that_the_first_ten_bars_are_one_even_colour(both: Theme) -> None:
    color = both.run_color(4)
    assert (bar(both, 4) == [color.red(), color.green(), color.blue()]).all()


def test_that_an_open_bar_too_small_for_an_inside_is_its_edge(theme: Theme) -> None:
    color = theme.run_color(11)
    found = bar(theme, 11, hollow=True, width=3)
    assert (found == [color.red(), color.green(), color.blue()]).all()


def test_that_stripes_stay_inside_their_bar(theme: Theme) -> None:
    picture = image(theme, 60, 40)
    painter = QPainter(picture)
    paint_area(painter, theme, QRectF(10, 10, 40, 12), 10)
    painter.end()
    found = pixels(picture)
    ground = theme.color("bg.base")
    found[10:22, 10:50] = [ground.red(), ground.green(), ground.blue()]
    assert (found == [ground.red(), ground.green(), ground.blue()]).all()


def test_that_a_hidden_configurations_swatch_is_paler(both: Theme) -> None:
    ground = np.array([both.color("bg.base").red(), both.color("bg.base").green(), both.color("bg.base").blue()])
    for run in (0, 12):
        assert np.abs(swatch(both, run, faded=True) - ground).sum() < 0.6 * np.abs(swatch(both, run) - ground).sum()


def test_that_each_marker_has_a_shape_of_its_own_about_a_pixel_high(theme: Theme) -> None:
    for run in range(10):
        rect = marker_path(theme.run_marker(run)).boundingRect()
        assert 0.7 <= rect.width() <= 1.2
        assert 0.85 <= rect.height() <= 1.25
    with pytest.raises(KeyError):
        marker_path("no such marker")


def test_that_a_dot_is_the_marker_alone(theme: Theme) -> None:
    shapes = []
    for run in (0, 1, 10):
        picture = image(theme, 20, 20)
        painter = QPainter(picture)
        paint_dot(painter, theme, QRectF(0, 0, 20, 20), run)
        painter.end()
        shapes.append((pixels(picture) != 255).any(axis=2))
    assert not (shapes[0] == shapes[1]).all()
    assert (shapes[1] == shapes[2]).all()  # the eleventh has the second's marker


@pytest.mark.parametrize("texture", TEXTURES)
def test_that_stripes_cover_their_rectangle_evenly(texture: str) -> None:
    rect = QRectF(5, 7, 100, 30)
    lines = stripes(rect, texture, 8.0)  # type: ignore[arg-type]
    assert bool(lines) == (texture != "plain")
    for line in lines:
        assert rect.top() <= min(line.y1(), line.y2())
        assert max(line.y1(), line.y2()) <= rect.bottom() + 8


def test_that_a_swatch_shows_its_configuration_and_nothing_without_one(qtbot: QtBot, theme: Theme) -> None:
    made = Swatch(theme)
    made.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
    qtbot.addWidget(made)
    nothing = pixels(made.grab().toImage().convertToFormat(QImage.Format.Format_RGB32))
    made.set_run(10)
    shown = pixels(made.grab().toImage().convertToFormat(QImage.Format.Format_RGB32))
    assert len(np.unique(nothing.reshape(-1, 3), axis=0)) == 1
    assert unlike(nothing, shown) > 50
