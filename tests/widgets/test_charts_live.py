"""The live chart stack: what it draws of a trial, when it repaints, zoom, cursors, missing sensors."""

from __future__ import annotations

import time

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from engines.protocol.records import ClockPair, Sensor, Telemetry, TrialEnded, TrialStarted
from widgets.charts.phases import Spans
from widgets.charts.stack import ChartStack
from widgets.charts.table_twin import drawn_columns
from widgets.theme.theme import Theme
from workbench.charts.curves import charts_of, figure
from workbench.charts.series import Channel, Phase, TrialData

GIB = 1024**3


def sensor(quantity: str, *, available: bool = True, reason: str = "", source: str = "proc.tree") -> Sensor:
    return Sensor(
        source=source,
        quantity=quantity,
        title=quantity,
        method="/proc",
        rate_hz=10.0,
        available=available,
        reason=reason,
    )


def trial(seconds: float = 20.0, *, ended: bool = False) -> TrialData:
    """A trial on a processor without power sensor, read at 10 Hz."""
    data = TrialData(trial="t-1", title="Model · int8", color=2)
    times = np.arange(0.1, seconds, 0.1)
    for key, values in {
        "throughput": np.full(len(times), 25.0),
        "proc.tree/pss_bytes": np.linspace(0, 2 * GIB, len(times)),
        "proc.tree/cpu_utilisation_ratio": np.full(len(times), 1.8),
    }.items():
        channel = data.channels[key] = Channel(key, key, "")
        channel.extend(times, values)
    data.sensors = (
        sensor("pss_bytes"),
        sensor("cpu_utilisation_ratio"),
        sensor("power_watts", available=False, reason="energy_uj is readable by root only.", source="rapl"),
    )
    data.phases = [Phase("load", 0, 0.0, 4.0), Phase("warmup", 0, 4.0, 8.0), Phase("decode", 0, 8.0, None)]
    data.take(TrialStarted(clock=ClockPair(wall_ns=0, mono_ns=0), worker_pid=1, threads=2))
    data.revision = 1
    if ended:
        data.take(TrialEnded(outcome="completed", clock=ClockPair(wall_ns=0, mono_ns=int(seconds * 1e9))))
    return data


def grow(data: TrialData, time: float) -> None:
    data.take(
        Telemetry(source="proc.tree", times_ns=[int(time * 1e9)], columns={"cpu_utilisation_ratio": [1.9]}, t_ns=1)
    )


@pytest.fixture
def stack(qtbot: QtBot, theme: Theme) -> ChartStack:
    made = ChartStack(theme)
    qtbot.addWidget(made)
    made.resize(900, 500)
    with qtbot.waitExposed(made):
        made.show()
    made.set_trial(trial())
    QGuiApplication.processEvents()
    return made


def test_that_a_chart_without_any_sensor_says_why_and_is_not_drawn(stack: ChartStack) -> None:
    assert [p.chart.kind.title for p in stack.plots] == ["Throughput", "Memory", "Utilisation"]
    assert stack.missing_text == "Power: not available. energy_uj is readable by root only."


def test_that_values_are_shown_in_the_charts_units() -> None:
    charts = {c.kind.title: c for c in charts_of(trial())}
    memory, use = charts["Memory"].curves[0], charts["Utilisation"].curves[0]
    assert memory.value_at(100.0) == pytest.approx(2.0)
    assert use.value_at(100.0) == pytest.approx(90.0)  # 1.8 cores of 2 threads
    assert np.isnan(use.value_at(0.0))


def test_that_memory_is_drawn_as_steps_with_a_gap_where_nothing_was_read(stack: ChartStack) -> None:
    data = trial(ended=True)
    slow = data.channels["proc.tree/pss_bytes"] = Channel("proc.tree/pss_bytes", "PSS", "B")
    times = np.array([0.0, 1, 2, 3, 4, 5, 15, 16, 17, 18, 19])
    slow.extend(times, times * GIB)
    stack.set_trial(data)
    memory = next(p for p in stack.plots if p.chart.kind.title == "Memory")
    x, y = memory.curves[0].item.getData()
    assert list(zip(x[:4], y[:4], strict=True)) == [(0, 0), (1, 0), (1, 1), (2, 1)]
    assert list(x[np.isnan(y)]) == [6]
    assert (memory.series[0].value_at(5.5), memory.series[0].value_at(15.5)) == (5, 15)
    assert np.isnan(memory.series[0].value_at(10.0))
    throughput = stack.plots[0].curves[0].item.getData()[1]
    assert not np.isnan(throughput).any()


def test_that_nothing_is_repainted_without_new_records(stack: ChartStack, qtbot: QtBot) -> None:
    stack.redraw()
    before = stack.redraws
    for _ in range(5):
        stack.notify()
        stack.redraw()
    qtbot.wait(30)
    assert stack.redraws == before


def test_that_a_slow_rate_bounds_the_repaints(stack: ChartStack, qtbot: QtBot) -> None:
    stack.set_rate(2.0)
    stack.redraw()
    assert stack.data is not None
    before, begun = stack.redraws, time.monotonic()
    for i in range(30):
        grow(stack.data, 21.0 + i / 10)
        stack.notify()
        qtbot.wait(10)
    assert stack.redraws - before <= 2.0 * (time.monotonic() - begun) + 1


def test_that_a_hidden_stack_draws_nothing_and_catches_up_when_shown(stack: ChartStack, qtbot: QtBot) -> None:
    assert stack.data is not None
    stack.hide()
    before = stack.redraws
    grow(stack.data, 22.0)
    stack.notify()
    qtbot.wait(30)
    assert stack.redraws == before
    stack.show()
    assert stack.redraws > before


def test_that_freezing_keeps_the_picture_and_going_on_shows_what_was_missed(stack: ChartStack, qtbot: QtBot) -> None:
    assert stack.data is not None
    stack.set_frozen(True)
    before = stack.redraws
    grow(stack.data, 30.0)
    stack.notify()
    qtbot.wait(30)
    assert stack.redraws == before
    stack.set_frozen(False)
    assert stack.redraws > before


def test_that_a_live_trial_is_followed_and_a_finished_one_is_shown_whole(stack: ChartStack) -> None:
    assert stack.following
    assert stack.visible_range == (0.0, 60.0)
    stack.set_trial(trial(200.0, ended=True))
    assert not stack.following
    start, end = stack.visible_range
    assert start == 0.0
    assert 200.0 <= end < 220.0


def test_that_following_moves_the_window_in_whole_steps(stack: ChartStack) -> None:
    stack.set_trial(trial(100.3))
    start, end = stack.visible_range
    assert end - start == pytest.approx(60.0)
    assert end == pytest.approx(101.0)


def test_that_zooming_is_remembered_and_taken_back(stack: ChartStack, qtbot: QtBot) -> None:
    whole = stack.visible_range
    stack.set_range(5.0, 10.0)
    assert not stack.following
    stack.set_range(6.0, 7.0)
    qtbot.keyClick(stack, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert stack.visible_range == (5.0, 10.0)
    stack.back()
    assert stack.visible_range == whole
    stack.forward()
    assert stack.visible_range == (5.0, 10.0)


def test_that_cursors_move_by_keyboard_and_the_mean_between_them_is_read(stack: ChartStack, qtbot: QtBot) -> None:
    qtbot.keyClick(stack, Qt.Key.Key_A)
    stack.set_cursor(0, 5.0)
    stack.set_cursor(1, 15.0)
    qtbot.keyClick(stack, Qt.Key.Key_A)
    qtbot.keyClick(stack, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    a, b = stack.cursors
    assert a > 5.0
    assert b == 15.0
    memory = stack.plots[1].series[0]
    assert memory.mean(5.0, 15.0) == pytest.approx(memory.value_at(10.0), rel=0.02)


def test_that_a_sensor_that_begins_to_speak_gets_its_curve(stack: ChartStack) -> None:
    stack.data.take(
        Telemetry(source="proc.tree", times_ns=[int(21e9)], columns={"rss_bytes": [float(GIB)]}, t_ns=int(21e9))
    )
    stack.redraw()
    assert [s.title for s in stack.plots[1].series] == ["Process PSS", "Process RSS"]


def test_that_a_long_trial_says_that_it_is_decimated(stack: ChartStack) -> None:
    stack.set_trial(trial(3_000.0, ended=True))
    QGuiApplication.processEvents()
    assert "drawn as min and max of" in stack.plots[0].caption.note


def test_that_the_summary_names_every_chart_with_its_value(stack: ChartStack) -> None:
    said = stack.summary()
    assert "Throughput (tokens/s): Generated 25.0" in said
    assert "Power: not available" in said


def test_that_the_table_twin_holds_what_is_drawn(stack: ChartStack) -> None:
    names, columns = drawn_columns(stack.plots, "time", 0.0, 60.0, stack.columns)
    assert names[:2] == ("Time (s)", "Throughput: Generated (tokens/s)")
    assert all(len(c) == len(columns[0]) for c in columns)
    assert np.nanmax(columns[2]) == pytest.approx(2.0)


def test_that_spans_grow_as_phases_end_and_hide_what_stands_for_something_else() -> None:
    spans = Spans()
    phases = [Phase("load", 0, 0.0, 2.0), Phase("warmup", 0, 2.0, None), Phase("decode", 0, 2.5, 3.0)]
    spans.update(phases, 3.5)
    assert [(s.phase, s.end) for s in spans.all] == [("load", 2.0), ("warmup", 3.5)]
    phases[1] = Phase("warmup", 0, 2.0, 4.0)
    phases += [Phase("measure", 0, 4.0, None), Phase("prefill", 0, 4.0, 4.5), Phase("decode", 0, 4.5, None)]
    spans.update(phases, 6.0)
    assert [(s.phase, s.end) for s in spans.all] == [("load", 2.0), ("warmup", 4.0), ("prefill", 4.5), ("decode", 6.0)]
    phases[-1] = Phase("decode", 0, 4.5, 7.0)
    spans.update(phases, 8.0)
    fresh = Spans()
    fresh.update(phases, 8.0)
    assert list(spans.all) == list(fresh.all)
    spans.update([Phase("load", 0, 0.0, 1.0)], 1.0)
    assert [s.phase for s in spans.all] == ["load"]


def test_that_thousands_of_requests_cost_no_more_than_the_pixels() -> None:
    spans = Spans()
    spans.update([Phase("decode", i, i / 10, (i + 1) / 10) for i in range(20_000)], 2_000.0)
    assert len(spans.visible(0.0, 2_000.0, 600.0)) <= 601
    assert [s.index for _, _, s in spans.visible(100.05, 100.35, 600.0)] == [1000, 1001, 1002, 1003]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.8799, "0.880"), (24.66, "24.7"), (2131.4, "2,131"), (float("nan"), "–")]
)
def test_that_figures_have_three_or_four_digits(value: float, text: str) -> None:
    assert figure(value) == text
