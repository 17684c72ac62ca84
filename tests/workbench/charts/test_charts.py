"""Charts as data: what stands in them, and what they say when there is nothing to draw."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from engines.protocol.records import Telemetry
from tests.workbench.synthetic import NO_POWER, FakeTrial, records
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.charts.series import Phase, TrialData
from workbench.charts.stored import bar_chart, scatter_chart
from workbench.charts.trial import phase_bands, trial_charts
from workbench.comparison.comparison import compare
from workbench.comparison.results import Comparison

DECODE = "decode_tokens_per_second"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(experiment_detail())


def trial(fake: FakeTrial) -> TrialData:
    data = TrialData(trial=fake.trial, title=f"SmolLM2 · {fake.precision}", color=2)
    for record in records(fake):
        data.take(record)
    return data


def test_that_bars_carry_values_intervals_colours_and_the_baseline(comparison: Comparison) -> None:
    chart = bar_chart(comparison, "time_to_first_token_s")
    assert chart.id == "bars:time_to_first_token_s"
    assert chart.x.unit == "ms"
    assert chart.y.categories == ("float32", "bfloat16", "int8", "float16")
    for place, (series, row) in enumerate(zip(chart.series, comparison.rows, strict=True)):
        cell = row.cells["time_to_first_token_s"]
        assert cell.value is not None
        assert cell.interval is not None
        assert series.style == "bars"
        assert (series.key, series.color, series.y[0]) == (row.configuration, row.color, place)
        assert series.x[0] == pytest.approx(1000 * cell.value)
        assert series.x_high is not None
        assert series.x_low[0] == pytest.approx(1000 * cell.interval.low)
        assert series.x_high[0] == pytest.approx(1000 * cell.interval.high)
    assert [(r.orientation, r.title) for r in chart.references] == [("vertical", "baseline")]
    assert chart.references[0].value == chart.series[0].x[0]
    assert "lower is better" in chart.x.label
    assert chart.empty == ""


def test_that_hidden_configurations_are_left_out_and_counted(comparison: Comparison) -> None:
    chart = bar_chart(comparison, DECODE, hidden=frozenset({"c-int8"}))
    assert chart.y.categories == ("float32", "bfloat16", "float16")
    assert "1 hidden" in chart.subtitle
    everything = frozenset(r.configuration for r in comparison.rows)
    assert bar_chart(comparison, DECODE, everything).empty == "Every configuration is hidden."


def test_that_an_unavailable_metric_says_why_instead_of_drawing(comparison: Comparison) -> None:
    chart = bar_chart(comparison, "energy_per_token_joules")
    assert chart.empty == f"Not available: {NO_POWER}"
    assert scatter_chart(comparison, DECODE, "energy_per_token_joules").empty.endswith(NO_POWER)


def test_that_values_which_would_read_the_same_get_a_fourth_digit(comparison: Comparison) -> None:
    labels = [s.labels[0] for s in bar_chart(comparison, "perplexity").series]
    assert labels == ["21.40", "21.44", "22.90", "21.41"]


def test_that_notes_name_interval_exclusions_and_origin(comparison: Comparison) -> None:
    notes = " ".join(bar_chart(comparison, "perplexity").notes)
    assert "The same value in every trial" in notes
    assert "1 invalid trial left out." in notes
    assert "dequantised from Q4_1" in notes
    assert "95 % t interval" in " ".join(bar_chart(comparison, DECODE).notes)


def test_that_a_chart_tells_itself_to_a_screen_reader(comparison: Comparison) -> None:
    summary = bar_chart(comparison, DECODE).summary
    assert summary.startswith("Decode throughput: float32 20.1 tokens/s, bfloat16 26.6 tokens/s")
    assert "bfloat16 faster, 1.32× [1.22, 1.43]" in summary


def test_that_provenance_names_experiment_trials_and_configurations(comparison: Comparison) -> None:
    text = bar_chart(comparison, DECODE).provenance
    assert "precision of SmolLM2 (e-fake)" in text
    assert "18 trials" in text
    assert "c-float32" in text


def test_that_a_scatter_has_both_intervals_and_names_what_it_cannot_draw() -> None:
    five = scatter_chart(compare(experiment_detail()), DECODE, "memory_mean_bytes")
    assert len(five.series) == 4
    for series in five.series:
        assert series.y_high is not None
        assert series.x_low[0] < series.x[0]
        assert series.y_high[0] > series.y[0]


def test_that_a_configuration_without_one_figure_is_named_in_the_notes() -> None:
    detail = experiment_detail()
    lost = {t.trial for t in detail.trials if t.configuration == "c-int8"}
    metrics = tuple(m for m in detail.metrics if not (m.trial in lost and m.metric == "perplexity"))
    chart = scatter_chart(compare(msgspec.structs.replace(detail, metrics=metrics)), DECODE, "perplexity")
    assert len(chart.series) == 3
    assert "Not drawn, without both figures: int8." in chart.notes


def test_that_an_experiment_without_results_has_an_empty_state() -> None:
    detail = experiment_detail(1)
    waiting = tuple(msgspec.structs.replace(t, state="waiting", outcome=None, verdict=None) for t in detail.trials)
    nothing = compare(msgspec.structs.replace(detail, trials=waiting, metrics=(), reasons=()))
    assert bar_chart(nothing, DECODE).empty == "No trial has results yet."
    assert scatter_chart(nothing, DECODE, "perplexity").empty == "No trial has results yet."


def test_that_a_trials_curves_are_in_shown_units_over_its_phases() -> None:
    throughput, memory, power, utilisation, *_ = trial_charts(trial(FakeTrial(device="gpu")))
    assert {s.style for s in memory.series} == {"steps"}
    assert {s.style for s in utilisation.series} == {"line"}
    assert 20 < float(np.nanmean(throughput.series[0].y)) < 28
    assert np.isnan(throughput.series[0].y).any(), "nothing is generated between two requests"
    assert [s.title for s in memory.series] == ["Device", "Device, own", "Process PSS", "Process RSS"]
    assert 0.5 < float(memory.series[2].y.max()) < 1.5
    assert memory.y.unit == "GiB"
    assert float(power.series[0].y.max()) == pytest.approx(310, abs=15)
    assert utilisation.y.unit == "%"
    assert [s.color for s in memory.series] == [2, -1, -2, -3]
    assert {b.phase for b in throughput.bands} >= {"load", "warmup", "prefill", "decode", "evaluate"}


def readings(times: list[float], values: list[float | None], quantity: str = "rss_bytes") -> TrialData:
    data = TrialData(trial="t-1", title="SmolLM2 · float32")
    nanoseconds = [round(1e9 * t) for t in times]
    data.take(Telemetry(source="proc.tree", times_ns=nanoseconds, columns={quantity: values}))
    return data


@pytest.mark.parametrize(("quantity", "place"), [("rss_bytes", 1), ("cpu_utilisation_ratio", 3)])
def test_that_a_curve_is_broken_where_a_reading_failed(quantity: str, place: int) -> None:
    chart = trial_charts(readings([0, 1, 2, 3, 4], [1.0, 1.0, None, 2.0, 1.0], quantity))[place]
    (series,) = chart.series
    assert list(np.isnan(series.y)) == [False, False, True, False, False]
    assert list(series.x) == [0, 1, 2, 3, 4]
    assert "A curve is broken where nothing was read." in chart.notes
    assert "nan" not in chart.summary.lower()


def test_that_a_curve_is_broken_where_the_sensor_was_silent() -> None:
    times = [*range(8), *range(30, 38)]
    chart = trial_charts(readings([float(t) for t in times], [1024.0**3] * 16))[1]
    (series,) = chart.series
    (gap,) = np.flatnonzero(np.isnan(series.y))
    # the last reading holds for one period, and nothing is drawn until the next
    assert (series.x[gap - 1], series.y[gap - 1]) == (8, 1.0)
    assert (series.x[gap], series.x[gap + 1], series.y[gap + 1]) == (8, 30, 1.0)


def test_that_an_unbroken_curve_has_no_note_about_gaps_and_tokens_have_none() -> None:
    throughput, memory, *_ = trial_charts(trial(FakeTrial()))
    assert throughput.notes == memory.notes == ()


def test_that_a_sensor_that_never_answered_has_no_curve() -> None:
    assert trial_charts(readings([0, 1, 2], [None, None, None]))[1].series == ()


def test_that_a_missing_sensor_and_a_failed_trial_say_so_in_their_charts() -> None:
    _, _, power, _ = trial_charts(trial(FakeTrial()))
    assert power.empty == f"Power: not available. {NO_POWER}"
    throughput = trial_charts(trial(FakeTrial(outcome="failed")))[0]
    assert throughput.empty == "The trial failed before it generated a token."


def test_that_bands_never_overlap_and_the_measurement_shows_its_parts() -> None:
    phases = [
        Phase("load", 0, 0.0, 1.0),
        Phase("warmup", 0, 1.0, 3.0),
        Phase("prefill", 0, 1.0, 1.2),
        Phase("measure", 0, 3.0, 5.0),
        Phase("prefill", 0, 3.0, 3.5),
        Phase("decode", 0, 3.5, 5.0),
        Phase("evaluate", 0, 5.0, None),
    ]
    bands = phase_bands(phases, 6.0)
    assert [(b.phase, b.start, b.end) for b in bands] == [
        ("load", 0.0, 1.0),
        ("warmup", 1.0, 3.0),
        ("prefill", 3.0, 3.5),
        ("decode", 3.5, 5.0),
        ("evaluate", 5.0, 6.0),
    ]
