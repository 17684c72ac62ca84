"""Monitor while a model is trained: the X axis, held-out points, readouts, steps in the header."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF, QGuiApplication
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from engines.protocol.records import PhaseEnded
from tests.workbench.training_trial import FIRST_S, NO_METER, training_records, training_trial
from widgets.charts.live_plot import LivePlot
from widgets.charts.stack import ChartStack
from widgets.charts.table_twin import drawn_columns
from widgets.monitor.header_view import header_view, training_segments
from widgets.monitor.toolbar import ChartToolbar
from widgets.theme.theme import Theme
from workbench.charts.series import TrialData


@pytest.fixture
def stack(qtbot: QtBot, theme: Theme) -> ChartStack:
    made = ChartStack(theme)
    qtbot.addWidget(made)
    made.resize(1100, 700)
    with qtbot.waitExposed(made):
        made.show()
    made.set_trial(training_trial(steps=16, planned=16))
    QGuiApplication.processEvents()
    return made


@pytest.fixture
def tools(qtbot: QtBot, theme: Theme, stack: ChartStack) -> ChartToolbar:
    made = ChartToolbar(theme, stack)
    qtbot.addWidget(made)
    made.resize(1100, 40)
    with qtbot.waitExposed(made):
        made.show()
    return made


def plot(stack: ChartStack, id: str) -> LivePlot:
    return next(p for p in stack.plots if p.chart.kind.id == id)


def segment(tools: ChartToolbar, text: str) -> QToolButton:
    return next(b for b in tools.x_axis.findChildren(QToolButton) if b.text() == text)


def test_that_the_axis_is_chosen_by_mouse_and_the_data_and_the_crosshair_stay(
    stack: ChartStack, tools: ChartToolbar, qtbot: QtBot
) -> None:
    assert stack.x_axis == "step"
    y = plot(stack, "loss").curves[0].item.getData()[1].copy()
    stack.show_crosshair(FIRST_S + 2.9)
    said = tools.moment.text()
    assert said.startswith("step 3 · 7.9 s · 768 tokens · 120 J")
    for name, x in {"Tokens": "tokens", "Energy": "energy", "Time": "time", "Step": "step"}.items():
        qtbot.mouseClick(segment(tools, name), Qt.MouseButton.LeftButton)
        assert stack.x_axis == x
        QGuiApplication.processEvents()
        drawn_x, drawn_y = plot(stack, "loss").curves[0].item.getData()
        np.testing.assert_array_equal(drawn_y, y)
        np.testing.assert_allclose(drawn_x, stack.data.axis(x).place(plot(stack, "loss").curves[0].curve.channel.times))  # type: ignore[union-attr, arg-type]
        assert tools.moment.text() == said


def test_that_all_charts_share_the_axis(stack: ChartStack) -> None:
    stack.set_x_axis("tokens")
    ranges = {tuple(p.box.viewRange()[0]) for p in stack.plots}
    assert len(ranges) == 1
    assert stack.visible_range[1] >= 16 * 256


def test_that_cursors_keep_their_moments_on_another_axis(stack: ChartStack) -> None:
    stack.set_cursors_shown(True)
    stack.set_cursor(0, 4.0)
    stack.set_cursor(1, 12.0)
    stack.set_x_axis("tokens")
    assert stack.cursors == (4 * 256, 12 * 256)
    stack.set_x_axis("step")
    assert stack.cursors == (4, 12)


def test_that_without_a_sensor_energy_is_disabled_with_the_reason(
    stack: ChartStack, tools: ChartToolbar, qtbot: QtBot
) -> None:
    stack.set_trial(training_trial(meter=False))
    energy = segment(tools, "Energy")
    assert not energy.isEnabled()
    assert energy.toolTip() == f"Energy: not available. {NO_METER}"
    qtbot.mouseClick(energy, Qt.MouseButton.LeftButton)
    assert stack.x_axis == "step"
    assert "J" not in tools.moment.text()


def test_that_other_trials_have_no_choice_of_axis(stack: ChartStack, tools: ChartToolbar) -> None:
    stack.set_trial(TrialData("t-2", "Model · int8"))
    assert (stack.x_axis, tools.x_axis.isVisible(), tools.window_length.isVisible()) == ("time", False, True)
    stack.set_trial(training_trial())
    assert (stack.x_axis, tools.x_axis.isVisible(), tools.window_length.isVisible()) == ("step", True, False)


def test_that_held_out_losses_are_circles_at_their_steps_and_the_best_has_two_rings(stack: ChartStack) -> None:
    loss = plot(stack, "loss")
    circles = loss.curves[1]._circles
    x, _ = circles.getData()
    assert list(x) == [0, 4, 8, 12, 16, 8]
    assert list(circles.data["size"][:5] > circles.data["size"][5]) == [False, False, True, False, False]
    readout = stack.readouts[stack.plots.index(loss)]
    stack.show_crosshair(stack.data.axis("step").time_at(7))  # type: ignore[union-attr]
    assert [e.title for e in readout.entries] == ["Training", "Held-out, step 4"]


def test_that_no_other_point_is_ringed_where_the_best_is_out_of_view(stack: ChartStack) -> None:
    loss = plot(stack, "loss")
    circles = loss.curves[1]._circles
    assert circles is not None
    stack.set_range(13, 17)
    assert list(circles.getData()[0]) == [12, 16]
    assert len(set(circles.data["size"])) == 1
    assert loss._best._at is not None, "its line continues to the right"
    stack.set_range(0, 6)
    assert loss._best._at is None, "it is not reached yet"


def test_that_the_learning_rate_is_drawn_on_its_own_axis_at_the_right(stack: ChartStack) -> None:
    norm = plot(stack, "gradient_norm")
    low, high = norm.box.viewRange()[1]
    rate = norm.curves[1].item.getData()[1]
    assert np.nanmax(rate) > 0.5  # rates of 1e-3 would lie on the axis
    assert low < np.nanmin(rate) < np.nanmax(rate) < high
    assert norm.right._ticks.texts[-1] == "1e-3"
    assert norm.curves[1].curve.value_at(FIRST_S + 0.95) == 1e-3


def test_that_memory_is_stacked_by_part_where_the_trial_has_measured_the_parts(stack: ChartStack) -> None:
    stack.set_trial(training_trial(parts=True))
    memory = plot(stack, "memory_parts")
    tops = [c.item.getData()[1][-1] for c in memory.curves[:5]]
    assert tops == pytest.approx([m / 1024 for m in (500, 520, 560, 760, 800)])
    entries = stack.readouts[stack.plots.index(memory)].entries
    assert [(e.title, e.value) for e in entries[:2]] == [("Weights", "0.488"), ("Gradients", "0.0195")]
    assert "parts of one untimed step" in memory.chart.kind.said


def test_that_a_running_trial_shows_the_steps_to_come_and_evaluations_as_marks(stack: ChartStack) -> None:
    data = training_trial(planned=40, steps=10, ended=False)
    stack.set_trial(data)
    assert stack.visible_range[1] >= 40
    marks = [s for _, _, s in stack._placed if s.is_mark]
    assert [round(s.left) for s in marks] == [0, 4, 8]
    view = header_view(data, None, None, 20.0)
    assert [s.name for s in view.segments] == ["load", "evaluate", "warmup", "measure"]
    (steps,) = [s for s in training_segments(data, 20.0, running=True) if s.name == "measure"]
    assert steps.text == "step 10 of 40"
    assert steps.marks == pytest.approx([2 / 38, 6 / 38])
    assert steps.fill == pytest.approx(8 / 38)


def test_that_evaluations_of_the_warm_up_are_no_marks_of_the_steps() -> None:
    data = TrialData("t-1", "LoRA")
    data.take_order(training_trial().training)  # type: ignore[arg-type]
    for record in training_records(steps=4, every=1, ended=False):
        data.take(record)
    (steps,) = [s for s in training_segments(data, 30.0, running=True) if s.name == "measure"]
    assert min(steps.marks) >= 0


def test_that_an_evaluation_after_the_steps_is_a_phase_and_no_mark() -> None:
    data = TrialData("t-1", "LoRA")
    data.take_order(training_trial().training)  # type: ignore[arg-type]
    for record in training_records(steps=10, every=20):
        data.take(record)
    data.take(PhaseEnded(name="evaluate", index=1, start_ns=30 * 10**9, t_ns=32 * 10**9))
    row = training_segments(data, 33.0, running=False)
    assert [(s.text, s.state) for s in row] == [
        ("load 2.0 s", "done"),
        ("evaluate 3.0 s", "done"),
        ("warm-up 2.0 s", "done"),
        ("8 steps 8.0 s", "done"),
        ("evaluate 2.0 s", "done"),
    ]
    assert row[3].marks == ()


def test_that_the_table_holds_what_is_drawn_against_the_axis(stack: ChartStack) -> None:
    names, columns = drawn_columns(stack.plots, "step", *stack.visible_range, stack.columns)
    assert names[:3] == ("Step", "Loss: Training (nats/token)", "Loss: Held-out (nats/token)")
    assert columns[0][0] == 0
    assert np.isnan(columns[1][0])
    assert columns[2][0] == pytest.approx(4.2)


def test_that_a_narrow_plot_keeps_values_before_names(stack: ChartStack) -> None:
    readout = stack.readouts[0]
    entries = readout.entries
    readout.show_entries(entries, 900, 0, 800)
    assert readout.shown == (entries, True)
    readout.show_entries(entries, 900, 0, 150)
    assert readout.shown == (entries, False)
    readout.show_entries(entries, 900, 0, 60)
    assert readout.shown == (entries[:1], False)
    assert all(e.said() in readout.help() for e in entries)


def test_that_what_explains_a_title_gives_way_to_the_values(stack: ChartStack) -> None:
    stack.set_trial(training_trial(parts=True))
    shown = set()
    for width in range(600, 1200, 60):
        stack.resize(width, 700)
        stack.fit()
        QGuiApplication.processEvents()
        for each, readout in zip(stack.plots, stack.readouts, strict=True):
            words = QFontMetricsF(each.caption._plain).horizontalAdvance(each.caption.explanation)
            assert each.caption.title_width + words + readout.width() <= each.box.width() + 1
        shown.add(plot(stack, "memory_parts").caption.explanation)
    assert plot(stack, "memory_parts").caption._rest in shown
    assert len(shown) > 1
