"""What trials of this machine say about a plan: times and memory, with a range and how many trials stand behind it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engines.protocol.messages import Package, ProbeResult
from tests.workbench.plan.test_plan import ONE, messages, probe
from workbench.experiment.experiment import Experiment, TechniqueChoice, WorkloadChoice
from workbench.plan.history import range_of, with_memory_learned
from workbench.plan.plan import Configuration, History, MemoryEstimate, make_plan, orders, with_seed

ESTIMATE = MemoryEstimate(
    weights=400,
    gradients=100,
    optimiser=200,
    cache_or_activations=200,
    overhead=100,
    device_total=9000,
    device_free=8000,
)


def training(*ranks: int) -> Experiment:
    return Experiment(
        name="tuning",
        models=("a",),
        techniques=(TechniqueChoice("precision.float32"), TechniqueChoice("finetune.lora", {"rank": ranks or (8,)})),
        workload=WorkloadChoice.of("training", batch_size=1, sequence_tokens=64),
    )


def machine(free: int = 2**35) -> ProbeResult:
    known = probe()
    device = replace(known.devices[0], memory_free_bytes=free)
    return replace(known, devices=(device,), packages=(*known.packages, Package(name="peft", version="1")))


def planned(history: History, *ranks: int, free: int = 2**35) -> tuple[Configuration, ...]:
    return make_plan(training(*ranks), ONE, machine(free), history).configurations


def test_that_doubt_shrinks_with_every_trial_and_no_trial_is_left_outside() -> None:
    assert range_of((), 3.0).high == pytest.approx(3)
    assert range_of((), 3.0).low == pytest.approx(1 / 3)
    one = range_of((2.0,), 3.0)
    assert (one.low, one.middle, one.high) == pytest.approx((2 / math.sqrt(3), 2, 2 * math.sqrt(3)))
    assert range_of((1.0, 1.0, 5.0), 1.1).high == 5.0


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=30), st.floats(1.01, 4))
def test_that_a_range_holds_its_middle_and_every_ratio(ratios: list[float], doubt: float) -> None:
    found = range_of(ratios, doubt)
    assert found.low <= min(ratios) <= found.middle <= max(ratios) <= found.high


def test_that_without_trials_the_formula_stands_with_a_tenth_of_doubt() -> None:
    found = with_memory_learned(ESTIMATE, ())
    assert (found.needed, found.by_formula, found.high, found.trials) == (1000, 1000, 1100, 0)
    assert found.range_text == "909 B to 1.07 KiB, by formula"


def test_that_what_trials_needed_more_goes_to_what_is_not_counted_exactly() -> None:
    found = with_memory_learned(ESTIMATE, (1.1, 1.2, 1.3))
    assert found.needed == 1200
    assert (found.weights, found.gradients, found.optimiser) == (400, 100, 200)
    assert (found.cache_or_activations, found.overhead) == (333, 167), "500 for 300, in the same proportion"
    assert found.high == 1300
    assert found.low == 1100
    assert found.range_text.endswith("from 3 trials here")
    assert with_memory_learned(ESTIMATE, (1.0,)).range_text.endswith("from 1 trial here")


def test_that_a_plan_says_how_many_trials_stand_behind_its_memory() -> None:
    (alone,) = planned(History())
    assert alone.memory.trials == 0
    (learned,) = planned(History(memory={"cpu": (1.2, 1.2)}))
    assert learned.memory.needed == pytest.approx(1.2 * alone.memory.needed, rel=1e-6)
    assert "from 2 trials here" in learned.memory.range_text
    (elsewhere,) = planned(History(memory={"cuda": (1.2, 1.2)}))
    assert elsewhere.memory.trials == 0, "a GPU's trials say nothing about the processor"


def test_that_a_trial_that_needed_more_turns_a_fit_into_a_warning_and_then_an_error() -> None:
    (alone,) = planned(History())
    free = round(1.25 * alone.memory.needed)
    assert not [p for p in planned(History(), free=free)[0].problems if "memory" in p.message]
    (warned,) = planned(History(memory={"cpu": (1.0, 1.0, 1.3)}), free=free)
    assert "from 3 trials here" in messages(warned.problems)
    (refused,) = planned(History(memory={"cpu": (1.3, 1.3, 1.3)}), free=free)
    assert [p for p in refused.problems if p.message.endswith("too large.")]


def test_that_an_order_carries_the_formula_alone_so_that_ratios_do_not_compound() -> None:
    history = History(memory={"cpu": (1.5,)})
    plan = with_seed(make_plan(training(), ONE, machine(), history))
    (cell,) = plan.configurations
    assert cell.memory.by_formula < cell.memory.needed
    assert {o.expected_bytes for o in orders(plan, store="s", experiment="e")} == {cell.memory.by_formula}


def test_that_times_of_a_configuration_have_their_spread_and_those_of_others_a_range() -> None:
    guess, other = planned(History(), 8, 16)
    assert "A guess" in guess.time_source
    assert guess.high_s == pytest.approx(3 * guess.expected_s)
    known, scaled = planned(History(durations={guess.hash: (200.0, 220.0, 240.0)}), 8, 16)
    assert (known.expected_s, known.low_s, known.high_s) == (220, 200, 240)
    assert known.time_text == "3 min 40 s ± 20 s"
    assert known.time_source == "Measured in 3 trials here."
    ratio = 220 / guess.expected_s
    assert scaled.expected_s == pytest.approx(ratio * other.expected_s)
    assert scaled.high_s == pytest.approx(ratio * other.expected_s * math.sqrt(3))
    assert "Learned from 3 trials of other configurations here" in scaled.time_source
    (once,) = planned(History(durations={guess.hash: (200.0,)}), 8)
    assert once.time_text == "about 3 min 20 s", "one trial has no spread"
