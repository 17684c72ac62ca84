"""What a number's card says beyond its value: cautions, what stands beside it, what was counted."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import POWER, SPEED, column
from tests.workbench.synthetic_experiment import experiment_detail
from widgets.compare.card.card import NumberCard
from widgets.compare.card.fields import unseen
from widgets.compare.card.view import configuration_card, trial_card
from widgets.compare.loading import compared
from widgets.compare.table.views import Loaded
from widgets.theme.theme import Theme
from workbench.comparison.comparison import Interval
from workbench.comparison.results import Cell
from workbench.store.operations import ReasonRow


@pytest.fixture(scope="module")
def on_gpu() -> Loaded:
    return compared(experiment_detail(blocks=3, gpu=True, fail=False))


def fields_of(loaded: Loaded, configuration: str, metric: str) -> dict[str, str]:
    card = configuration_card(loaded, configuration, column(loaded, metric))
    return {name: text for name, text, _ in card.fields}


def fields_of_trial(loaded: Loaded, trial: str, metric: str) -> dict[str, str]:
    card = trial_card(loaded, trial, column(loaded, metric))
    return {name: text for name, text, _ in card.fields}


def cell_of(loaded: Loaded, configuration: str, metric: str) -> Cell:
    return next(r for r in loaded.comparison.rows if r.configuration == configuration).cells[metric]


def with_reasons(loaded: Loaded, configuration: str, *said: tuple[str, str]) -> Loaded:
    """The same experiment; the valid trials of one configuration are warned of, (code, message) in each."""
    detail = loaded.detail
    warned = [t for t in detail.trials if t.configuration == configuration and t.verdict == "valid"]
    assert warned
    trials = tuple(msgspec.structs.replace(t, verdict="warning") if t in warned else t for t in detail.trials)
    reasons = tuple(
        ReasonRow(trial=t.trial, code=code, severity="warning", message=message)
        for t in warned
        for code, message in said
    )
    return compared(msgspec.structs.replace(detail, trials=trials, reasons=(*detail.reasons, *reasons)))


def test_that_the_card_tells_the_cautions_of_trials_that_count(loaded: Loaded) -> None:
    said = (("busy_machine", "Others used 0.4 cores."), ("throttled", "The device slowed itself down."))
    warned = with_reasons(loaded, "c-bfloat16", *said)
    first = min(t.number for t in warned.detail.trials if t.configuration == "c-bfloat16")
    assert fields_of(warned, "c-bfloat16", SPEED)["Cautions"] == (
        f"Busy machine in 3 of 3 trials; trial {first}: Others used 0.4 cores. "
        f"Throttled in 3 of 3 trials; trial {first}: The device slowed itself down."
    )
    plain = fields_of(warned, "c-float32", SPEED)
    assert "Cautions" not in plain
    assert plain["Checks"] == "All 3 trials were found valid, without a caution."
    assert "Checks" not in fields_of(warned, "c-bfloat16", SPEED)


def test_that_what_made_a_trial_invalid_stands_with_what_was_left_out(loaded: Loaded) -> None:
    fields = fields_of(loaded, "c-int8", SPEED)
    assert "clock jump" in fields["Left out"]
    assert "Cautions" not in fields


def test_that_no_difference_says_what_would_not_have_shown(loaded: Loaded) -> None:
    cell = cell_of(loaded, "c-int8", SPEED)
    assert cell.word == "no difference shown"
    half = 100 * (math.sqrt(cell.ratio_interval.high / cell.ratio_interval.low) - 1)
    verdict = fields_of(loaded, "c-int8", SPEED)["Verdict"]
    assert 'not "the same"' in verdict
    found = re.search(r"with 2 blocks a difference under about ([\d.,]+) % does not show", verdict)
    assert found is not None, verdict
    assert float(found[1]) == pytest.approx(half, rel=0.05)


def test_that_a_figure_stands_beside_what_it_is_not_to_be_read_without(on_gpu: Loaded) -> None:
    joules = cell_of(on_gpu, "c-float32", "energy_per_token_joules").value
    assert joules is not None
    assert f"Energy per token {joules:.1f} J/token" in fields_of(on_gpu, "c-float32", POWER)["Beside it"]
    trial = next(t.trial for t in on_gpu.detail.trials if t.configuration == "c-float32")
    assert "J/token" in fields_of_trial(on_gpu, trial, POWER)["Beside it"]
    assert "Beside it" not in fields_of(on_gpu, "c-float32", SPEED)


def test_that_a_compression_rate_counts_blocks_and_stands_beside_the_nominal_one(loaded: Loaded) -> None:
    fields = fields_of(loaded, "c-int8", "compression_rate")
    assert fields["Beside it"] == "Compression, nominal 4.00"
    assert fields["n"].startswith("2 blocks of this configuration and its original")
    assert fields["Verdict"] == "It is a ratio itself: to the original that its method names."


def test_that_the_card_says_what_its_intervals_are(loaded: Loaded) -> None:
    cell, shown = cell_of(loaded, "c-bfloat16", SPEED), fields_of(loaded, "c-bfloat16", SPEED)
    low, high = (f"{end:.1f}" for end in (cell.interval.low, cell.interval.high))
    assert shown["Interval"] == (
        f"95 %: {low} to {high} tokens/s; geometric mean of 3 trials, 95 % t interval on logarithms"
    )
    assert shown["Ratio"] == "From log ratios within 3 blocks, 95 % simultaneous intervals of 3 ratios (Bonferroni)"
    assert shown["n"] == "3 trials, each in a fresh process; the ratio rests on 3 blocks"
    exact = fields_of(loaded, "c-bfloat16", "tensor_bytes")
    assert exact["Interval"] == "None: counted, not measured."
    assert "Ratio" not in exact
    same = fields_of(loaded, "c-bfloat16", "perplexity")
    assert same["Interval"] == "None. Deterministic: the same value in every trial"
    alone = compared(experiment_detail(blocks=1, fail=False, disturb=False))
    assert fields_of(alone, "c-bfloat16", SPEED)["Interval"] == "None. One trial: no interval"


@pytest.mark.parametrize(("low", "high", "percent"), [(0.96, 1.04, "4.1"), (0.9, 1.21, "16"), (0.999, 1.001, "0.10")])
def test_that_no_difference_shown_says_what_would_not_show(low: float, high: float, percent: str) -> None:
    cell = Cell(SPEED, 1.0, ratio=1.0, ratio_interval=Interval(low, high), blocks=5, word="no difference shown")
    told = f"with 5 blocks a difference under about {percent} % does not show."
    assert told in unseen(cell)
    assert unseen(Cell(SPEED, 1.0, ratio=1.0, blocks=1)) == 'That is not "the same".'


def test_that_an_interval_without_a_summary_ends_cleanly(loaded: Loaded) -> None:
    values = iter((21.0, 22.0, 23.0))
    mine = [t.trial for t in loaded.detail.trials if t.configuration == "c-bfloat16"]
    metrics = tuple(
        msgspec.structs.replace(m, value=next(values)) if m.metric == "perplexity" and m.trial in mine else m
        for m in loaded.detail.metrics
    )
    noisy = compared(msgspec.structs.replace(loaded.detail, metrics=metrics))
    interval = fields_of(noisy, "c-bfloat16", "compression_rate")["Interval"]
    assert interval.startswith("95 %: ")
    assert not interval.rstrip().endswith(";")


def test_that_a_trials_card_names_what_it_counted(loaded: Loaded) -> None:
    trial = next(t.trial for t in loaded.detail.trials if t.verdict == "valid")
    counted = {m: fields_of_trial(loaded, trial, m)["Made of"] for m in (SPEED, "tensor_bytes", "perplexity", "load_s")}
    assert counted == {
        SPEED: "189 tokens",
        "tensor_bytes": "134,515,008 parameters",
        "perplexity": "512 tokens",
        "load_s": "1 reading",
    }


def test_that_an_open_card_makes_room_for_the_next_figures_lines(
    qtbot: QtBot, theme: Theme, loaded: Loaded, on_gpu: Loaded
) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    page.resize(1200, 900)
    card = NumberCard(theme, page)
    with qtbot.waitExposed(page):
        page.show()
    heights = []
    for which, metric in ((loaded, SPEED), (on_gpu, POWER), (loaded, SPEED)):
        made = configuration_card(which, "c-bfloat16", column(which, metric))
        assert made is not None
        card.show_card(made, QRect(900, 40, 120, 30))
        heights.append(card.height())
    assert heights[0] == heights[2]
    assert min(heights) > 250, heights


def test_that_the_card_names_the_sensor_behind_the_number(on_gpu: Loaded) -> None:
    assert "(NVML; read every 0.1 s)" in fields_of(on_gpu, "c-float32", POWER)["Method"]
