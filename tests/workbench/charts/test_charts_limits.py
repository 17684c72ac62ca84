"""Intervals that reach far beyond every value: the axis stays with the values, the interval is cut and said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.workbench.synthetic_experiment import experiment_detail
from workbench.charts.stored import BEYOND, bar_chart, scatter_chart
from workbench.comparison.comparison import Interval, compare
from workbench.comparison.results import Comparison
from workbench.export.figures import draw, render
from workbench.export.look import look

SPEED, MEMORY = "decode_tokens_per_second", "memory_mean_bytes"


@pytest.fixture(scope="module")
def calm() -> Comparison:
    return compare(experiment_detail(blocks=3, fail=False, disturb=False))


def wild(comparison: Comparison, metric: str = SPEED) -> Comparison:
    """The same comparison with one interval that is a hundred times as wide as the value."""
    row = comparison.rows[1]
    cell = row.cells[metric]
    assert cell.value is not None
    far = replace(cell, interval=Interval(cell.value / 100, cell.value * 100))
    rows = (comparison.rows[0], replace(row, cells={**row.cells, metric: far}), *comparison.rows[2:])
    return replace(comparison, rows=rows)


def test_that_ordinary_intervals_are_not_cut(calm: Comparison) -> None:
    bars, points = bar_chart(calm, SPEED), scatter_chart(calm, SPEED, MEMORY)
    assert bars.x.maximum is points.x.maximum is points.y.maximum is None
    assert not any(BEYOND in note for note in (*bars.notes, *points.notes))


def test_that_an_interval_far_beyond_the_values_ends_at_the_axis_and_is_noted(calm: Comparison) -> None:
    chart = bar_chart(wild(calm), SPEED)
    largest = max(float(s.x[0]) for s in chart.series)
    assert chart.x.maximum is not None
    assert largest < chart.x.maximum <= 3 * largest
    assert any(BEYOND in note for note in chart.notes)
    assert chart.series[1].x_high[0] > chart.x.maximum, "the data keep the whole interval"


def test_that_a_scatter_cuts_only_the_axis_that_needs_it(calm: Comparison) -> None:
    chart = scatter_chart(wild(calm, MEMORY), SPEED, MEMORY)
    assert chart.x.maximum is None
    assert chart.y.maximum is not None


def test_that_the_exported_axis_stays_with_the_values(calm: Comparison) -> None:
    chart = bar_chart(wild(calm), SPEED)
    assert chart.x.maximum is not None
    figure = draw(chart, look("light"), 7.0, None)
    _, high = figure.axes[0].get_xlim()
    assert high < 1.6 * chart.x.maximum
    arrows = [line for line in figure.axes[0].lines if line.get_marker() == ">"]
    assert [float(np.asarray(a.get_xdata())[0]) for a in arrows] == [chart.x.maximum]


def test_that_the_note_of_a_cut_interval_is_in_the_file(calm: Comparison) -> None:
    assert BEYOND in render(bar_chart(wild(calm), SPEED), "svg").decode()
