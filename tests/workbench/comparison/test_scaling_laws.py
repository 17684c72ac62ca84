"""Scaling laws over stored pretraining trials: which runs make one, what is said of it, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from benchmarks.statistics_curves import TRUE, grid
from tests.workbench.synthetic_lengths import lengths_detail
from workbench.charts.scaling import scaling_chart
from workbench.cli.scaling import as_json, show
from workbench.comparison.scaling import constants, optimum_words, scaling_of, sentences
from workbench.metrics.registry import metric
from workbench.statistics.power_law import Refusal
from workbench.statistics.scaling import Run, Scaling
from workbench.store.operations import ConfigurationRow, ExperimentDetail, MetricRow, TrialRow


def pretrained(
    runs: list[Run], *, technique: str = "", text: Callable[[int], str] = lambda _: "100 tokens of a text"
) -> ExperimentDetail:
    """One trial for each run; `text` is what the run of a number was judged on."""
    empty = lengths_detail({})
    configurations, trials, metrics = list[ConfigurationRow](), list[TrialRow](), list[MetricRow]()
    for n, run in enumerate(runs):
        order = {
            "model": {"kind": "random", "title": f"shape {n}", "path": ""},
            "techniques": [{"id": technique}] if technique else [],
            "workload": {"kind": "pretraining"},
            "device": "cpu",
        }
        configurations.append(
            ConfigurationRow(
                configuration=f"c{n}", experiment="e", title=f"{n}", color=0, position=n, model=f"shape {n}",
                resolved=json.dumps(order),
            )
        )  # fmt: skip
        trials.append(
            TrialRow(
                trial=f"t{n}", number=n + 1, experiment="e", experiment_name="laws", configuration=f"c{n}", title="",
                color=0, block=0, position=n, machine="this", device="cpu", state="ended", outcome="completed",
                failure=None, message=None, advice=None, verdict="valid", last_seq=1, submitted_at="", started_at="",
                ended_at="", duration_s=1.0,
            )
        )  # fmt: skip
        for id, value in (
            ("test_loss", run.loss),
            ("trained_parameters", run.parameters),
            ("trained_tokens", run.tokens),
        ):
            metrics.append(
                MetricRow(
                    trial=f"t{n}", metric=id, version=metric(id).version, value=value, unit=metric(id).unit,
                    method="made up", scope=text(n) if id == "test_loss" else "", n=1, reason="",
                )
            )  # fmt: skip
    return msgspec.structs.replace(
        empty, configurations=tuple(configurations), trials=tuple(trials), metrics=tuple(metrics)
    )


RUNS = grid(np.random.default_rng(2), sizes=4, lengths=4)


def test_that_a_law_is_fitted_over_several_experiments_with_an_interval_for_every_constant() -> None:
    (group,) = scaling_of([pretrained(RUNS[:8]), pretrained(RUNS[8:])], resamples=30)
    assert isinstance(group.found, Scaling)
    assert len(group.found.runs) == 16
    rows = constants(group.found)
    assert [row[0] for row in rows] == ["E", "A", "B", "alpha", "beta", "share"]
    assert all(row[2].startswith("[") for row in rows)
    said = " ".join(sentences(group))
    assert "test loss of 16 runs" in said
    assert "bootstrap" in said
    middle = optimum_words(group.found, 1e15)
    assert middle.count("[") == 3, "an interval beside every figure"
    assert abs(group.found.law.optimum(1e15) / TRUE.optimum(1e15) - 1) < 0.5
    assert "more than 100 times outside" in optimum_words(group.found, 1e25)


def test_that_the_command_prints_a_table_with_intervals_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    groups = scaling_of([pretrained(RUNS), pretrained(RUNS[:4], technique="attention.unknown")], resamples=20)
    for group in groups:
        show(group, None)
    said = capsys.readouterr().out
    assert said.count("FLOPs: ") == 2, "optimal at the smallest and at the largest compute"
    assert "95 % interval" in said
    assert "takes 9 runs or more" in said
    fitted, refused = (json.loads(json.dumps(as_json(group))) for group in groups)
    assert fitted["constants"]["alpha"]["low"] < fitted["constants"]["alpha"]["high"]
    assert len(fitted["runs"]) == 16
    assert "9 runs" in refused["refused"]


def test_that_each_architecture_has_its_own_law_and_few_runs_have_none() -> None:
    groups = scaling_of([pretrained(RUNS), pretrained(RUNS[:4], technique="attention.unknown")], resamples=5)
    assert [type(g.found) for g in groups] == [Scaling, Refusal]
    assert "takes 9 runs or more" in sentences(groups[1])[0]


def test_that_losses_on_different_text_make_no_law() -> None:
    (group,) = scaling_of([pretrained(RUNS, text=lambda n: f"text {n % 2}")])
    assert isinstance(group.found, Refusal)
    assert "different held-out text" in group.found.reason


def test_that_trials_that_did_not_complete_are_no_runs() -> None:
    detail = pretrained(RUNS)
    stopped = tuple(msgspec.structs.replace(t, outcome="stopped") if t.trial == "t3" else t for t in detail.trials)
    (group,) = scaling_of([msgspec.structs.replace(detail, trials=stopped)], resamples=5)
    assert "t3" not in group.trials
    assert len(group.trials) == 15


def test_that_other_work_has_no_law() -> None:
    assert scaling_of([lengths_detail({"GQA": {"cache_bytes": float}})]) == ()
    assert scaling_chart([]).empty == "Nothing was pretrained here."


def test_that_the_chart_has_the_runs_and_the_optimal_line_within_them() -> None:
    groups = scaling_of([pretrained(RUNS)], resamples=30)
    chart = scaling_chart(groups)
    runs, line = chart.series
    assert len(runs.x) == 16
    assert line.y_low is not None
    assert line.y_high is not None
    assert bool(np.all(line.y_low <= line.y_high))
    assert min(runs.x) * 0.999 <= min(line.x)
    assert max(line.x) <= max(runs.x) * 1.001
    assert (chart.x.log, chart.y.log) == (True, True)
