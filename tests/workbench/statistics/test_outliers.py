"""Trials that lie apart: marked by a stated rule, counted all the same, said wherever the figure stands."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.house import ROOT
from tests.workbench.synthetic_experiment import experiment_detail, slowed_detail
from workbench.comparison.comparison import compare
from workbench.comparison.results import Comparison
from workbench.export.tables import (
    comparison_csv,
    comparison_json,
    comparison_latex,
    comparison_table,
    long_rows,
)
from workbench.statistics.outliers import describe, find_outliers

SPEED = "decode_tokens_per_second"


FACTORS = {3: 46.7, 4: 10.3, 5: 6.54, 6: 10.6, 7: 7.91, 8: 6.59, 9: 5.91, 10: 5.46}
MORE = 6.6
PAGE = " ".join((ROOT / "docs" / "statistics.md").read_text(encoding="utf-8").split())


def test_that_the_page_states_the_factors() -> None:
    six_to_ten = ", ".join(str(FACTORS[n]) for n in range(6, 10))
    three_to_five = f"{FACTORS[3]} for three trials, {FACTORS[4]} for four, {FACTORS[5]} for five"
    assert f"{three_to_five}, {six_to_ten} and {FACTORS[10]} for six to ten and {MORE} for more" in PAGE


def values(*numbers: float) -> list[tuple[str, float]]:
    return [(f"t-{place}", number) for place, number in enumerate(numbers)]


def marked(*numbers: float) -> list[int]:
    return [int(outlier.trial.removeprefix("t-")) for outlier in find_outliers(values(*numbers))]


@pytest.mark.parametrize("apart", [0.8, 1.25])
@pytest.mark.parametrize("others", [(100.0, 100.2), (99.0, 100.0, 101.0, 102.0), tuple(np.linspace(97.0, 103.0, 9))])
def test_that_one_trial_far_from_the_others_is_marked_whichever_way_and_wherever_it_ran(
    others: tuple[float, ...], apart: float
) -> None:
    assert marked(*others) == []
    for place in (0, len(others)):
        assert marked(*others[:place], 100 * apart, *others[place:]) == [place]


def test_that_the_issues_example_is_marked() -> None:
    """Five blocks: ±4 % without the slow trial, ±26 % with it."""
    assert marked(100.0, 103.0, 97.0, 100.5, 66.0) == [4]


def test_that_a_second_outlying_trial_of_ten_does_not_hide_the_first() -> None:
    quiet = (100.0, 101.0, 99.0, 100.5, 99.5, 102.0, 98.0, 100.2)
    assert marked(*quiet, 80.0, 79.0) == [8, 9]
    assert marked(*quiet, 80.0, 125.0) == [8, 9]


def test_that_trials_nearer_than_the_floor_are_never_marked() -> None:
    assert marked(100.0, 100.0, 100.0, 100.0, 104.9) == []
    assert marked(100.0, 100.0, 100.0, 100.0, 100.0 / 1.049) == []
    assert marked(100.0, 100.0, 100.0, 100.0, 105.1) == [4]
    assert marked(100.0, 100.0, 100.0, 100.0, 100.0 / 1.051) == [4]


def test_that_noisy_trials_need_a_larger_distance() -> None:
    assert marked(100.0, 106.0, 94.0, 103.0, 75.0) == []
    assert marked(100.0, 101.0, 99.0, 100.5, 75.0) == [4]


@pytest.mark.parametrize("trials", [*range(3, 13), 20])
def test_that_the_factor_of_a_number_of_trials_decides(trials: int) -> None:
    """Others evenly spread around 100; the scatter is that of the nearest four fifths of them."""
    others = np.linspace(-0.05, 0.05, trials - 1)
    nearest = sorted(others, key=abs)[: trials - 1 - (trials - 1) // 5]
    limit = FACTORS.get(trials, MORE) * float(np.std(nearest, ddof=1))
    for distance, found in ((0.999 * limit, []), (1.001 * limit, [trials - 1])):
        assert marked(*(100 * np.exp(others)).tolist(), 100 * math.exp(distance)) == found


def test_that_too_few_trials_and_values_without_a_logarithm_carry_no_mark() -> None:
    assert marked() == marked(1.0) == marked(1.0, 2.0) == []
    assert marked(0.0, 1.0, 1.0, 1.0, 5.0) == marked(-5.0, 1.0, 1.0, 1.0, 1.0) == []
    assert marked(3.0, 3.0, 3.0) == []


def test_that_a_mark_says_how_far_and_how_much_of_the_width() -> None:
    (low,) = find_outliers(values(100.0, 100.0, 100.0, 100.0, 50.0))
    assert low.ratio == pytest.approx(0.5)
    assert low.share == 1.0
    assert describe(low) == "50 % below the median of the others, 100 % of the interval's width"
    trials = (99.0, 101.0, 100.0, 100.0, 125.0)
    (high,) = find_outliers(values(*trials))
    moved = np.log((*trials[:4], 100.0))
    assert high.share == pytest.approx(1 - np.std(moved, ddof=1) / np.std(np.log(trials), ddof=1))
    assert describe(high) == f"25 % above the median of the others, {100 * high.share:.0f} % of the interval's width"


@pytest.mark.parametrize("trials", [3, 5, 10, 20])
def test_that_marks_by_chance_are_as_rare_as_stated(trials: int) -> None:
    """At most one configuration in twenty however large the noise, hardly one where trials are within 1 %."""
    rng = np.random.default_rng(8)

    def rate(sd: float) -> float:
        return float(np.mean([bool(marked(*np.exp(rng.normal(0.0, sd, trials)).tolist())) for _ in range(500)]))

    assert rate(0.2) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)
    assert rate(0.01) < 0.01


# --- where it is said ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> tuple[Comparison, str]:
    detail, trial = slowed_detail()
    return compare(detail), trial


def test_that_an_outlying_trial_counts_and_is_marked(table: tuple[Comparison, str]) -> None:
    comparison, trial = table
    cell = next(r for r in comparison.rows if r.configuration == "c-bfloat16").cells[SPEED]
    assert [o.trial for o in cell.outliers] == [trial]
    assert cell.n == 5
    assert trial in dict(cell.trial_values)
    assert cell.excluded == ()
    clean = compare(experiment_detail(between_sd=0.01, fail=False, disturb=False))
    quiet = next(r for r in clean.rows if r.configuration == "c-bfloat16").cells[SPEED]
    assert quiet.outliers == ()
    assert cell.interval.low < quiet.interval.low
    assert not [note for note in clean.footnotes if "Outlying" in note and SPEED in note]


def test_that_the_note_names_the_trial_how_far_it_is_and_what_runs_more(table: tuple[Comparison, str]) -> None:
    comparison, trial = table
    (note,) = [n for n in comparison.footnotes if n.startswith("† Outlying trials, which count: ")]
    number = int(trial.removeprefix("t-"))
    assert f"trial {number} (SmolLM2-135M-Instruct · bfloat16): decode throughput 28 %" in note
    assert "% below the median of the others" in note
    assert "`llm-workbench more 12` runs 5 more blocks" in note


def test_that_tables_and_files_carry_the_mark(table: tuple[Comparison, str]) -> None:
    comparison, trial = table
    _, rows = comparison_table(comparison, [SPEED])
    by_name = {row.labels["precision"]: cells[-1] for row, cells in zip(comparison.rows, rows, strict=True)}
    assert by_name["bfloat16"].split("\n")[0].endswith("] †")
    assert "†" not in by_name["float32"]
    assert r"\textdagger{}" in comparison_latex(comparison, [SPEED])
    long = {row["configuration"]: row["outlying"] for row in long_rows(comparison, [SPEED])}
    assert long == {"c-float32": "", "c-bfloat16": trial, "c-int8": "", "c-float16": ""}
    assert trial in comparison_csv(comparison, [SPEED])
    plain = comparison_json(comparison)["configurations"]
    assert isinstance(plain, list)
    found = {c["configuration"]: c["metrics"][SPEED]["outliers"] for c in plain}
    assert found["c-float32"] == []
    (outlier,) = found["c-bfloat16"]
    assert outlier["trial"] == trial
    assert 0.65 < outlier["ratio"] < 0.75
    assert 0.8 < outlier["share_of_width"] < 1
