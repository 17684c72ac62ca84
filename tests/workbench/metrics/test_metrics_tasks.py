"""Accuracy on tasks: scores with their error, nearness to chance, and what a comparison makes of them."""

from __future__ import annotations

import math

import msgspec
import pytest

from engines.protocol.records import Cue, Record, TaskScore
from tests.workbench.synthetic import FakeTrial, records
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.comparison.comparison import compare, worth_telling
from workbench.export.tables import cell_lines
from workbench.metrics.evaluate import evaluate_trial
from workbench.metrics.registry import METRICS, find
from workbench.metrics.tasks import TOLD_FROM_CHANCE, accuracy_id, metric_of, sampling_error, told_of
from workbench.store.operations import MetricRow


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


def test_that_a_stored_method_tells_its_error_and_its_nearness_to_chance() -> None:
    clear, near = score("hellaswag-sample", 0.6), score("hellaswag-sample", 0.3)
    for said, mark in ((clear, ""), (near, "near chance")):
        found = rows(said)
        assert said.stderr is not None
        error, told = told_of(found["accuracy_hellaswag_sample_ratio"].method)
        assert error == pytest.approx(said.stderr, abs=0.0005)
        assert told == mark
        error, told = told_of(found["accuracy_mean_ratio"].method)
        assert error == pytest.approx(sampling_error(said), abs=0.0005)
        assert told == mark
    assert told_of("exact_match, 5 examples") == (None, "")
    assert told_of(rows(near)["accuracy_above_chance_errors"].method) == (None, "")
    unknown = rows(score("lm-eval:x", 0.01, chance=None))["accuracy_mean_ratio"]
    assert told_of(unknown.method)[1] == ""  # what guessing gets is not known


def test_that_a_table_shows_the_error_beside_a_score_and_near_chance_in_place_of_a_ratio() -> None:
    detail = experiment_detail(1)
    scores = {"c-float32": 0.6, "c-int8": 0.3}
    trials = {t.trial: t.configuration for t in detail.trials}
    made = {
        name: rows(score("hellaswag-sample", share))["accuracy_hellaswag_sample_ratio"]
        for name, share in scores.items()
    }
    metrics = tuple(
        msgspec.structs.replace(made[trials[m.trial]], trial=m.trial)
        if m.metric == "accuracy_hellaswag_sample_ratio" and trials[m.trial] in made
        else m
        for m in detail.metrics
    )
    comparison = compare(msgspec.structs.replace(detail, metrics=metrics), baseline="c-float32")
    cells = {row.configuration: row.cells["accuracy_hellaswag_sample_ratio"] for row in comparison.rows}
    assert cell_lines(cells["c-float32"], "%") == ("60.00 ± 4.9", "baseline")
    assert cell_lines(cells["c-int8"], "%") == ("30.00 ± 4.6", "near chance")


def test_that_tasks_nobody_asked_for_are_not_told_as_missing_but_failed_ones_are() -> None:
    metric = find("accuracy_mean_ratio")
    assert metric is not None
    assert metric.primary
    assert not worth_telling(metric, rows()["accuracy_mean_ratio"].reason)
    failed = rows(Cue(code="task_failed", text="The questions are not on this machine."))
    assert worth_telling(metric, failed["accuracy_mean_ratio"].reason)


def test_that_a_task_of_the_harness_is_a_metric_by_its_name() -> None:
    metric = find("accuracy:lm-eval:arc_easy")
    assert metric is not None
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
