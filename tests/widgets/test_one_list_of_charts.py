"""The window and an export draw one trial's charts alike: the same titles, units, colours and values."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from engines.protocol.records import ClockPair, Telemetry, TrialStarted
from tests.workbench.synthetic import FakeTrial, records
from tests.workbench.training_trial import training_trial
from widgets.charts.stack import ChartStack
from widgets.theme.theme import Theme
from workbench.charts.series import TrialData
from workbench.charts.trial import trial_charts
from workbench.charts.x_axis import XAxis, shown_unit


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


@pytest.mark.parametrize("x", ["time", "step", "tokens", "energy"])
def test_that_a_training_trial_is_exported_against_the_axis_of_the_window(qtbot: QtBot, theme: Theme, x: XAxis) -> None:
    data = training_trial(parts=True)
    stack = ChartStack(theme)
    qtbot.addWidget(stack)
    stack.set_trial(data)
    stack.set_x_axis(x)
    exported = {s.key: s for chart in trial_charts(data, x) for s in chart.series}
    drawn = {c.curve.channel.key: c.curve for plot in stack.plots for c in plot.curves}
    assert set(exported) == set(drawn)
    _, factor = shown_unit(x, data.axis(x).latest if x != "time" else 1.0)
    for key, curve in drawn.items():
        if not curve.is_read:
            np.testing.assert_allclose(exported[key].x * factor, curve.x)
            np.testing.assert_allclose(exported[key].y, curve.y)
