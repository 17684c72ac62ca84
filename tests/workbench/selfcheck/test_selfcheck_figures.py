"""The self-check's figures and verdicts by worked examples: blocks, effects, shares, processor time."""

from __future__ import annotations

import math
import os

import pytest

from tests.workbench.selfcheck.selfcheck_kit import ratio
from workbench.selfcheck.blocks import by_block, effect, share
from workbench.selfcheck.processor_time import processor_seconds
from workbench.selfcheck.result import Share, loss_verdict, same_verdict, share_verdict
from workbench.selfcheck.trials import Looks
from workbench.statistics.intervals import t_quantile


def test_that_a_block_is_the_geometric_mean_of_its_trials_and_an_effect_the_mean_log_ratio_over_blocks() -> None:
    told = [("on", 0, 8.0), ("on", 0, 2.0), ("off", 0, 5.0), ("on", 1, 9.0), ("off", 1, 10.0), ("on", 2, None)]
    values = by_block(told)  # type: ignore[arg-type]
    assert values["on"] == pytest.approx({0: 4.0, 1: 9.0})
    found = effect(values, "on", "off")
    assert found is not None
    logs = [math.log(4 / 5), math.log(9 / 10)]
    mean = sum(logs) / 2
    half = t_quantile(0.95, 1) * math.sqrt(((logs[0] - mean) ** 2 + (logs[1] - mean) ** 2) / 1) / math.sqrt(2)
    assert (found.ratio, found.low, found.high) == pytest.approx(
        (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    )
    assert found.half_width == pytest.approx(math.exp(half) - 1)


def test_that_one_block_carries_no_interval_and_arms_without_a_common_block_no_effect() -> None:
    one = effect(by_block([("on", 0, 2.0), ("off", 0, 1.0)]), "on", "off")
    assert one.low is None
    assert one.half_width is None
    assert effect(by_block([("on", 0, 2.0), ("off", 1, 1.0)]), "on", "off") is None
    assert effect({}, "on", "off") is None


def test_that_values_which_are_not_positive_are_left_out() -> None:
    assert by_block([("on", 0, 0.0), ("on", 1, -1.0), ("on", 2, 3.0)]) == {"on": {2: pytest.approx(3.0)}}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.991, 1.004, "passed"),
        (0.990, 0.995, "passed"),
        (0.980, 0.989, "missed"),
        (0.970, 0.999, "inconclusive"),
        (1.002, 1.009, "passed"),
        (1.011, 1.013, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_that_the_loss_is_judged_by_the_upper_end_of_its_interval(low: float, high: float, verdict: str) -> None:
    assert loss_verdict(ratio(low, high)) == verdict


def test_that_a_share_is_judged_by_its_interval_too() -> None:
    assert share_verdict(Share(mean=0.01, low=0.008, high=0.012, trials=9)) == "passed"
    assert share_verdict(Share(mean=0.03, low=0.025, high=0.035, trials=9)) == "missed"
    assert share_verdict(Share(mean=0.02, low=0.015, high=0.025, trials=9)) == "inconclusive"
    assert share_verdict(Share(mean=0.01, low=None, high=None, trials=1)) == "inconclusive"


def test_that_two_arms_that_are_the_same_pass_when_the_interval_holds_one() -> None:
    assert same_verdict(ratio(0.99, 1.02)) == "passed"
    assert same_verdict(ratio(1.01, 1.02)) == "missed"
    assert same_verdict(None) is None


def test_that_a_share_is_a_mean_over_trials_with_its_interval_and_never_below_zero() -> None:
    found = share([0.01, None, 0.03])
    assert found.mean == pytest.approx(0.02)
    assert found.trials == 2
    assert found.low == 0.0
    assert share([None, None]) is None
    alone = share([0.01])
    assert alone.high is None


def test_that_processor_time_counts_between_two_looks_within_the_measured_window_only() -> None:
    second = 1_000_000_000
    looks = Looks(pid=0, seconds=[(2 * second, 5.0), (4 * second, 5.03)])
    assert looks.share(1 * second, 5 * second) == pytest.approx(0.015)
    assert looks.share(3 * second, 5 * second) is None, "the first look came before the window"
    assert looks.share(1 * second, 3 * second) is None, "the second came after it"
    assert Looks(pid=0, seconds=[(2 * second, 5.0)]).share(0, 9 * second) is None


def test_that_this_process_has_used_a_processor_and_one_that_is_gone_has_not() -> None:
    before = processor_seconds(os.getpid())
    sum(range(2_000_000))
    assert processor_seconds(os.getpid()) > before > 0
    looks = Looks(pid=2**22 + 1)
    looks.look()
    assert looks.seconds == []
