"""Intervals against worked examples, scipy, and simulated coverage."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks import statistics_proof as proof
from workbench.statistics import intervals as statistics
from workbench.statistics.intervals import Interval, decide, percentile, ratios_to_baseline, summarise, t_interval
from workbench.statistics.stopping import TARGET, should_stop, stop_at

positive = st.floats(1e-3, 1e6)


def test_a_worked_t_interval() -> None:
    """1, 2, 3, 4, 5: mean 3, s = 1.5811, t(0.975, 4) = 2.7764, half-width 1.9632."""
    found = t_interval([1, 2, 3, 4, 5])
    assert found.low == pytest.approx(1.0368, abs=1e-4)
    assert found.high == pytest.approx(4.9632, abs=1e-4)


@given(st.lists(positive, min_size=2, max_size=12), st.sampled_from((0.9, 0.95, 0.99)))
def test_that_the_summary_agrees_with_scipy(values: list[float], confidence: float) -> None:
    found = summarise(values, confidence)
    assert found is not None
    logs = np.log(values)
    assert found.value == pytest.approx(stats.gmean(values), rel=1e-6)
    if found.deterministic:
        assert found.interval is None
        return
    assert found.interval is not None
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(logs), scale=stats.sem(logs))
    # compared on the logarithm: the ends of absurdly wide intervals differ by rounding
    assert math.log(found.interval.low) == pytest.approx(low, rel=1e-6, abs=1e-6)
    assert math.log(found.interval.high) == pytest.approx(high, rel=1e-6, abs=1e-6)


def test_that_one_value_has_no_interval_and_none_no_summary() -> None:
    one = summarise([4.0])
    assert (one.value, one.interval, one.n, one.deterministic) == (4.0, None, 1, False)
    assert summarise([]) is None
    assert t_interval([1.0]) is None


def test_that_equal_values_are_deterministic() -> None:
    found = summarise([21.4, 21.4 * (1 + 1e-13), 21.4])
    assert found.deterministic
    assert found.interval is None


def test_that_values_that_are_not_positive_are_treated_as_they_are() -> None:
    found = summarise([-1.0, 0.0, 1.0])
    assert found.value == pytest.approx(0.0)
    assert found.interval.low == pytest.approx(-found.interval.high)


@pytest.mark.parametrize(
    ("values", "confidence", "told"),
    [
        ([4.0], 0.95, "one trial: no interval"),
        ([4.0, 4.0], 0.95, "deterministic: the same value in every trial"),
        ([4.0, 5.0], 0.95, "geometric mean of 2 trials, 95 % t interval on logarithms"),
        ([4.0, 5.0, 6.0], 0.975, "geometric mean of 3 trials, 97.5 % t interval on logarithms"),
        ([0.0, 5.0, 6.0], 0.9, "mean of 3 trials, 90 % t interval (not all values are positive)"),
        (
            [0.0, *range(1, 20)],
            0.95,
            "mean of 20 trials, 95 % bootstrap interval, BCa (not all values are positive)",
        ),
    ],
)
def test_that_a_summary_says_how_it_was_made(values: list[float], confidence: float, told: str) -> None:
    found = summarise(values, confidence)
    assert (found.method, found.n) == (told, len(values))


def test_that_a_ratio_says_how_its_interval_was_made() -> None:
    base = {0: 1.0, 1: 1.0, 2: 1.0}
    noisy = {0: 1.1, 1: 1.2, 2: 1.15}

    def told(others: dict[str, dict[int, float]], confidence: float = 0.95) -> str:
        return ratios_to_baseline(base, others, confidence)["a"].method

    other = {0: 1.3, 1: 1.2, 2: 1.35}
    simultaneous = "log ratios within 3 blocks, 95 % simultaneous intervals of 2 ratios"
    assert told({"a": noisy}) == "log ratios within 3 blocks, 95 % paired t interval"
    assert told({"a": noisy}, 0.975) == "log ratios within 3 blocks, 97.5 % paired t interval"
    assert told({"a": noisy, "b": other}) == f"{simultaneous} (max-t)"
    short = {0: 1.3, 1: 1.2}
    assert told({"a": noisy, "b": short}) == f"{simultaneous} (Bonferroni)"
    assert told({"a": {0: 1.1, 1: 1.1}}) == "deterministic: the same ratio in all 2 blocks"
    assert told({"a": {0: 1.1}}) == "one block: no interval"
    exact = {0: 2.0, 1: 2.0, 2: 2.0}
    assert told({"a": noisy, "b": exact}).endswith("95 % paired t interval"), "a ratio without error is no comparison"


def test_that_one_comparison_is_the_paired_t_interval() -> None:
    rng = np.random.default_rng(1)
    base, other = np.exp(rng.normal(3, 0.1, 7)), np.exp(rng.normal(3.2, 0.1, 7))
    found = ratios_to_baseline(dict(enumerate(base)), {"a": dict(enumerate(other))})["a"]
    expected = stats.ttest_rel(np.log(other), np.log(base)).confidence_interval(0.95)
    assert math.log(found.interval.low) == pytest.approx(expected.low)
    assert math.log(found.interval.high) == pytest.approx(expected.high)
    assert found.blocks == 7


def test_that_a_ratio_and_its_inverse_agree() -> None:
    base, other = {0: 10.0, 1: 11.0, 2: 9.0}, {0: 20.0, 1: 23.0, 2: 19.0}
    up, down = ratios_to_baseline(base, {"a": other})["a"], ratios_to_baseline(other, {"a": base})["a"]
    assert up.ratio == pytest.approx(1 / down.ratio)
    assert up.interval.low == pytest.approx(1 / down.interval.high)


def test_that_only_blocks_of_both_count() -> None:
    found = ratios_to_baseline({0: 1.0, 1: 1.0, 2: 1.0}, {"a": {1: 2.0, 2: 2.2, 5: 9.0}, "b": {7: 1.0}})
    assert found["a"].blocks == 2
    assert found["a"].ratio == pytest.approx(math.sqrt(2.0 * 2.2))
    assert "b" not in found


def test_that_values_without_a_logarithm_make_no_ratio() -> None:
    found = ratios_to_baseline(
        {0: 0.0, 1: 1.0, 2: -1.0, 3: 2.0, 4: 1.0}, {"a": dict.fromkeys(range(4), 2.0) | {4: 0.0}}
    )
    assert (found["a"].blocks, found["a"].ratio) == (2, pytest.approx(math.sqrt(2.0)))
    assert ratios_to_baseline({0: 0.0}, {"a": {0: 1.0}}) == {}


def test_that_values_are_the_same_to_rounding_only() -> None:
    assert statistics.same([])
    assert statistics.same([0.0, 0.0])
    assert statistics.same([-3.0, -3.0 * (1 + 0.9e-9)])
    assert not statistics.same([-3.0, -3.0 * (1 + 1.1e-9)])
    assert not statistics.same([0.0, 1e-300])


@pytest.mark.parametrize("freedom", [(2, 9), (4, 4), (9, 2), (2, 4, 9)])
def test_that_independent_ratios_of_unequal_blocks_hold_together(freedom: tuple[int, ...]) -> None:
    """Of k independent tests the smallest p value is under 1 - 0.95 ** (1/k) in 5 % of experiments."""
    k = len(freedom)
    identity = tuple(tuple(float(i == j) for j in range(k)) for i in range(k))
    assert statistics.smallest_p(identity, freedom) == pytest.approx(1 - 0.95 ** (1 / k), rel=0.06)


def test_that_a_simulation_in_chunks_draws_every_experiment_and_says_the_same_as_one_that_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, others = _experiment(np.random.default_rng(3), 3, 5)
    kept = ratios_to_baseline(base, others)
    monkeypatch.setattr(statistics, "_KEPT_NUMBERS", 0)
    statistics._p_of_table.cache_clear()
    assert ratios_to_baseline(base, others) == kept
    monkeypatch.setattr(statistics, "_CHUNK_NUMBERS", 60)
    chunks = list(statistics._drawn(1_000, 5, 3, 2))
    assert [own.shape for own, _ in chunks] == [(4, 5, 3)] * 250
    assert {shared.shape for _, shared in chunks} == {(4, 5, 2)}


def test_that_one_block_gives_a_ratio_without_interval() -> None:
    found = ratios_to_baseline({0: 2.0}, {"a": {0: 3.0}})["a"]
    assert (found.ratio, found.interval, found.blocks) == (pytest.approx(1.5), None, 1)


def test_that_the_same_ratio_in_every_block_is_deterministic() -> None:
    found = ratios_to_baseline({0: 2.0, 1: 3.0}, {"a": {0: 1.0, 1: 1.5}})["a"]
    assert found.deterministic
    assert found.interval is None


def _experiment(rng: np.random.Generator, k: int, n: int) -> tuple[dict[int, float], dict[str, dict[int, float]]]:
    """k configurations and a baseline, no difference; block sd 3 %, trial sd 2 %."""
    block = rng.normal(0, 0.03, n)
    values = np.exp(block[:, None] + rng.normal(0, 0.02, (n, k + 1)))
    return dict(enumerate(values[:, 0])), {str(i): dict(enumerate(values[:, i + 1])) for i in range(k)}


def test_that_simultaneous_intervals_lie_between_plain_and_bonferroni() -> None:
    rng = np.random.default_rng(2)
    for k, n in ((2, 3), (3, 5), (6, 10)):
        base, others = _experiment(rng, k, n)
        together = ratios_to_baseline(base, others)
        for name, values in others.items():
            plain = ratios_to_baseline(base, {name: values})[name].interval
            bonferroni = ratios_to_baseline(base, {name: values}, 1 - 0.05 / k)[name].interval
            found = together[name].interval
            assert bonferroni.low - 1e-12 <= found.low <= plain.low + 1e-12
            assert plain.high - 1e-12 <= found.high <= bonferroni.high + 1e-12
            assert "max-t" in together[name].method


def test_that_the_simulated_critical_value_is_dunnetts() -> None:
    """Two-sided Dunnett, correlation 1/2: against scipy's own multivariate t for k = 3, many degrees of freedom."""
    k, df = 3, 60
    correlation = tuple(tuple(1.0 if i == j else 0.5 for j in range(k)) for i in range(k))
    p = statistics.smallest_p(correlation, (df,) * k, 0.95)
    critical = stats.t.isf(p / 2, df)
    shape = np.array(correlation)
    joint = stats.multivariate_t(np.zeros(k), shape, df, seed=1)
    box = joint.cdf(np.full(k, critical), lower_limit=np.full(k, -critical))
    assert box == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("lost", [0, 1])
def test_that_the_few_directions_of_a_table_give_what_its_whole_correlation_gives(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6 ratios in 4 blocks, whole or every other one a block short: by the table, and by the 6 x 6 matrix."""
    monkeypatch.setattr(statistics, "DRAWS", 60_000)
    k, blocks = 6, 4
    rng = np.random.default_rng(2)
    table = rng.normal(size=(k, blocks)) + rng.normal(size=blocks)
    freedom = tuple(blocks - 1 - lost * (i % 2) for i in range(k))
    weight = 1 / (blocks - 1)
    matrix = (1 - weight) * np.corrcoef(table) + weight * np.eye(k)
    by_matrix = statistics.smallest_p(tuple(tuple(float(v) for v in row) for row in matrix), freedom)
    # 0.1 % of coverage is 2 % of the 5 % beyond it; of the difference of two such, four standard errors
    assert statistics._p_of_table(table.tobytes(), blocks, freedom, 0.95) == pytest.approx(by_matrix, rel=0.1)
    statistics._p_of_table.cache_clear()
    statistics.smallest_p.cache_clear()


def test_that_a_ratio_that_is_flat_in_the_common_blocks_counts_as_independent() -> None:
    table = np.array([[0.1, 0.2, 0.4], [0.3, 0.3, 0.3]])
    together = statistics._p_of_table(table.tobytes(), 3, (2, 2), 0.95)
    alone = statistics.smallest_p(((1.0, 0.0), (0.0, 1.0)), (2, 2), 0.95)
    assert together == pytest.approx(alone, rel=0.1)


def test_that_the_memory_of_the_draws_is_given_back() -> None:
    base, others = _experiment(np.random.default_rng(8), 4, 5)
    statistics._p_of_table.cache_clear()
    ratios_to_baseline(base, others)
    assert statistics._kept_draws.cache_info().currsize == 1
    statistics.forget_draws()
    assert statistics._kept_draws.cache_info().currsize == 0


def test_that_few_common_blocks_fall_back_to_bonferroni() -> None:
    base = {0: 1.0, 1: 1.1, 2: 1.05, 3: 1.0}
    others = {"a": {0: 1.0, 1: 1.2}, "b": {2: 1.0, 3: 1.2}, "c": {0: 1.0, 1: 1.3, 2: 1.1, 3: 1.2}}
    found = ratios_to_baseline(base, others)
    assert all("Bonferroni" in f.method for f in found.values())
    plain = t_interval([math.log(others["a"][b] / base[b]) for b in (0, 1)], 1 - 0.05 / 3)
    assert math.log(found["a"].interval.high) == pytest.approx(plain.high)


def test_that_the_same_data_give_the_same_interval() -> None:
    base, others = _experiment(np.random.default_rng(3), 4, 5)
    first = ratios_to_baseline(base, others)
    statistics._p_of_table.cache_clear()
    assert ratios_to_baseline(base, others) == first


@pytest.mark.parametrize("n", [3, 5, 10])
def test_simulated_coverage_of_one_ratio_under_drift(n: int) -> None:
    """2,000 experiments, log-normal trials of sd 2 %, linear drift of 5 % over the blocks, true ratio 1.1."""
    rng = np.random.default_rng(n)
    hits, runs = 0, 2000
    drift = np.linspace(0, 0.05, n)
    for _ in range(runs):
        base = np.exp(drift + rng.normal(0, 0.02, n))
        other = 1.1 * np.exp(drift + rng.normal(0, 0.02, n))
        interval = ratios_to_baseline(dict(enumerate(base)), {"a": dict(enumerate(other))})["a"].interval
        hits += interval.low <= 1.1 <= interval.high
    # the binomial standard error at 95 % of 2,000 runs is 0.5 %
    assert 0.93 <= hits / runs <= 0.97


@pytest.mark.parametrize(("k", "n"), [(2, 3), (5, 5)])
def test_simulated_coverage_of_all_ratios_together(k: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 experiments; fewer draws for each critical value, so that the test stays short."""
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    statistics._p_of_table.cache_clear()
    rng = np.random.default_rng(11)
    runs, hits = 300, 0
    for _ in range(runs):
        found = ratios_to_baseline(*_experiment(rng, k, n))
        hits += all(f.interval is not None and f.interval.low <= 1 <= f.interval.high for f in found.values())
    statistics._p_of_table.cache_clear()
    # standard error 1.3 %
    assert 0.91 <= hits / runs <= 0.98


@pytest.mark.parametrize(
    ("interval", "decision"),
    [
        (Interval(1.01, 1.2), "higher"),
        (Interval(0.7, 0.99), "lower"),
        (Interval(0.95, 1.01), "inconclusive"),
        (Interval(0.98, 1.02), "equivalent"),
        (Interval(1.005, 1.02), "equivalent"),
        (Interval(1 / 1.03, 1.03), "equivalent"),
        (None, "inconclusive"),
    ],
)
def test_that_the_verdict_is_read_off_the_interval(interval: Interval | None, decision: str) -> None:
    assert decide(interval, 0.03) == decision


def test_that_percentiles_are_gated_by_sample_count() -> None:
    assert [statistics.needed_for_percentile(q) for q in (50, 90, 99, 99.9)] == [20, 100, 1000, 10000]
    assert percentile(np.arange(99.0), 90) is None
    assert percentile(np.arange(101.0), 90) == pytest.approx(90.0)


def test_that_a_bootstrap_needs_twenty_trials_and_then_agrees_with_the_t_interval() -> None:
    rng = np.random.default_rng(5)
    assert statistics.bootstrap_interval(rng.normal(0, 1, 19)) is None
    values = rng.normal(0.0, 1.0, 60)
    found, plain = statistics.bootstrap_interval(values), t_interval(values)
    assert found.low == pytest.approx(plain.low, abs=0.08)
    assert found.high == pytest.approx(plain.high, abs=0.08)
    assert statistics.bootstrap_interval(values) == found
    summary = summarise(values)
    assert summary.interval == found
    assert "bootstrap" in summary.method


@pytest.mark.parametrize("blocks", [3, 5, 10])
def test_that_simulated_intervals_keep_what_they_promise(blocks: int) -> None:
    """A short run of `benchmarks/statistics_proof.py`; bounds leave three Monte-Carlo errors (0.6 % of 1,500 runs)."""
    false = proof.false_positives(proof.STEADY, blocks, runs=1500)
    assert false.value <= 0.06 + 3 * false.error
    found = proof.coverage(proof.STEADY, blocks, runs=1500)
    assert 0.93 - 3 * found.error <= found.value <= 0.97 + 3 * found.error


def test_that_a_true_difference_of_3_percent_is_found_in_ten_blocks() -> None:
    found = proof.power(proof.STEADY, 10, runs=800)
    assert found.value >= 0.80 - 2 * found.error


def test_that_early_stopping_keeps_its_coverage() -> None:
    found = proof.early_stop(proof.STEADY, (TARGET,), runs=2000)[TARGET]
    assert 0.93 - 2 * found.holds.error <= found.holds.value <= 0.97
    assert found.blocks < 14
    assert found.at_cap < 0.05


def test_that_the_noise_of_the_simulation_is_the_one_it_states() -> None:
    still = replace(proof.STEADY, drift=0.0)
    logs = np.log(np.array(list(proof.experiments(still, 1, 1500, 3))))
    assert np.std(logs) == pytest.approx(math.hypot(0.02, 0.03 * math.sqrt(3 / 192)), rel=0.05)
    drifting = np.log(np.array(list(proof.experiments(proof.STEADY, 1, 1500, 10))))
    assert np.mean(drifting[:, 0]) - np.mean(drifting[:, -1]) == pytest.approx(0.05 * 18 / 19, rel=0.1)
    burst = replace(still, burst_share=1.0, between_sd=1e-9, within_sd=1e-9)
    slowest = min(e.min() for e in proof.experiments(burst, 1, 500, 3))
    assert 1 / 1.2 <= slowest < 0.87


def test_that_the_stopping_rule_looks_late_and_runs_two_blocks_more() -> None:
    assert stop_at([math.inf, 0.0, 0.0, 0.0, 0.01], 0.02) is None
    assert stop_at([math.inf, 0.0, 0.0, 0.0, 0.01, 0.9, 0.9], 0.02) == 7
    assert stop_at([math.inf, 0.0, 0.0, 0.0, 0.03, 0.02, 0.9], 0.02) is None
    assert stop_at([math.inf, 0.0, 0.0, 0.0, 0.03, 0.02, 0.9, 0.9], 0.02) == 8


def test_that_an_experiment_stops_at_whole_blocks_only() -> None:
    rng = np.random.default_rng(8)
    base = dict(enumerate(np.exp(rng.normal(3, 0.005, 9))))
    others = {name: dict(enumerate(np.exp(rng.normal(3, 0.005, 9)))) for name in "ab"}
    whole = should_stop(base, others, target=0.03)
    assert whole.stop
    assert "7" not in whole.reason.split("blocks")[0]
    assert "reached after 5 blocks" in whole.reason
    assert whole.half_width is not None
    assert whole.half_width < 0.03
    cut = {"a": others["a"], "b": {b: v for b, v in others["b"].items() if b < 6}}
    unfinished = should_stop(base, cut, target=0.03)
    assert (unfinished.stop, unfinished.blocks) == (False, 6)
    assert "7 are the least" in unfinished.reason
    wide = {"a": {b: v * (1 + 0.3 * (b % 2)) for b, v in others["a"].items()}}
    assert "widest interval" in should_stop(base, wide, target=0.03).reason
    assert not should_stop(base, {}).stop


def test_that_every_decision_about_stopping_says_its_figures() -> None:
    """Log ratios alternate by ±2 %, so that the interval narrows with every block."""
    base = dict.fromkeys(range(9), 10.0)
    other = {b: 10.0 * math.exp(0.02 * (-1) ** b) for b in range(9)}

    def width(blocks: int) -> float:
        logs = [0.02 * (-1) ** b for b in range(blocks)]
        half = stats.t.ppf(0.975, blocks - 1) * float(np.std(logs, ddof=1)) / math.sqrt(blocks)
        return math.exp(half) - 1

    def after(blocks: int, target: float) -> tuple[bool, int, float | None, str]:
        kept = {b: v for b, v in other.items() if b < blocks}
        found = should_stop(base, {"a": kept}, target=target)
        return found.stop, found.blocks, found.half_width, found.reason

    assert width(5) > width(6) > width(7) > width(8)
    assert after(0, 0.5) == (False, 0, None, "There is no whole block to compare yet.")
    assert after(4, 0.5) == (False, 4, None, "4 whole blocks; 7 are the least.")
    assert after(5, 0.5) == (False, 5, pytest.approx(width(5)), "5 whole blocks; 7 are the least.")
    assert after(6, 0.5) == (False, 6, pytest.approx(width(6)), "6 whole blocks; 7 are the least.")
    narrow = "All intervals of ratios are narrow enough: "
    enough = f"{narrow}±50 % was reached after 5 blocks, and 2 more were run."
    assert after(7, 0.5) == (True, 7, pytest.approx(width(7)), enough)
    just = width(7) * (1 + 1e-9)
    assert after(6, just)[0] is False
    assert after(7, just) == (
        False,
        7,
        pytest.approx(width(7)),
        "The intervals are narrow enough; the last blocks are run.",
    )
    assert after(8, just)[0] is False
    assert after(9, just)[0] is True
    wide = f"The widest interval of a ratio is ±{100 * width(7):.2g} %."
    assert after(7, width(7) * (1 - 1e-9)) == (False, 7, pytest.approx(width(7)), wide)


def test_that_the_widest_of_several_ratios_decides_and_one_without_an_interval_never_stops() -> None:
    base = dict.fromkeys(range(7), 10.0)
    still = {b: 10.0 * math.exp(0.001 * (-1) ** b) for b in range(7)}
    loud = {b: 10.0 * math.exp(0.1 * (-1) ** b) for b in range(7)}
    assert should_stop(base, {"a": still}, target=0.02).stop
    both = should_stop(base, {"a": still, "b": loud}, target=0.02)
    assert not both.stop
    assert both.half_width is not None
    assert both.half_width > 0.05
    assert stop_at([0.02] * 7, 0.02) == 7, "the target itself is narrow enough"
    assert stop_at([math.inf] * 20, 0.02) is None
    assert stop_at([], 0.02) is None


def test_that_ratios_without_error_count_as_narrow() -> None:
    base = dict.fromkeys(range(7), 10.0)
    assert should_stop(base, {"a": dict.fromkeys(range(7), 20.0)}).stop
