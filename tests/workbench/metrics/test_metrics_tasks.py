"""Accuracy on tasks: scores with their error, nearness to chance, and what a comparison makes of them."""

from __future__ import annotations

import json
import math

import msgspec
import pytest

from engines.protocol.codec import encode_record
from engines.protocol.records import Cue, Record, TaskScore
from tests.workbench.synthetic import FakeTrial, records
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare, worth_listing
from workbench.comparison.results import Comparison
from workbench.export.tables import cell_lines, comparison_json
from workbench.metrics.evaluate import evaluate_trial
from workbench.metrics.registry import METRICS, find
from workbench.metrics.tasks import TOLD_FROM_CHANCE, accuracy_id, metric_of, sampling_error, standing
from workbench.store.operations import MetricRow, ReasonRow


def score(
    task: str, share: float, samples: int = 100, chance: float | None = 0.25, begin: str | None = ""
) -> TaskScore:
    stderr = math.sqrt(share * (1 - share) / max(1, samples - 1))
    return TaskScore(
        task=task,
        measure="acc",
        score=share,
        samples=samples,
        stderr=stderr,
        chance=chance,
        data_name="d",
        data_hash="h",
        begin=begin,
    )


def rows(*said: Record) -> dict[str, MetricRow]:
    found, _, _ = evaluate_trial("t", (*records(FakeTrial()), *said))
    return {row.metric: row for row in found}


def test_that_a_score_carries_questions_error_and_scope() -> None:
    row = rows(score("hellaswag-sample", 0.6))["accuracy_hellaswag_sample_ratio"]
    assert (row.value, row.n, row.unit) == (0.6, 100, "ratio")
    assert "standard error 4.9 %" in row.method
    assert "near chance" not in row.method
    assert row.scope == "100 questions of hellaswag-sample (h), acc, 0 examples"
    begun = rows(score("hellaswag-sample", 0.6, begin="<bos> (2)"))["accuracy_hellaswag_sample_ratio"]
    assert begun.scope == row.scope
    assert "begin token <bos> (2)" in begun.method
    old = rows(score("hellaswag-sample", 0.6, begin=None))["accuracy_hellaswag_sample_ratio"]
    assert old.scope == f"{row.scope}, begin token not recorded"


@pytest.mark.parametrize(
    ("share", "samples", "chance", "near"),
    [
        (0.30, 100, 0.25, True),
        (0.40, 100, 0.25, False),
        (0.0, 95, 0.0, True),
        (0.2, 95, 0.0, False),
        (0.1, 100, 0.25, True),
        (1.0, 3, 0.25, False),
        (0.5, 4, 0.25, True),
    ],
)
def test_that_nearness_to_chance_is_marked(share: float, samples: int, chance: float, near: bool) -> None:
    said = score("hellaswag-sample", share, samples, chance)
    row = rows(said)["accuracy_hellaswag_sample_ratio"]
    assert ("near chance" in row.method) is near
    errors = rows(said)["accuracy_above_chance_errors"].value
    assert errors is not None
    assert (errors < TOLD_FROM_CHANCE) is near
    assert errors == pytest.approx((share - chance) / sampling_error(said))


def test_that_the_mean_counts_tasks_alike_and_a_later_score_replaces_an_earlier_one() -> None:
    found = rows(score("gsm8k-sample", 0.9), score("gsm8k-sample", 0.1, 50), score("lm-eval:arc_easy", 0.5, 10, None))
    assert found["accuracy_mean_ratio"].value == pytest.approx(0.3)
    assert found["accuracy_mean_ratio"].n == 60
    assert found["accuracy:lm-eval:arc_easy"].value == 0.5
    assert found["accuracy_above_chance_errors"].n == 50


def test_that_a_score_has_its_error_to_every_digit_and_its_nearness_to_chance() -> None:
    clear, near = score("hellaswag-sample", 0.6), score("hellaswag-sample", 0.3)
    for said, mark in ((clear, ""), (near, "near chance")):
        assert standing("accuracy_hellaswag_sample_ratio", [said]) == (said.stderr, mark)
        assert standing("accuracy_mean_ratio", [said]) == (sampling_error(said), mark)
    both = standing("accuracy_mean_ratio", [clear, score("gsm8k-sample", 0.5)])
    assert both[0] == pytest.approx(math.hypot(sampling_error(clear), sampling_error(score("x", 0.5))) / 2)
    assert standing("accuracy_mean_ratio", []) == (None, "")
    assert standing("accuracy_above_chance_errors", [near]) == (None, "")
    assert standing("accuracy_mean_ratio", [score("lm-eval:x", 0.01, chance=None)])[1] == ""  # chance is not known


def scored(wording: str = "") -> Comparison:
    """A comparison whose configurations have scores; `wording` replaces what their figures' methods say."""
    detail = experiment_detail(1)
    said = {"c-float32": score("hellaswag-sample", 0.6), "c-int8": score("hellaswag-sample", 0.3)}
    trials = {t.trial: said[t.configuration] for t in detail.trials if t.configuration in said}
    metrics = [m for m in detail.metrics if not (m.trial in trials and m.metric == "accuracy_hellaswag_sample_ratio")]
    for trial, one in trials.items():
        made = rows(one)["accuracy_hellaswag_sample_ratio"]
        metrics.append(msgspec.structs.replace(made, trial=trial, method=wording or made.method))
    lines = {trial: (encode_record(one).decode(),) for trial, one in trials.items()}
    return compare(msgspec.structs.replace(detail, metrics=tuple(metrics), evaluations=lines), baseline="c-float32")


@pytest.mark.parametrize("wording", ["", "said otherwise; standard error 7.7 %, near chance; ratio from nothing"])
def test_that_a_table_shows_the_error_beside_a_score_and_near_chance_whatever_the_wording(wording: str) -> None:
    cells = {row.configuration: row.cells["accuracy_hellaswag_sample_ratio"] for row in scored(wording).rows}
    assert cell_lines(cells["c-float32"], "%") == ("60.00 ± 4.9", "baseline")
    assert cell_lines(cells["c-int8"], "%") == ("30.00 ± 4.6", "near chance")
    exported = json.loads(json.dumps(comparison_json(scored(wording))))["configurations"]
    figures = {c["configuration"]: c["metrics"]["accuracy_hellaswag_sample_ratio"] for c in exported}
    assert figures["c-float32"]["error"] == math.sqrt(0.6 * 0.4 / 99)
    assert (figures["c-float32"]["mark"], figures["c-int8"]["mark"]) == ("", "near chance")


def test_that_tasks_nobody_asked_for_are_not_told_as_missing_but_failed_ones_are() -> None:
    metric = find("accuracy_mean_ratio")
    assert metric.primary
    detail = experiment_detail(1)
    assert not worth_listing(metric, compare(detail))
    failed = ReasonRow(trial=detail.trials[0].trial, code="task_failed", severity="warning", message="No questions.")
    assert worth_listing(metric, compare(msgspec.structs.replace(detail, reasons=(*detail.reasons, failed))))
    unmeasured = find("decode_tokens_per_second")
    assert unmeasured is not None
    assert worth_listing(unmeasured, compare(detail))


def test_that_a_task_of_the_harness_is_a_metric_by_its_name() -> None:
    metric = find("accuracy:lm-eval:arc_easy")
    assert (metric.better, metric.group, metric.same_scope) == ("higher", "quality", True)
    assert metric_of("decode_tokens_per_second") is None
    assert metric_of("accuracy:") is None
    assert find("accuracy:") is None
    assert accuracy_id("gsm8k-sample") in {m.id for m in METRICS}


def test_that_what_was_not_asked_or_failed_has_a_reason() -> None:
    missing = rows()["accuracy_gsm8k_sample_ratio"]
    assert missing.value is None
    assert "first block only" in missing.reason
    failed = rows(Cue(code="task_failed", text="The questions are not on this machine."))
    assert failed["accuracy_mean_ratio"].reason == "The questions are not on this machine."
    unknown = rows(score("lm-eval:x", 0.5, chance=None))["accuracy_above_chance_errors"]
    assert unknown.reason == "What guessing gets is not known for any of the tasks."


@pytest.mark.parametrize(("share", "samples"), [(float("nan"), 10), (1.2, 10), (0.5, 0), (-0.1, 10)])
def test_that_a_broken_score_is_none(share: float, samples: int) -> None:
    broken = TaskScore(task="gsm8k-sample", measure="m", score=share, samples=samples, data_name="d")
    assert rows(broken)["accuracy_mean_ratio"].value is None


def test_that_a_failed_task_is_a_warning_and_the_figures_stand() -> None:
    found, reasons, verdict = evaluate_trial("t", (*records(FakeTrial()), Cue(code="task_failed", text="No.")))
    assert verdict == "warning"
    assert ("task_failed", "warning") in {(r.code, r.severity) for r in reasons}
    assert next(r for r in found if r.metric == "decode_tokens_per_second").value is not None
