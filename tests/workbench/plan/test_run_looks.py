"""What tells configurations apart: colours, markers, textures, and that colour-blind people see them too."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest

from tests.contrast import contrast
from workbench.export.look import look
from workbench.plan.looks import COLOURS, HOLLOW_STRIPE, STRIPE, TEXTURES, mixed, run_look


def tokens() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("assets") / "tokens.json").read_text(encoding="utf-8"))
    return found


def test_that_the_first_ten_are_the_palette_as_it_is() -> None:
    assert [(k.color, k.marker, k.texture) for k in map(run_look, range(10))] == [(i, i, "plain") for i in range(10)]


def test_that_the_eleventh_has_the_first_ones_colour_and_another_marker_and_texture() -> None:
    first, later = run_look(0), run_look(10)
    assert (later.color, later.marker, later.texture) == (0, 1, "rising")
    assert first.marker != later.marker
    assert first.texture != later.texture


def test_that_sixty_bars_and_a_hundred_points_are_each_unlike_the_others() -> None:
    assert len({(k.color, k.texture) for k in map(run_look, range(10 * len(TEXTURES)))}) == 60
    assert len({(k.color, k.marker) for k in map(run_look, range(100))}) == 100


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_that_both_palettes_have_as_many_colours_and_markers_as_go_round(theme: str) -> None:
    runs = tokens()["themes"][theme]["run"]
    assert len({r["color"] for r in runs}) == len({r["marker"] for r in runs}) == COLOURS


def test_that_mixing_goes_from_the_colour_to_the_ground() -> None:
    assert mixed("#204060", "#FFFFFF", 0.0) == "#204060"
    assert mixed("#204060", "#FFFFFF", 1.0) == "#FFFFFF"
    assert mixed("#000000", "#FF8000", 0.5) == "#804000"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_that_textures_are_seen_by_their_lightness_and_not_by_their_hue(theme: Any) -> None:
    style = look(theme)
    for index in range(COLOURS):
        color = style.color(index)
        assert contrast(color, style.stripe(index, STRIPE)) >= 1.5
        assert contrast(style.background, style.stripe(index, HOLLOW_STRIPE)) >= 1.25


def test_that_exports_have_a_pattern_for_each_texture_and_no_two_the_same() -> None:
    style = look("light")
    patterns = [style.hatch(10 * lap) for lap in range(len(TEXTURES))]
    assert patterns[0] == ""
    assert len(set(patterns)) == len(TEXTURES)
    assert style.hatch(-1) == ""
    looks = [(style.color(i), style.marker(i), style.hatch(i)) for i in range(17)]
    assert all(a != b for a, b in combinations(looks, 2))
