"""The phases of a trial, above all the one that makes a model file: named and coloured wherever they are drawn."""

from __future__ import annotations

from typing import get_args

import pytest

from engines.protocol.records import PhaseName
from tests.widgets.queue_kit import entry
from widgets.charts.phases import Span
from widgets.monitor.header_view import segments
from widgets.queue.rows import _last_column
from widgets.theme.theme import Theme
from workbench.charts.phases import doing, phase_title
from workbench.charts.series import Phase
from workbench.export.look import look

CONVERTING = [Phase("start", 0, 0.0, 1.0), Phase("convert", 0, 1.0, None)]


def test_that_a_trial_that_makes_a_file_shows_it_before_loading() -> None:
    found = segments(CONVERTING, 9.0)
    assert [s.name for s in found] == ["convert", "load", "warmup", "measure", "evaluate", "unload"]
    assert (found[0].text, found[0].state) == ("convert 8.0 s", "now")


def test_that_a_trial_that_makes_none_does_not_announce_it() -> None:
    assert segments([Phase("load", 0, 0.0, None)], 1.0)[0].name == "load"


def test_that_the_shares_of_a_trial_without_conversion_are_as_before() -> None:
    loading = [Phase("load", 0, 0.0, None)]
    assert segments(loading, 1.0, 0.5 / 5.8)[0].fill == pytest.approx(0.5)


def test_that_the_queue_says_what_the_worker_says_or_else_what_the_phase_is() -> None:
    assert doing("Making Q4_K_M", "convert") == "Making Q4_K_M"
    assert doing("", "convert") == "making the model file"
    assert doing("", "warmup") == "warm-up"
    assert doing("", "brand_new") == "brand_new"


def test_that_a_converting_trial_gives_no_time_left_in_the_queue() -> None:
    converting = entry("t", "running", title="M · q4_k_m", phase="convert")
    assert _last_column(converting, 30.0, 100.0)[0] == "making file"


@pytest.mark.parametrize("name", ["light", "dark"])
def test_that_conversion_has_a_colour_of_its_own_in_window_and_export(name: str, theme: Theme) -> None:
    colours = theme.tokens["themes"][name]["phase"]
    assert len({c["lane"] for p, c in colours.items() if p != "step"}) == len(colours) - 1
    assert "convert" in look(name).lanes  # type: ignore[arg-type]
    assert Span("convert", 0, 0.0, 1.0).color == "convert"


def test_that_every_phase_of_the_protocol_has_a_title() -> None:
    assert all(phase_title(phase) for phase in get_args(PhaseName))
