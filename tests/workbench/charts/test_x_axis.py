"""What the charts of a training trial are drawn against: each axis' places, and where held-out losses stand."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engines.protocol.records import Step
from tests.workbench.training_trial import (
    EVALUATION_S,
    FIRST_S,
    NO_METER,
    PARTS,
    TOKENS,
    WATTS,
    S,
    held_out,
    training_records,
    training_trial,
)
from workbench.charts.channel import Channel
from workbench.charts.curves import best_held_out, charts_of, figure, why_no_axis
from workbench.charts.series import TrialData
from workbench.charts.x_axis import StepColumns, position_text, shown_unit


def chart(data: TrialData, id: str, x: str = "step"):  # type: ignore[no-untyped-def]
    return next(c for c in charts_of(data, x) if c.kind.id == id)  # type: ignore[arg-type]


def test_that_a_step_has_its_place_on_every_axis() -> None:
    data = training_trial(steps=5, every=4)
    end = FIRST_S + 4 + EVALUATION_S + 0.9
    assert data.axis("time").at(end) == end
    assert data.axis("step").at(end) == 5
    assert data.axis("tokens").at(end) == 5 * TOKENS
    assert data.axis("energy").at(end) == pytest.approx(5 * 0.8 * WATTS)  # neither evaluating nor waiting counts
    for kind in ("step", "tokens", "energy"):
        axis = data.axis(kind)
        assert [axis.time_at(axis.at(t)) for t in (FIRST_S + 0.9, FIRST_S + 3.9, end)] == [
            FIRST_S + 0.9,
            FIRST_S + 3.9,
            end,
        ]
        assert axis.at(0.0) == 0.0
        assert axis.at(1e6) == axis.latest


def test_that_a_step_that_has_not_been_metered_yet_has_no_energy_but_all_the_rest() -> None:
    columns = StepColumns()
    counter = Channel("rapl/energy_joules", "Energy", "J")
    step = Step(index=0, warmup=False, start_ns=0, end_ns=2 * S, tokens=4, samples=1)
    columns.add(step, 0.0, 2.0)
    counter.extend(np.array([0.0, 1.0]), np.array([0.0, 10.0]))
    columns.take_counter(counter)
    assert (columns.axes["step"].latest, columns.axes["energy"].count) == (1, 0)
    counter.extend(np.array([2.0]), np.array([20.0]))
    columns.take_counter(counter)
    assert columns.axes["energy"].latest == 20.0


def test_that_power_is_summed_where_there_is_no_counter() -> None:
    columns = StepColumns()
    for index in range(3):
        columns.add(
            Step(index=index, warmup=False, start_ns=0, end_ns=0, tokens=4, samples=1), index + 0.2, index + 1.0
        )
    power = Channel("rapl/power_watts", "Power", "W")
    for start in (0, 2):
        power.extend(np.arange(start, start + 2.0), np.array([30.0, np.nan if start == 0 else 30.0]))
        columns.take_power(power)
    assert columns.axes["energy"].latest == pytest.approx(3 * 0.8 * 30.0)


def test_that_held_out_losses_stand_at_their_step_on_every_axis() -> None:
    data = training_trial(steps=10, every=4)
    for x, places in {
        "step": [0, 4, 8],
        "tokens": [0, 4 * TOKENS, 8 * TOKENS],
        "energy": [0, 4 * 0.8 * WATTS, 8 * 0.8 * WATTS],
        "time": [FIRST_S, FIRST_S + 3.9, FIRST_S + 7.9 + EVALUATION_S],
    }.items():
        curve = next(c for c in chart(data, "loss", x).curves if c.kind.style == "points")
        assert list(curve.x) == pytest.approx(places)
        assert list(curve.y) == pytest.approx([held_out(s) for s in (0, 4, 8)])
    at = data.axis("step").time_at(7)
    assert curve.title_at(at, data.axis("step")) == "Held-out, step 4"
    assert curve.value_at(at) == pytest.approx(held_out(4))
    assert curve.value_at(data.axis("step").time_at(8)) == pytest.approx(held_out(8))


def test_that_the_best_held_out_loss_is_named_once_there_are_two() -> None:
    assert best_held_out(training_trial(steps=3, every=4)) is None
    time, step, loss = best_held_out(training_trial(steps=16, every=4)) or (0.0, 0, 0.0)
    assert (step, loss) == (8, pytest.approx(held_out(8)))
    assert time == FIRST_S + 7.9 + EVALUATION_S


def test_that_readings_between_steps_have_no_place_on_an_axis_of_steps() -> None:
    data = training_trial(steps=8, every=4)
    power = chart(data, "power").curves[0]
    assert len(power.x) < len(chart(data, "power", "time").curves[0].x)
    assert np.all(np.diff(power.x) >= 0)
    assert list(power.x[:2]) == [0.5, 1.5]


def test_that_points_given_once_stay_as_a_trial_grows() -> None:
    data = TrialData(trial="t-1", title="SmolLM2 · LoRA")
    seen: list[np.ndarray] = []
    for record in training_records(steps=6):
        data.take(record)
        losses = [c for k in charts_of(data, "step") if k.kind.id == "loss" for c in k.curves if c.title == "Training"]
        if losses:
            x = losses[0].x.copy()
            assert not seen or np.array_equal(x[: len(seen[-1])], seen[-1])
            seen.append(x)
    assert list(seen[-1]) == [1, 2, 3, 4, 5, 6]


def test_that_a_trial_without_a_meter_says_why_it_has_no_energy() -> None:
    data = training_trial(meter=False)
    assert why_no_axis(data, "energy") == NO_METER
    assert [why_no_axis(data, x) for x in ("time", "step", "tokens")] == ["", "", ""]
    assert why_no_axis(training_trial(), "energy") == ""


@pytest.mark.parametrize(
    ("kind", "place", "text"),
    [
        ("step", 142.0, "step 142"),
        ("time", 112.0, "1 min 52 s"),
        ("tokens", 1_160_000.0, "1.16 M tokens"),
        ("tokens", 0.0, "0 tokens"),
        ("energy", 32_100.0, "32.1 kJ"),
        ("energy", 0.0, "0 J"),
    ],
)
def test_that_a_place_is_written_in_the_words_of_its_axis(kind: str, place: float, text: str) -> None:
    assert position_text(kind, place) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "largest", "unit"),
    [
        ("tokens", 1999, "tokens"),
        ("tokens", 2000, "k tokens"),
        ("energy", 900, "J"),
        ("energy", 5e3, "kJ"),
        ("step", 9, ""),
    ],
)
def test_that_an_axis_is_written_in_a_practical_unit(kind: str, largest: float, unit: str) -> None:
    assert shown_unit(kind, largest)[0] == unit  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "text"), [(2.99e-4, "2.99e-4"), (0.001, "0.00100"), (0.0, "0"), (-5e-5, "-5.00e-5")])
def test_that_small_figures_are_written_in_powers_of_ten(value: float, text: str) -> None:
    assert figure(value) == text


def test_that_a_part_of_memory_that_was_empty_at_the_peak_is_not_drawn() -> None:
    data = TrialData("t-1", "LoRA")
    data.take(msgspec.structs.replace(PARTS, gradients_bytes=0))
    for record in training_records(steps=3):
        data.take(record)
    parts = [c for c in chart(data, "memory_parts").curves if c.kind.style == "area"]
    assert [c.title for c in parts] == ["Weights", "Optimiser", "Activations", "Temporary"]
    assert parts[1].below == pytest.approx(500 / 1024)
    assert list(parts[0].x) == [0, 1, 2, 3]


def test_that_before_the_first_step_every_place_is_now() -> None:
    data = training_trial(steps=0)
    axis = data.axis("step")
    assert [c.neutral for c in chart(data, "loss").curves] == [1]
    assert (axis.snapped(5.0), axis.at(5.0), axis.time_at(5.0)) == (0.0, 0.0, float("inf"))
    power = data.channels.setdefault("rapl/power_watts", Channel("rapl/power_watts", "Power", "W"))
    power.extend(np.array([4.0, 6.0]), np.array([40.0, 60.0]))
    assert chart(data, "power").curves[0].value_at(axis.time_at(5.0)) == 60.0
