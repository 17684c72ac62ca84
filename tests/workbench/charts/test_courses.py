"""Loss against steps, tokens, time and energy: means and bands over trials, what cannot be drawn and why."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workbench.charts.courses import loss_chart
from workbench.comparison.results import Comparison, Row
from workbench.metrics.model import NotAvailable
from workbench.metrics.training.progress import HeldOut, Progress


def course(
    losses: dict[int, float], *, seconds: float = 2.0, joules: float | None = 10.0, scope: str = "v"
) -> Progress:
    steps = max(losses)
    each = np.arange(steps + 1, dtype=float)
    return Progress(
        tokens=each * 64,
        seconds=each * seconds,
        joules=None if joules is None else each * joules,
        no_joules="" if joules is not None else "energy_uj is readable by root only.",
        losses=np.array([np.nan, *np.linspace(4, 3, steps)]),
        held_out=tuple(HeldOut(s, v) for s, v in losses.items()),
        scope=scope,
        finished=True,
    )


class Trials:
    """As much of `ConfigurationTrials` as a chart asks for."""

    def __init__(self, *trials: str) -> None:
        self.counted = [type("Trial", (), {"trial": t})() for t in trials]


def row(configuration: str, color: int) -> Row:
    labels = {"learning rate": configuration}
    return Row(configuration, configuration, color, "m", labels, 2, 2, (), {}, is_baseline=color == 0)


COMPARISON = Comparison(
    experiment="e",
    name="rates",
    rows=(row("a", 0), row("b", 1)),
    metrics=(),
    unavailable={},
    varying=("learning rate",),
    constant={},
    baseline="a",
)
KEPT: Any = {"a": Trials("a1", "a2"), "b": Trials("b1")}
COURSES: dict[str, Progress | NotAvailable] = {
    "a1": course({0: 3.0, 4: 2.0, 8: 1.5}),
    "a2": course({0: 3.0, 4: 2.4, 8: 1.7}, seconds=4.0),
    "b1": course({0: 3.0, 4: 2.8, 8: 2.6}),
}


@pytest.mark.parametrize(
    ("axis", "places", "unit"),
    [
        ("step", [0, 4, 8], ""),
        ("tokens", [0, 256, 512], "tokens"),
        ("time", [0, 12, 24], "s"),
        ("energy", [0, 40, 80], "J"),
    ],
)
def test_that_a_line_is_the_mean_of_the_trials_and_a_band_reaches_from_the_lowest_to_the_highest(
    axis: Any, places: list[float], unit: str
) -> None:
    chart = loss_chart(COMPARISON, KEPT, COURSES, axis)
    a, b = chart.series
    assert chart.x.unit == unit
    assert chart.x.whole is (axis in ("step", "tokens"))
    assert list(a.x) == places
    assert list(a.y) == pytest.approx([3.0, 2.2, 1.6])
    assert a.y_low is not None
    assert a.y_high is not None
    assert (list(a.y_low), list(a.y_high)) == ([3.0, 2.0, 1.5], [3.0, 2.4, 1.7])
    assert (b.y_low, a.style) == (None, "points")
    assert (chart.y.title, chart.title.startswith("Held-out loss against")) == ("Held-out loss", True)
    assert ("stop the clock" in " ".join(chart.notes)) == (axis in ("time", "energy"))


def test_that_steps_that_not_all_trials_evaluated_are_left_out() -> None:
    courses = COURSES | {"a2": course({0: 3.0, 4: 2.4, 6: 2.0, 8: 1.7})}
    assert list(loss_chart(COMPARISON, KEPT, courses, "step").series[0].x) == [0, 4, 8]


def test_that_without_losses_along_the_way_the_training_loss_is_drawn() -> None:
    courses = {k: course({0: 3.0, 8: 2.0}) for k in COURSES}
    chart = loss_chart(COMPARISON, KEPT, courses, "step")
    assert chart.y.title == "Training loss"
    assert list(chart.series[0].x) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "Held-out loss was measured only before and after." in chart.notes


def test_that_energy_that_was_not_measured_says_why_and_is_not_drawn() -> None:
    courses = {k: course({0: 3.0, 4: 2.0, 8: 1.5}, joules=None) for k in COURSES}
    assert loss_chart(COMPARISON, KEPT, courses, "energy").empty == "energy_uj is readable by root only."
    one = loss_chart(COMPARISON, KEPT, COURSES | {"b1": courses["b1"]}, "energy")
    assert [s.key for s in one.series] == ["a"]
    assert "Not drawn: b." in one.notes


def test_that_losses_over_different_text_are_not_drawn_on_one_axis() -> None:
    chart = loss_chart(COMPARISON, KEPT, COURSES | {"b1": replace(course({0: 3, 4: 2, 8: 1}), scope="other")}, "step")
    assert chart.series == ()
    assert "different text" in chart.empty


def test_that_hidden_configurations_and_the_basis_are_respected() -> None:
    training: Any = SimpleNamespace(basis=SimpleNamespace(words="at equal steps: 8"))
    chart = loss_chart(replace(COMPARISON, training=training), KEPT, COURSES, "step", frozenset({"a"}))
    assert [s.key for s in chart.series] == ["b"]
    assert chart.notes[:2] == ("At equal steps: 8.", "One trial each: no band.")


def test_that_an_experiment_without_a_course_says_why() -> None:
    empty = loss_chart(COMPARISON, KEPT, {"a1": NotAvailable("The trial had no training step.")}, "step")
    assert empty.empty == "The trial had no training step."
    assert loss_chart(COMPARISON, KEPT, {}, "step").empty == "No trial has a loss yet."
