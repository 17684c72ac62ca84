"""Stored charts on the screen: labels, readout, menu, table twin; and the plain parts beneath them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from widgets.charts.axes import nice_range, nice_step, ticks
from widgets.charts.chart_view import ChartView
from widgets.charts.frame import CategoryGutter
from widgets.charts.history import History
from widgets.charts.table import ColumnsModel, chart_as_tsv
from widgets.theme.theme import Theme
from workbench.charts.labels import Box, Placed, place_labels, spread
from workbench.charts.stored import Chart, ChartAxis, Reference, Series

NAMES = ("float32", "bfloat16", "int8", "nf4")


def bars(values: tuple[float, ...] = (0.395, 0.189, 0.208, 0.144)) -> Chart:
    return Chart(
        "bars:energy",
        "Energy per token",
        "n = 5",
        ChartAxis("Energy", "J/token", 0.0),
        ChartAxis("", categories=tuple(f"SmolLM2-135M-Instruct · {n}" for n in NAMES[: len(values)])),
        tuple(
            Series(
                name,
                name,
                np.array([v]),
                np.array([float(i)]),
                i,
                "bars",
                x_low=np.array([v * 0.9]),
                x_high=np.array([v * 1.1]),
                labels=(f"{v:.3f}",),
            )
            for i, (name, v) in enumerate(zip(NAMES, values, strict=False))
        ),
        references=(Reference(0.189, "baseline", "vertical"),),
        provenance="experiment 12",
        summary="Energy of four configurations.",
    )


def scatter(points: tuple[tuple[float, float], ...]) -> Chart:
    return Chart(
        "scatter:x",
        "Trade-off",
        "",
        ChartAxis("Energy", "J"),
        ChartAxis("Bits", "per byte"),
        tuple(
            Series(f"run {i}", f"run {i}", np.array([x]), np.array([y]), i, "markers")
            for i, (x, y) in enumerate(points)
        ),
    )


def shown(qtbot: QtBot, theme: Theme, chart: Chart, width: int = 420, height: int = 340) -> ChartView:
    view = ChartView(theme)
    qtbot.addWidget(view)
    view.resize(width, height)
    view.set_chart(chart)
    with qtbot.waitExposed(view):
        view.show()
    QGuiApplication.processEvents()
    return view


def overlaps(rects: list[QRectF]) -> bool:
    return any(a.intersects(b) for i, a in enumerate(rects) for b in rects[i + 1 :])


@pytest.mark.parametrize("width", [260, 420, 900])
def test_that_bar_labels_are_inside_the_plot_and_apart(qtbot: QtBot, theme: Theme, width: int) -> None:
    view = shown(qtbot, theme, bars(), width)
    marks = view.marks
    rects = marks.label_rects
    assert len(rects) == 5  # four values and the baseline
    assert not overlaps(rects)
    assert all(marks.boundingRect().contains(r) for r in rects)


def test_that_names_take_two_lines_only_where_the_bars_leave_room(theme: Theme) -> None:
    names = ("SmolLM2-135M · Q8_0", "SmolLM2-135M · Q6_K", "plain")
    gutter = CategoryGutter(theme, names, 400.0)
    gutter.show_centers([40.0, 120.0, 200.0])
    assert gutter.lines[0] == ("Q8_0", "SmolLM2-135M")
    narrow = gutter.minimumWidth()
    gutter.show_centers([10.0, 24.0, 38.0])
    assert gutter.lines == (("Q8_0 · SmolLM2-135M", ""), ("Q6_K · SmolLM2-135M", ""), ("plain", ""))
    assert gutter.minimumWidth() > narrow
    gutter.show_centers([40.0, 120.0, 200.0])
    assert gutter.lines[0] == ("Q8_0", "SmolLM2-135M"), "room again"


def test_that_labels_of_crowded_points_do_not_collide(qtbot: QtBot, theme: Theme) -> None:
    crowd = ((0.189, 0.764), (0.190, 0.765), (0.191, 0.764), (0.189, 0.766), (0.4, 0.7))
    view = shown(qtbot, theme, scatter(crowd))
    marks = view.marks
    assert len(marks.label_rects) == len(crowd)
    assert not overlaps(marks.label_rects)


def test_that_an_empty_chart_says_why_instead_of_drawing(qtbot: QtBot, theme: Theme) -> None:
    reason = "Power was not available: no NVIDIA driver was found."
    view = shown(qtbot, theme, Chart("e", "Power", "", ChartAxis(""), ChartAxis(""), (), empty=reason))
    assert view.marks is None
    assert view.accessibleDescription() == reason


def test_that_a_chart_given_after_it_was_shown_empty_is_laid_out(qtbot: QtBot, theme: Theme) -> None:
    view = shown(qtbot, theme, Chart("e", "Power", "", ChartAxis(""), ChartAxis(""), (), empty="nothing"))
    view.set_chart(bars())
    QGuiApplication.processEvents()
    assert view.marks.boundingRect().width() > 100


def test_that_arrow_keys_read_every_mark_aloud(qtbot: QtBot, theme: Theme) -> None:
    view = shown(qtbot, theme, bars())
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert view.readout_text.startswith("SmolLM2-135M-Instruct · float32: 0.395 J/token [")
    qtbot.keyClick(view, Qt.Key.Key_Up)
    assert "nf4" in view.readout_text
    qtbot.keyClick(view, Qt.Key.Key_Escape)
    assert view.readout_text == ""


def test_that_an_export_is_asked_for_with_the_chart(qtbot: QtBot, theme: Theme) -> None:
    chart = bars()
    view = shown(qtbot, theme, chart)
    with qtbot.waitSignal(view.export_requested) as asked:
        view.context_menu().actions()[0].trigger()
    assert asked.args == [chart]


def test_that_a_decimated_line_says_so(qtbot: QtBot, theme: Theme) -> None:
    x = np.arange(50_000.0)
    line = Series("a", "a", x, np.sin(x), 0)
    view = shown(qtbot, theme, Chart("l", "Line", "", ChartAxis("Time", "s"), ChartAxis("W"), (line,)))
    assert view.marks.per_point > 50
    assert any("drawn as min and max of" in label.text() for label in view.findChildren(type(view._notes)))


def test_that_copied_values_carry_units_intervals_and_provenance(qtbot: QtBot, theme: Theme) -> None:
    lines = chart_as_tsv(bars()).splitlines()
    assert lines[0].split("\t") == ["series", "Energy (J/token)", "Energy (J/token) low", "Energy (J/token) high"]
    assert lines[1].split("\t")[:2] == ["SmolLM2-135M-Instruct · float32", "0.395"]
    assert lines[-1] == "experiment 12"


def test_that_a_theme_change_redraws_the_chart(qtbot: QtBot, theme: Theme) -> None:
    view = shown(qtbot, theme, bars())
    before = view.grab().toImage()
    theme.choose("dark")
    QGuiApplication.processEvents()
    assert view.grab().toImage() != before


def test_that_the_table_model_is_a_good_item_model(qtbot: QtBot, qtmodeltester: ModelTester) -> None:
    model = ColumnsModel()
    model.show_columns(("Time (s)", "Power (W)"), (np.arange(5.0), np.array([1.0, np.nan, 3.0, 4.0, 5.0])))
    qtmodeltester.check(model)
    assert model.data(model.index(1, 1)) == "–"
    assert model.as_tsv([1]) == "Time (s)\tPower (W)\n1\t\n"


@given(st.floats(1e-6, 1e9), st.integers(1, 20))
def test_that_steps_are_round_and_never_too_many(span: float, count: int) -> None:
    step = nice_step(span, count)
    assert span / step <= count * (1 + 1e-6)
    assert any(np.isclose(step / 10 ** np.floor(np.log10(step) + 1e-9), m) for m in (1, 2, 5, 10))


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_that_a_nice_range_holds_what_it_is_given(low: float, width: float) -> None:
    start, end = nice_range(low, low + width, 4)
    slack = 1e-6 * max(abs(low), width, 1.0)
    assert start <= low + slack
    assert end >= low + width - slack
    assert end > start


def test_that_ticks_have_the_digits_their_step_needs() -> None:
    assert ticks(0, 3000, 3).texts == ("0", "1,000", "2,000", "3,000")
    assert ticks(-0.5, 0.5, 4).texts == ("−0.5", "0.0", "0.5")
    assert ticks(0, 4, 10).texts[:2] == ("0.0", "0.5")
    assert ticks(0, 4, 10, whole=True).texts == ("0", "1", "2", "3", "4")
    assert ticks(0.2, 0.8, 10, whole=True).values == ()
    assert ticks(0, 5000, 5, whole=True) == ticks(0, 5000, 5)


rects = st.tuples(st.floats(0, 300), st.floats(0, 200))


@settings(max_examples=60)
@given(st.lists(rects, max_size=12))
def test_that_placed_labels_never_overlap_and_stay_inside(anchors: list[tuple[float, float]]) -> None:
    sizes = [(50.0, 14.0)] * len(anchors)
    placed = place_labels(anchors, sizes, [], (0, 0, 300, 200), gap=9, up=-1, always=False)
    rects = [QRectF(QPointF(*p.box[:2]), QPointF(*p.box[2:])) for p in placed if p is not None]
    assert not overlaps(rects)
    assert all(QRectF(0, 0, 300, 200).contains(r) for r in rects)


def test_that_a_label_without_room_is_left_out_or_stands_where_it_covers_least() -> None:
    def place(*, always: bool, up: int = 1, bounds: Box = (0, 0, 50, 14)) -> list[Placed | None]:
        return place_labels([(25, 7)], [(50, 14)], [(20, 2, 30, 12)], bounds, gap=6, up=up, always=always)

    assert place(always=False) == [None]
    (cut,) = place(always=True)
    assert cut is not None
    assert place_labels([], [], [], (0, 0, 9, 9), gap=6, up=1, always=False) == []
    # above before below: y grows upwards in an exported figure, downwards in the window
    tall = (0, -20, 50, 40)
    assert place(always=False, bounds=tall) == [Placed((0, 13, 50, 27), leader=False)]
    assert place(always=False, bounds=tall, up=-1) == [Placed((0, -13, 50, 1), leader=False)]
    (apart,) = place_labels([(25, 7)], [(50, 14)], [(0, 0, 99, 50)], (0, 0, 50, 90), gap=6, up=1, always=False)
    assert apart.leader
    assert apart.nearest((25, 7)) == (25, apart.box[1])


@given(st.lists(st.floats(0, 200), min_size=1, max_size=10))
def test_that_spread_texts_keep_their_distance_and_order(positions: list[float]) -> None:
    moved = spread(positions, 14, 0, 200)
    ordered = sorted(moved)
    assert all(b - a >= 14 - 1e-9 for a, b in pairwise(ordered))
    assert all(7 - 1e-9 <= m <= 193 + 1e-9 for m in moved)


def test_that_the_zoom_history_goes_back_and_forth_and_forgets_what_was_ahead() -> None:
    history = History()
    for end in (1.0, 2.0, 3.0):
        history.visit((0.0, end))
    assert history.back() == (0.0, 2.0)
    assert history.back() == (0.0, 1.0)
    assert history.back() is None
    assert history.forward() == (0.0, 2.0)
    history.visit((0.0, 9.0))
    assert not history.can_forward
    assert history.back() == (0.0, 2.0)
