"""Configurations against a baseline: summaries, ratios, words and cautions."""

from __future__ import annotations

import ast
import json
import math
import re
from pathlib import Path

import msgspec
import pytest

from engines.protocol.codec import encode_record, read_record
from tests.workbench.synthetic import NO_POWER
from tests.workbench.synthetic_experiment import experiment_detail
from workbench import metrics
from workbench.comparison.comparison import _FIGURES, _word, compare
from workbench.comparison.results import Comparison, Row
from workbench.comparison.trade_offs import quality_metric, trade_offs
from workbench.comparison.trials import Trouble
from workbench.metrics.registry import find
from workbench.plan.labels import short_title
from workbench.statistics.intervals import Interval, RatioEstimate
from workbench.store.operations import ExperimentDetail, ReasonRow

DECODE, PERPLEXITY, TTFT = "decode_tokens_per_second", "perplexity", "time_to_first_token_s"


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    return experiment_detail()


@pytest.fixture(scope="module")
def comparison(detail: ExperimentDetail) -> Comparison:
    return compare(detail)


def row(comparison: Comparison, name: str) -> Row:
    return next(r for r in comparison.rows if r.labels["precision"] == name)


def test_that_words_say_what_differs_and_whether_it_is_good(comparison: Comparison) -> None:
    bfloat16, int8, float16 = (row(comparison, n) for n in ("bfloat16", "int8", "float16"))
    assert (bfloat16.cells[DECODE].word, bfloat16.cells[DECODE].good) == ("faster", True)
    assert (float16.cells[DECODE].word, float16.cells[DECODE].good) == ("slower", False)
    assert (float16.cells[TTFT].word, float16.cells[TTFT].good) == ("slower", False)
    assert (int8.cells[DECODE].word, int8.cells[DECODE].good) == ("no difference shown", None)
    assert (int8.cells["memory_mean_bytes"].word, int8.cells["memory_mean_bytes"].good) == ("less", True)
    assert (int8.cells[PERPLEXITY].word, int8.cells[PERPLEXITY].good) == ("worse", False)


def test_that_the_baseline_is_the_first_configuration_with_results(comparison: Comparison) -> None:
    assert row(comparison, "float32").is_baseline
    cell = row(comparison, "float32").cells[DECODE]
    assert (cell.word, cell.ratio, cell.ratio_interval) == ("baseline", 1.0, None)


def test_that_ratios_rest_on_log_ratios_within_blocks(detail: ExperimentDetail, comparison: Comparison) -> None:
    values = {
        (t.configuration, t.block): m.value
        for t in detail.trials
        for m in detail.metrics
        if m.trial == t.trial and m.metric == DECODE and t.verdict == "valid"
    }
    blocks = [b for b in range(5) if ("c-int8", b) in values]
    logs = [math.log((values["c-int8", b] or 0) / (values["c-float32", b] or 0)) for b in blocks]
    cell = row(comparison, "int8").cells[DECODE]
    assert cell.ratio == pytest.approx(math.exp(sum(logs) / len(logs)))
    assert cell.blocks == len(logs) == 4
    assert "simultaneous" in cell.method


def test_that_an_asked_baseline_wins_over_the_stored_one(detail: ExperimentDetail) -> None:
    stored = msgspec.structs.replace(detail, experiment=msgspec.structs.replace(detail.experiment, baseline="c-int8"))
    assert compare(stored).baseline == "c-int8"
    assert compare(stored, baseline="c-bfloat16").baseline == "c-bfloat16"
    assert compare(stored, baseline="c-gone").baseline == "c-int8"


def test_that_an_invalid_trial_is_shown_but_not_counted(detail: ExperimentDetail, comparison: Comparison) -> None:
    int8 = row(comparison, "int8")
    assert (int8.trials, int8.counted, int8.failed) == (5, 4, (Trouble(1, "invalid", "clock jump"),))
    assert len(int8.cells[DECODE].excluded) == 1
    assert int8.cells[DECODE].excluded[0] not in dict(int8.cells[DECODE].trial_values)
    notes = [n for n in comparison.footnotes if n.startswith("Invalid")]
    assert notes == ["Invalid, left out of the summaries: trial 18 (clock jump)."], "not the one that failed"
    asked = compare(detail, include_invalid=True)
    assert "Invalid, counted because you asked for it: trial 18 (clock jump)." in asked.footnotes
    unsaid = tuple(r for r in detail.reasons if r.trial != "t-018")
    untold = compare(msgspec.structs.replace(detail, reasons=unsaid))
    assert "Invalid, left out of the summaries: trial 18 (no reason stored)." in untold.footnotes
    included = row(asked, "int8")
    assert included.cells[DECODE].n == 5
    assert included.cells[DECODE].excluded == ()


def test_that_a_failed_trial_is_told_for_people(comparison: Comparison) -> None:
    float16 = row(comparison, "float16")
    assert (float16.trials, float16.counted, float16.failed) == (5, 4, (Trouble(1, "failed", "out of memory"),))


def test_that_deterministic_figures_have_no_interval_and_an_exact_ratio(comparison: Comparison) -> None:
    cell = row(comparison, "bfloat16").cells["tensor_bytes"]
    assert cell.interval is None
    assert cell.ratio_interval is None
    assert cell.ratio == pytest.approx(0.5)
    assert cell.word == "less"


def test_that_counted_figures_compare_from_one_trial() -> None:
    cell = row(compare(experiment_detail(1, fail=False)), "bfloat16").cells["tensor_bytes"]
    assert (cell.ratio, cell.word) == (0.5, "less")
    assert row(compare(experiment_detail(1, fail=False)), "bfloat16").cells[DECODE].word == ""


def test_that_one_block_has_values_but_no_verdict() -> None:
    found = compare(experiment_detail(1))
    cell = row(found, "bfloat16").cells[DECODE]
    assert cell.value is not None
    assert (cell.interval, cell.ratio_interval, cell.word) == (None, None, "")
    assert any("One block" in n for n in found.footnotes)


def test_that_the_margin_decides_about_equivalence() -> None:
    found = compare(experiment_detail(10, fail=False, disturb=False, between_sd=0.001), margin=0.1)
    assert row(found, "int8").cells[DECODE].word == "equivalent within 10 %"
    strict = compare(experiment_detail(10, fail=False, disturb=False, between_sd=0.001), margin=0.0001)
    assert row(strict, "int8").cells[DECODE].word != "equivalent within 0.01 %"


@pytest.mark.parametrize(("margin", "word"), [(0.03, "within 3 %"), (0.025, "within 2.5 %"), (0.9, "within 90 %")])
def test_that_the_word_names_the_margin(margin: float, word: str) -> None:
    interval = Interval(1.001, 1.002)
    assert _word(RatioEstimate(1.0015, interval, 3, False, ""), find(DECODE), margin) == (f"equivalent {word}", None)


@pytest.mark.parametrize(
    ("low", "high", "word", "good"),
    [
        (0.9, 1.0, "no difference shown", None),
        (1.0, 1.1, "no difference shown", None),
        (1.0000001, 1.1, "faster", True),
        (0.9, 0.9999999, "slower", False),
        (1 / 1.03, 1.03, "equivalent within 3 %", None),
        (1 / 1.03, 1.030001, "no difference shown", None),
        (1.0001, 1.030001, "faster", True),
    ],
)
def test_that_the_word_follows_the_interval_to_its_ends(low: float, high: float, word: str, good: bool | None) -> None:
    ratio = RatioEstimate((low * high) ** 0.5, Interval(low, high), 3, False, "")
    assert _word(ratio, find(DECODE), 0.03) == (word, good)


def test_that_ratios_without_error_are_the_same_or_differ_and_others_without_interval_say_nothing() -> None:
    def word(ratio: float, *, deterministic: bool) -> str:
        return _word(RatioEstimate(ratio, None, 2, deterministic, ""), find(DECODE), 0.03)[0]

    assert word(1.0, deterministic=True) == word(1 + 1e-10, deterministic=True) == "the same"
    assert word(1.01, deterministic=True) == "equivalent within 3 %"
    assert word(1.04, deterministic=True) == "faster"
    assert word(1.04, deterministic=False) == word(1.0, deterministic=False) == ""


def test_that_the_table_says_what_its_intervals_are_and_from_how_many_blocks_on() -> None:
    def told(blocks: int, configurations: int = 4) -> list[str]:
        detail = experiment_detail(blocks=blocks, fail=False, disturb=False)
        kept = detail.configurations[:configurations]
        wanted = {c.configuration for c in kept}
        trials = tuple(t for t in detail.trials if t.configuration in wanted)
        found = compare(msgspec.structs.replace(detail, configurations=kept, trials=trials))
        return [n for n in found.footnotes if n.startswith(("One block", "Intervals are"))]

    one = "One block: no intervals and no verdicts. Three blocks are the least that carry them."
    several = (
        "Intervals are 95 %. Ratios compare trials of the same block; their intervals hold for all configurations of a "
        "column together."
    )
    assert told(1) == [one]
    assert told(2) == told(5) == told(2, 2) == [several]
    assert told(1, 2) == [one]
    assert told(1, 1) == told(3, 1) == []
    waiting = tuple(msgspec.structs.replace(t, state="waiting") for t in experiment_detail(blocks=1).trials)
    nothing = compare(msgspec.structs.replace(experiment_detail(blocks=1), trials=waiting))
    assert not [n for n in nothing.footnotes if n.startswith(("One block", "Intervals are"))]


def test_that_a_missing_sensor_leaves_the_metric_out_with_its_reason(comparison: Comparison) -> None:
    assert comparison.unavailable["energy_per_token_joules"] == NO_POWER
    assert "energy_per_token_joules" not in comparison.metrics


def test_that_one_trial_without_power_lowers_n_only() -> None:
    found = compare(experiment_detail(gpu=True))
    assert row(found, "bfloat16").cells["energy_per_token_joules"].n == 4
    assert row(found, "float32").cells["energy_per_token_joules"].n == 5


def test_that_primary_metrics_come_first(comparison: Comparison) -> None:
    assert comparison.metrics[:4] == (DECODE, TTFT, "memory_mean_bytes", PERPLEXITY)


def test_that_labels_split_into_varying_and_constant(comparison: Comparison) -> None:
    assert comparison.varying == ("precision",)
    assert comparison.constant["prompt tokens"] == "128"
    assert comparison.constant["device"] == "CPU"


def test_that_the_origin_of_the_weights_is_a_footnote(comparison: Comparison) -> None:
    assert sum("dequantised from Q4_1" in n for n in comparison.footnotes) == 1


def test_that_perplexities_over_different_tokens_have_no_ratio(detail: ExperimentDetail) -> None:
    other = {t.trial for t in detail.trials if t.configuration == "c-int8"}
    moved = msgspec.structs.replace(
        detail,
        metrics=tuple(
            msgspec.structs.replace(m, scope="other tokens of the same text")
            if m.metric == PERPLEXITY and m.trial in other
            else m
            for m in detail.metrics
        ),
        evaluations=evaluated(detail, other, text_bytes=1_900),
    )
    found = compare(moved)
    cell = row(found, "int8").cells[PERPLEXITY]
    assert (cell.value, cell.ratio, cell.word) == (pytest.approx(22.9), None, "")
    assert row(found, "int8").cells["bits_per_byte"].ratio is not None
    note = next(n for n in found.footnotes if "compare bits per byte" in n)
    assert "stretches of 1,900 to 2,210 bytes" in note


def test_that_bits_per_byte_of_another_text_have_no_ratio_and_no_trade_off(detail: ExperimentDetail) -> None:
    other = {t.trial for t in detail.trials if t.configuration == "c-int8"}
    moved = msgspec.structs.replace(
        detail,
        metrics=tuple(
            msgspec.structs.replace(m, scope=f"another {m.scope}")
            if m.metric in (PERPLEXITY, "bits_per_byte") and m.trial in other
            else m
            for m in detail.metrics
        ),
    )
    found = compare(moved)
    cell = row(found, "int8").cells["bits_per_byte"]
    assert cell.value is not None
    assert (cell.ratio, cell.word) == (None, "")
    assert quality_metric(compare(detail)) == PERPLEXITY
    assert quality_metric(found) == ""
    assert all("other texts" in t.reason for t in trade_offs(found))


def test_that_trials_over_two_texts_are_not_averaged_and_the_newest_text_counts(detail: ExperimentDetail) -> None:
    old = changed(detail, PERPLEXITY, "c-int8", 2, scope="another text, begin token not recorded", value=80.0)
    found = compare(old)
    cell = row(found, "int8").cells[PERPLEXITY]
    assert (cell.value, cell.n) == (pytest.approx(22.9), row(compare(detail), "int8").cells[PERPLEXITY].n - 2)
    assert cell.word == "worse"
    assert not any("no begin token" in n for n in found.footnotes)


def test_that_quality_of_a_version_without_the_begin_token_compares_with_nothing_newer_and_says_so(
    detail: ExperimentDetail,
) -> None:
    scope = next(m.scope for m in detail.metrics if m.metric == "bits_per_byte" and m.value)
    moved = changed(detail, "bits_per_byte", "c-int8", 5, scope=f"{scope}, said in any words")
    mine = {t.trial for t in detail.trials if t.configuration == "c-int8"}
    old = compare(msgspec.structs.replace(moved, evaluations=evaluated(detail, mine, begin=None)))
    cell = row(old, "int8").cells["bits_per_byte"]
    assert cell.value is not None
    assert (cell.ratio, cell.word) == (None, "")
    (note,) = (n for n in old.footnotes if "no begin token" in n)
    assert "int8" in note
    assert "float32" not in note
    assert not any("no begin token" in n for n in compare(detail).footnotes)


def test_that_a_repeated_trial_of_a_block_counts_with_its_block(detail: ExperimentDetail) -> None:
    again = detail.trials[0]
    copy = msgspec.structs.replace(again, trial="t-again", number=99)
    rows = tuple(msgspec.structs.replace(m, trial="t-again") for m in detail.metrics if m.trial == again.trial)
    doubled = compare(msgspec.structs.replace(detail, trials=(*detail.trials, copy), metrics=(*detail.metrics, *rows)))
    plain = compare(detail)
    for before, after in zip(plain.rows, doubled.rows, strict=True):
        assert after.cells[DECODE].blocks == before.cells[DECODE].blocks or after.is_baseline
        assert after.cells[DECODE].ratio == pytest.approx(before.cells[DECODE].ratio)


def test_that_an_experiment_without_results_is_empty_not_broken(detail: ExperimentDetail) -> None:
    waiting = tuple(msgspec.structs.replace(t, state="waiting", outcome=None, verdict=None) for t in detail.trials)
    found = compare(msgspec.structs.replace(detail, trials=waiting, metrics=(), reasons=()))
    assert (found.metrics, found.baseline, found.unavailable) == ((), None, {})
    assert any("have not ended" in n for n in found.footnotes)


def test_that_metrics_of_a_newer_version_are_kept_but_not_judged(detail: ExperimentDetail) -> None:
    newer = tuple(
        msgspec.structs.replace(m, metric="from_the_future", unit="x") for m in detail.metrics if m.metric == DECODE
    )
    found = compare(msgspec.structs.replace(detail, metrics=(*detail.metrics, *newer)))
    cell = row(found, "int8").cells["from_the_future"]
    assert found.metrics[-1] == "from_the_future"
    assert (cell.unit, cell.word, cell.ratio) == ("x", "", None)


def test_that_of_several_formula_versions_the_registrys_counts(detail: ExperimentDetail) -> None:
    old = tuple(msgspec.structs.replace(m, version=0, value=1.0) for m in detail.metrics if m.metric == DECODE)
    assert compare(msgspec.structs.replace(detail, metrics=(*old, *detail.metrics))) == compare(detail)


def evaluated(detail: ExperimentDetail, trials: set[str], **values: object) -> dict[str, tuple[str, ...]]:
    """The records of quality, those of some trials changed."""
    found = dict(detail.evaluations)
    for trial in trials:
        known = [read_record(line) for line in found[trial]]
        found[trial] = tuple(
            encode_record(msgspec.structs.replace(record, **values)).decode() for record in known if record is not None
        )
    return found


def changed(
    detail: ExperimentDetail, metric: str, configuration: str, trials: int, **values: object
) -> ExperimentDetail:
    """The same experiment, one metric of the first so many trials of a configuration changed."""
    mine = [t.trial for t in detail.trials if t.configuration == configuration][:trials]
    return msgspec.structs.replace(
        detail,
        metrics=tuple(
            msgspec.structs.replace(m, **values) if m.metric == metric and m.trial in mine else m
            for m in detail.metrics
        ),
    )


def test_that_figures_of_two_formulas_are_not_averaged_nor_compared(detail: ExperimentDetail) -> None:
    mixed = row(compare(changed(detail, DECODE, "c-bfloat16", 2, version=7, value=1.0)), "bfloat16").cells[DECODE]
    assert (mixed.n, mixed.formula) == (3, 1)
    assert min(v for _, v in mixed.trial_values) > 1.0
    found = compare(changed(detail, DECODE, "c-bfloat16", 5, version=7))
    cell = row(found, "bfloat16").cells[DECODE]
    assert (cell.n, cell.ratio, cell.word) == (5, None, "")
    note = next(n for n in found.footnotes if "other formulas" in n)
    assert "Decode throughput (formula 7, here 1)" in note
    assert "recompute" in note
    assert not any("other formulas" in n for n in compare(detail).footnotes)


def test_that_the_table_says_how_many_trials_carry_a_warning_and_of_what_kind(detail: ExperimentDetail) -> None:
    assert not any("warning" in n for n in compare(detail).footnotes)
    warned = [t.trial for t in detail.trials if t.verdict == "valid"][:3]
    said = [("busy_machine", t) for t in warned] + [("busy_machine", warned[0]), ("throttled", warned[0])]
    reasons = tuple(ReasonRow(trial=t, code=code, severity="warning", message="So.") for code, t in said)
    trials = tuple(msgspec.structs.replace(t, verdict="warning") if t.trial in warned else t for t in detail.trials)
    found = compare(msgspec.structs.replace(detail, trials=trials, reasons=(*detail.reasons, *reasons)))
    assert found.footnotes[0] == "3 of 20 trials carry a warning: busy machine (3), throttled (1)."


def test_that_no_two_ways_of_making_a_value_differ_in_figures_alone() -> None:
    """Else trials made in different ways would be told as one."""
    ways: dict[str, set[str]] = {}
    for file in Path(metrics.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
                ways.setdefault(_FIGURES.sub("0", node.value), set()).add(node.value)
    assert any(re.search(r"\d", way) for way in ways), "some do state figures"
    assert [told for told in ways.values() if len(told) > 1] == []


def test_that_each_way_a_value_was_made_is_told_with_its_trials(detail: ExperimentDetail) -> None:
    plain = row(compare(detail), "float32").cells[DECODE].method
    assert "trials stamps" not in plain
    other = changed(detail, DECODE, "c-float32", 2, method="guessed from 17 tokens")
    assert row(compare(other), "float32").cells[DECODE].method.startswith("in 3 of 5 trials stamps of the")
    assert "in 2 of 5 trials guessed from 17 tokens" in row(compare(other), "float32").cells[DECODE].method
    figures = changed(detail, DECODE, "c-float32", 5, method="guessed from 17 tokens")
    figures = changed(figures, DECODE, "c-float32", 2, method="guessed from 1,018.5 tokens")
    assert row(compare(figures), "float32").cells[DECODE].method.startswith("guessed from 17 tokens; geometric")


def test_that_no_ratio_stands_between_a_processor_and_a_gpu_where_they_measure_different_things(
    detail: ExperimentDetail,
) -> None:
    trials = tuple(
        msgspec.structs.replace(t, device="cuda:GPU-1") if t.configuration == "c-bfloat16" else t for t in detail.trials
    )
    found = row(compare(msgspec.structs.replace(detail, trials=trials)), "bfloat16")
    for id in ("memory_mean_bytes", "utilisation_ratio"):
        assert found.cells[id].value is not None
        assert (found.cells[id].ratio, found.cells[id].word) == (None, "")
    assert found.cells[DECODE].word == "faster"


def test_that_a_broken_stored_order_costs_labels_only(detail: ExperimentDetail) -> None:
    broken = tuple(msgspec.structs.replace(c, resolved="{") for c in detail.configurations)
    odd = (msgspec.structs.replace(broken[0], resolved=json.dumps({"techniques": [1], "workload": 3})), *broken[1:])
    found = compare(msgspec.structs.replace(detail, configurations=odd))
    assert [r.cells[DECODE].value for r in found.rows] == [r.cells[DECODE].value for r in compare(detail).rows]


def test_that_the_machine_is_a_factor_like_any_other(detail: ExperimentDetail) -> None:
    first, second = detail.configurations[:2]
    same = msgspec.structs.replace(
        second, resolved=first.resolved, configuration=f"{first.configuration}@lab", position=second.position
    )
    trials = tuple(
        msgspec.structs.replace(t, machine="lab", configuration=same.configuration)
        if t.configuration == second.configuration
        else t
        for t in detail.trials
        if t.configuration in (first.configuration, second.configuration)
    )
    metrics = tuple(m for m in detail.metrics if m.trial in {t.trial for t in trials})
    both = msgspec.structs.replace(detail, configurations=(first, same), trials=trials, metrics=metrics)
    found = compare(both)
    assert found.varying == ("machine",)
    assert [short_title(r.labels, found.varying, r.title) for r in found.rows] == ["this computer", "lab"]
    named = compare(both, titles={"lab": "GPU box", "this": "This computer"})
    assert [r.labels["machine"] for r in named.rows] == ["this computer", "GPU box"]
