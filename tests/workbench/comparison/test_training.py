"""A comparison of training trials: basis, methods at their own optima, seeds, reaching a loss, ranks, and its words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from tests.workbench.synthetic_experiment import experiment_detail
from tests.workbench.synthetic_training import Run, training_detail
from workbench.charts.rates import rate_chart
from workbench.charts.stored import bar_chart
from workbench.comparison.comparison import compare
from workbench.comparison.training.basis import Basis, basis_of
from workbench.comparison.training.methods import methods_of
from workbench.comparison.training.reaching import reach_of
from workbench.comparison.training.which import ONE_RATE, TrainingComparison
from workbench.experiment.experiment import Experiment, WorkloadChoice
from workbench.experiment.fixes import apply_fix
from workbench.export.bundle import export_comparison
from workbench.export.tables import cell_lines, comparison_json
from workbench.store.operations import ExperimentDetail

R4, R8 = "finetune.lora rank=4", "finetune.lora rank=16"
RATES = (1e-4, 3e-4, 1e-3, 3e-3)


def training_of(detail: ExperimentDetail, baseline: str | None = None) -> TrainingComparison:
    found = compare(detail, baseline=baseline).training
    assert found is not None
    return found


def swept(first: tuple[float, ...], second: tuple[float, ...], **changes: object) -> ExperimentDetail:
    """Two methods over `RATES`."""
    runs = [Run(R4, rate, loss) for rate, loss in zip(RATES, first, strict=True)]
    runs += [Run(R8, rate, loss) for rate, loss in zip(RATES, second, strict=True)]
    return training_detail(runs, **changes)  # type: ignore[arg-type]


def test_that_a_comparison_of_inference_has_no_training() -> None:
    assert compare(experiment_detail(blocks=1)).training is None
    assert basis_of(experiment_detail(blocks=1)) is None


@pytest.mark.parametrize(
    ("loads", "words"),
    [
        (({}, {}), "at equal steps: 12"),
        (({}, {"steps": 18}), "not at equal steps: 12 to 20"),
        (({}, {"batch_size": 4}), "at equal steps: 12; a step has more tokens in some configurations than in others"),
        (({"stop_at": "tokens", "token_budget": 768},) * 2, "at equal tokens: 768"),
        (({"stop_at": "time", "time_budget_s": 90.0, "steps": 11},) * 2, "at equal time: 1 min 30 s"),
        (
            ({"stop_at": "time", "time_budget_s": 90.0}, {"stop_at": "time", "time_budget_s": 90.0, "steps": 11}),
            "at equal time: 1 min 30 s, but 1 trial ended at the largest number of steps before that",
        ),
        (({"stop_at": "loss", "target_loss": 2.5},) * 2, "at equal loss: 2.5"),
        (({"stop_at": "loss"}, {}), "on no equal basis: configurations stop by different rules"),
    ],
)
def test_that_the_basis_is_said_in_words(loads: tuple[dict[str, object], ...], words: str) -> None:
    detail = training_detail([Run(R4, 1e-3, 2.0, workload=load) for load in loads], seeds=1)
    basis = basis_of(detail)
    assert basis.words == words
    assert compare(detail).footnotes[0] == f"Training compared {words}."


def test_that_one_training_alone_is_compared_on_no_basis() -> None:
    comparison = compare(training_detail([Run(R4, 1e-3, 2.0)], seeds=2))
    assert comparison.training.basis.words == ""
    assert not any("Training compared" in note for note in comparison.footnotes)
    chart = bar_chart(comparison, "test_loss")
    assert not any("Training compared" in note for note in chart.notes)
    assert "·  ·" not in chart.provenance


def test_that_equal_is_said_of_equal_amounts_only() -> None:
    assert Basis("steps", 5, 5).equal
    assert not Basis("steps", 5, 6).equal
    assert not Basis("time", 5, 5, capped=1).equal
    assert not Basis(None, 0, 0).equal


def test_that_configurations_that_differ_in_the_rate_alone_are_one_method() -> None:
    methods = methods_of(swept((3, 2, 2.5, 3), (3, 2, 2.5, 3), seeds=1))
    assert [m.rates for m in methods] == [RATES, RATES]
    assert ["rank 4" in m.title and "rate" not in m.title for m in methods] == [True, False]
    assert methods[0].configurations[3e-4] == "c-1"


def test_that_the_rate_that_the_worker_used_counts() -> None:
    runs = [Run(R4, 0.0, 2.0, facts=lambda _: {"training.learning_rate": "0.0005"}), Run(R4, 1e-3, 2.0)]
    (method,) = methods_of(training_detail(runs, seeds=1))
    assert method.rates == (5e-4, 1e-3)


def test_that_each_method_is_judged_at_its_own_optimum() -> None:
    """At 1e-3 alone the second looks 25 % worse; at their optima they are alike."""
    detail = swept((2.6, 2.2, 2.0, 2.2), (2.2, 2.0, 2.2, 2.5), seeds=5)
    optima = training_of(detail).optima
    assert [m.optimum.setting if m.optimum else None for m in optima.methods] == [1e-3, 3e-4]
    assert optima.judged_on == "test_loss"
    assert [m.word for m in optima.methods] == ["baseline", "no difference shown"]
    assert any("] over 5 seeds." in note for note in compare(detail).footnotes)
    at_one = training_of(training_detail([Run(R4, 1e-3, 2.0), Run(R8, 1e-3, 2.2)], seeds=5))
    assert [m.word for m in at_one.optima.methods] == ["baseline", "worse"]
    assert ONE_RATE in compare(training_detail([Run(R4, 1e-3, 2.0), Run(R8, 1e-3, 2.2)], seeds=5)).footnotes


def test_that_a_better_method_is_called_better_at_the_optima() -> None:
    optima = training_of(swept((2.6, 2.2, 2.0, 2.2), (2.4, 1.85, 1.84, 1.85), seeds=5)).optima
    assert optima.methods[1].word == "better"
    ratio = optima.methods[1].against
    assert ratio.ratio == pytest.approx(0.92, abs=0.01)
    pinned = training_of(swept((2.6, 2.2, 2.0, 2.2), (2.4, 1.85, 1.84, 1.85), seeds=5), baseline="c-6").optima
    assert [m.word for m in pinned.methods] == ["worse", "baseline"]


def test_that_an_optimum_at_an_edge_offers_the_next_rate_and_the_fix_adds_it() -> None:
    detail = swept((3.0, 2.8, 2.5, 2.0), (2.6, 2.2, 2.0, 2.2), seeds=3)
    first = training_of(detail).optima.methods[0]
    assert (first.optimum.edge, first.optimum.next_setting) == ("high", pytest.approx(9e-3))
    assert first.fix.label == "Add learning rate 0.009"
    assert any("the optimum lies at the high edge: run 0.009 too" in note for note in compare(detail).footnotes)
    experiment = Experiment(models=("m",), workload=WorkloadChoice.of("training", learning_rate=RATES))
    fixed = apply_fix(experiment, "", first.fix)
    assert fixed.workload.values("learning_rate") == (*RATES, 0.009)
    assert apply_fix(fixed, "", first.fix) == fixed  # once


def test_that_no_further_rate_is_offered_while_one_is_still_to_run() -> None:
    detail = swept((3.0, 2.8, 2.5, 2.0), (2.6, 2.2, 2.0, 2.2))
    waiting = tuple(
        msgspec.structs.replace(t, state="waiting", outcome=None, verdict=None) if t.trial == "t-3-2" else t
        for t in detail.trials
    )
    first = training_of(msgspec.structs.replace(detail, trials=waiting)).optima.methods[0]
    assert (first.unfinished, first.fix) == (True, None)
    assert training_of(detail).optima.methods[0].fix is not None


def test_that_a_rate_at_which_training_diverged_is_infinite_and_not_missing() -> None:
    runs = [Run(R4, 1e-4, 3.0), Run(R4, 1e-3, 2.0), Run(R4, 1e-2, 0.0, diverged=True)]
    (method,) = training_of(training_detail(runs, seeds=2)).optima.methods
    assert method.curve.losses[2] == math.inf
    assert (method.optimum.setting, method.optimum.next_setting) == (1e-3, pytest.approx(math.sqrt(1e-5)))


def test_that_unequal_tuning_is_said() -> None:
    runs = [Run(R4, rate, 2.0 + abs(math.log10(rate) + 3.2)) for rate in RATES] + [Run(R8, 1e-3, 2.1)]
    found = training_of(training_detail(runs))
    assert found.optima.unequal_tuning
    assert any(note.startswith("Unequal tuning") for note in compare(training_detail(runs)).footnotes)


def test_that_without_test_losses_validation_judges_and_that_is_said() -> None:
    detail = swept((2.6, 2.2, 2.0, 2.2), (2.2, 2.0, 2.2, 2.5), test=False)
    assert training_of(detail).optima.judged_on == "held_out_loss"
    assert any("no test loss was made" in note for note in compare(detail).footnotes)


def test_that_one_seed_gives_no_verdict() -> None:
    found = training_of(training_detail([Run(R4, 1e-3, 2.0), Run(R8, 1e-3, 1.0)], seeds=1))
    assert [m.word for m in found.optima.methods] == ["baseline", ""]
    assert found.seeds is None


def test_that_what_can_be_seen_follows_from_this_experiments_own_spread() -> None:
    runs = [Run(R4, 1e-3, 2.0), Run(R8, 1e-3, 2.0)]
    quiet, noisy = (training_of(training_detail(runs, seeds=5, spread=s)).seeds for s in (0.002, 0.02))
    seen, more = quiet.seen(), noisy.seen()
    assert 5 < more[0] / seen[0] < 20
    assert seen[0] < seen[1]
    fewer = quiet.needed(0.01).seeds
    assert fewer is not None
    assert fewer < (noisy.needed(0.01).seeds or 0)
    assert noisy.words().startswith("With 5 seeds, differences under ")
    assert noisy.words_needed(0.01).startswith("A difference of 1 % needs ")


def test_that_identical_weights_of_two_methods_are_called_identical() -> None:
    def same(seed: int) -> dict[str, str]:
        return {"training.trained_sha256": f"sha256:{seed}"}

    runs = [Run(R4, 1e-3, 2.0, facts=same), Run(R8, 1e-3, 2.0, facts=same)]
    assert training_of(training_detail(runs)).identical == (("LoRA (rank 4)", "LoRA (rank 16)"),)
    other = Run(R8, 1e-3, 2.0, facts=lambda seed: {"training.trained_sha256": f"sha256:{seed or 'x'}"})
    assert training_of(training_detail([runs[0], other])).identical == ()
    assert training_of(training_detail([Run(R4, 1e-3, 2.0), Run(R8, 1e-3, 2.0)])).identical == ()


# --- charts, exports --------------------------------------------------------------------------------


def test_that_the_result_against_the_rate_is_a_line_for_each_method_with_its_seeds_as_a_band() -> None:
    detail = swept((2.6, 2.2, 2.0, 2.2), (2.2, 2.0, 2.2, 2.5))
    chart = rate_chart(compare(detail))
    first, second = chart.series
    assert (first.x.tolist(), chart.x.log) == ([1e-4, 3e-4, 1e-3, 3e-3], True)
    assert first.y[2] == pytest.approx(2.0, rel=0.02)
    assert (first.filled, second.filled) == ((2,), (1,))
    assert [(s.at, s.low < s.at < s.high) for s in chart.spans] == [(1e-3, True), (3e-4, True)]
    assert first.y_low is not None
    assert first.y_high is not None
    assert (first.y_low <= first.y).all()
    assert (first.y <= first.y_high).all()
    assert chart.notes[0] == "At equal steps: 12."
    assert "at equal steps: 12" in chart.provenance


def test_that_a_rate_at_which_training_diverged_is_named_and_not_drawn() -> None:
    runs = [Run(R4, 1e-4, 3.0), Run(R4, 1e-3, 2.0), Run(R4, 1e-2, 0.0, diverged=True)]
    chart = rate_chart(compare(training_detail(runs, seeds=1)))
    assert chart.series[0].x.tolist() == [1e-4, 1e-3]
    assert chart.series[0].y_low is None
    assert chart.notes[-1].startswith("Not drawn, because training diverged there")


def test_that_without_training_there_is_no_chart_of_rates() -> None:
    assert rate_chart(compare(experiment_detail(blocks=1))).empty == "Nothing was trained in this experiment."


def test_that_every_chart_and_table_says_the_basis(tmp_path: Path) -> None:
    comparison = compare(swept((2.6, 2.2, 2.0, 2.2), (2.2, 2.0, 2.2, 2.5)))
    assert "Training compared at equal steps: 12." in bar_chart(comparison, "test_loss").notes
    assert "at equal steps: 12" in bar_chart(comparison, "test_loss").provenance
    written = export_comparison(comparison, tmp_path, formats=("json", "md"))
    assert "at equal steps: 12" in written[1].read_text(encoding="utf-8")


def test_that_the_json_has_values_and_no_infinity() -> None:
    runs = [Run(R4, 1e-4, 3.0), Run(R4, 1e-3, 2.0), Run(R4, 1e-2, 0.0, diverged=True), Run(R8, 1e-3, 2.0)]
    found = comparison_json(compare(training_detail(runs)))["training"]
    said = json.loads(json.dumps(found, allow_nan=False))
    assert said["basis"] == {"kind": "steps", "least": 12.0, "most": 12.0, "equal": True, "words": "at equal steps: 12"}
    assert said["methods"][0]["validation_loss"]["0.01"] == {"0": None, "1": None, "2": None}
    assert said["methods"][0]["optimum"]["learning_rate"] == 1e-3
    unreached = comparison_json(compare(with_target(2.2, (2.0, 2.4))))["training"]
    assert json.loads(json.dumps(unreached, allow_nan=False))["reach"][1]["medians"]["time"]["value"] is None


# --- reaching a loss --------------------------------------------------------------------------------


def with_target(target: float, losses: tuple[float, float], seeds: int = 5) -> ExperimentDetail:
    def facts(_: int) -> dict[str, str]:
        return {"workload.target_loss": f"{target}"}

    return training_detail([Run(m, 1e-3, v, facts=facts) for m, v in zip((R4, R8), losses, strict=True)], seeds=seeds)


def test_that_a_loss_that_few_trials_reach_has_no_median_and_no_number() -> None:
    detail = with_target(2.2, (2.0, 2.4))
    comparison = compare(detail)
    cells = [row.cells["time_to_loss_s"] for row in comparison.rows]
    assert cells[0].value is not None
    assert cells[0].interval is not None
    assert (cells[1].value, cells[1].reason) == (None, "Not reached in 5 of 5 trials.")
    assert cell_lines(cells[1], "s") == ("not reached in 5 of 5",)
    chart = bar_chart(comparison, "time_to_loss_s")
    assert chart.series[1].labels == ("not reached in 5 of 5",)
    assert not math.isfinite(chart.series[1].x[0])
    assert any(note.startswith("Medians of the trials") for note in chart.notes)
    assert not any(note.startswith("Whiskers") for note in chart.notes)
    assert [cell.ratio for cell in cells] == [None, None]
    first, second = comparison.training.reach
    assert (first.reached, second.reached) == (5, 0)
    assert second.medians["time"].value == math.inf
    assert second.probability.high == pytest.approx(0.5218, abs=1e-4)
    assert any("reached the target loss in 0 of 5 trials (probability 0 to 52 %)" in n for n in comparison.footnotes)


def test_that_a_median_counts_a_trial_that_did_not_reach_it_as_infinite() -> None:
    """The third loss, by size, decides: a mean over those that reached it would be faster than any median."""
    detail = with_target(2.0, (1.999, 1.9), seeds=7)
    comparison = compare(detail)
    reach = comparison.training.reach[0]
    assert 0 < reach.reached < 7
    cell = comparison.rows[0].cells["time_to_loss_s"]
    if reach.reached > 3:
        assert cell.value is not None
        assert cell.mark == f"not reached in {7 - reach.reached} of 7"
        assert any(note.endswith(f": {cell.mark}.") for note in bar_chart(comparison, "time_to_loss_s").notes)
        assert cell.value == pytest.approx(sorted(v for _, v in cell.trial_values)[3])
    else:
        assert cell.value is None
    assert comparison.rows[1].cells["time_to_loss_s"].ratio is None


def test_that_where_all_reach_it_ratios_are_formed() -> None:
    cells = [row.cells["time_to_loss_s"] for row in compare(with_target(2.5, (2.0, 1.5))).rows]
    assert cells[1].word == "faster"
    assert cells[1].ratio is not None
    assert cells[1].ratio < 1


def test_that_no_trials_are_no_reach() -> None:
    assert reach_of("c", {}) is None
    assert reach_of("c", {"time": []}) is None
    found = reach_of("c", {"time": [math.inf], "tokens": [math.inf]})
    assert (found.trials, found.reached, found.unreached) == (1, 0, 1)


# --- ranks ------------------------------------------------------------------------------------------


def test_that_ranks_are_spans_where_intervals_leave_them_open() -> None:
    runs = [Run(f"finetune.lora rank={r}", 1e-3, loss) for r, loss in ((2, 2.0), (4, 2.001), (16, 1.5))]
    rankings = {r.metric: r for r in training_of(training_detail(runs, seeds=5)).rankings}
    found = rankings["test_loss"]
    assert found.size == "under 0.5 B parameters"
    assert (found.ranks[0].configuration, found.ranks[0].best, found.ranks[0].worst) == ("c-2", 1, 1)
    assert {(r.best, r.worst) for r in found.ranks[1:]} == {(2, 3)}
    assert {(r.best, r.worst) for r in rankings["trained_parameters"].ranks} == {(1, 3)}  # counted: all the same
    assert [r.words for r in found.ranks] == ["1", "2 to 3", "2 to 3"]
    alone = training_of(training_detail(runs[:1], seeds=5))
    assert alone.rankings == ()
