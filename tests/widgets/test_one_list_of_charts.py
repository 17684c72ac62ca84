"""The window and an export draw one trial's charts alike: the same titles, units, colours and values."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from engines.protocol.records import ClockPair, Telemetry, TrialStarted
from tests.workbench.synthetic import FakeTrial, records
from widgets.charts.stack import ChartStack
from widgets.theme.theme import Theme
from workbench.charts import curves
from workbench.charts.channel import Channel
from workbench.charts.curves import STEP, ChartKind, CurveKind, charts_of
from workbench.charts.series import TrialData
from workbench.charts.trial import trial_charts


def trial(*, device: str = "cpu", threads: int = 2) -> TrialData:
    data = TrialData(trial="t-1", title="SmolLM2 · float32", color=2)
    for record in records(FakeTrial(device=device, threads=threads)):
        data.take(record)
    return data


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_that_the_window_and_an_export_show_the_same(qtbot: QtBot, theme: Theme, device: str) -> None:
    data = trial(device=device)
    stack = ChartStack(theme)
    qtbot.addWidget(stack)
    stack.set_trial(data)
    exported = [chart for chart in trial_charts(data) if not chart.empty]
    assert [(c.title, c.y.unit) for c in exported] == [(p.chart.kind.title, p.chart.kind.unit) for p in stack.plots]
    for chart, plot in zip(exported, stack.plots, strict=True):
        assert [s.title for s in chart.series] == [s.title for s in plot.series]
        assert [s.color for s in chart.series] == [data.color, -1, -2, -3][: len(chart.series)]
        for series, curve in zip(chart.series, plot.series, strict=True):
            seen = np.isfinite(series.y)
            places = np.searchsorted(series.x[seen], curve.channel.times, side="right") - 1
            good = (places >= 0) & np.isfinite(curve.channel.values)
            at_once = series.x[seen][places[good]] == curve.channel.times[good]
            assert at_once.any()
            np.testing.assert_allclose(series.y[seen][places[good]][at_once], curve.y[good][at_once])


@pytest.mark.parametrize(("threads", "percent", "title"), [(0, 180, "Worker CPU, one core"), (2, 90, "Worker CPU")])
def test_that_a_workers_processor_use_is_in_percent_of_its_threads(threads: int, percent: float, title: str) -> None:
    data = TrialData(trial="t-1", title="SmolLM2 · float32")
    data.take(TrialStarted(clock=ClockPair(wall_ns=0, mono_ns=0), worker_pid=1, threads=threads))
    data.take(Telemetry(source="proc.tree", times_ns=[0, 10**9], columns={"cpu_utilisation_ratio": [1.8, 1.8]}))
    (series,) = next(c for c in trial_charts(data) if c.title == "Utilisation").series
    assert series.title == title
    assert list(series.y) == pytest.approx([percent, percent])


def test_that_a_curve_over_steps_has_its_own_places_and_label(monkeypatch: pytest.MonkeyPatch) -> None:
    data = TrialData(trial="t-1", title="SmolLM2 · LoRA")
    loss = ChartKind("loss", "Loss", "nat", "nat", (CurveKind("loss", "Training"),), x="step", optional=True)
    monkeypatch.setattr(curves, "CHARTS", (loss,))
    data.channels["loss"] = Channel("loss", "Loss", "nat")
    data.channels["loss"].extend(np.array([0.5, 1.0, 4.0]), np.array([9.0, 3.0, 2.0]))
    assert trial_charts(data) == ()  # no step is known
    steps = data.channels[STEP] = Channel(STEP, "Step", "")
    steps.extend(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    (chart,) = trial_charts(data)
    assert (chart.x.title, chart.x.unit, chart.bands) == ("Step", "", ())
    np.testing.assert_equal(chart.series[0].x, [np.nan, 1, 3])  # before the first step nothing is placed
    np.testing.assert_equal(chart.series[0].y, [9, 3, 2])
    assert charts_of(data, "time") == ()
