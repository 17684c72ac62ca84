"""Compare of an experiment over lengths: cost against length in place of the bars, with rings where curves cross."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton
from pytestqt.qtbot import QtBot

from tests.workbench.synthetic_lengths import lengths_detail
from widgets.charts.table import chart_as_tsv
from widgets.compare.page import ComparePage
from widgets.parts.components import SegmentedControl
from workbench.store.operations import ExperimentDetail

LAWS = {
    "GQA": {"inter_token_latency_s": lambda n: 1e-3 * n**0.5},
    "Mamba": {"inter_token_latency_s": lambda n: 0.04},
}


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    return lengths_detail(LAWS)


def click(qtbot: QtBot, control: SegmentedControl, text: str) -> QToolButton:
    (button,) = [b for b in control.findChildren(QToolButton) if b.text() == text]
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    return button


def test_that_cost_against_length_is_drawn_on_log_axes_by_mouse(page: ComparePage, qtbot: QtBot) -> None:
    charts = page.charts
    (ranks,) = [b for b in charts.third.findChildren(QToolButton) if b.text() == "Ranks"]
    assert not ranks.isVisible(), "nothing trains"
    click(qtbot, charts.third, "Length")
    view = charts.bars.view
    assert view.chart is not None
    assert view.chart.id == "length:inter_token_latency_s"
    assert view.marks is not None
    said = [target.text for target in view.marks.targets]
    assert sum("Mamba, exponent" in text for text in said) == 4, "a circle for each length"
    (ring,) = [text for text in said if text.startswith("Mamba crosses GQA")]
    assert "Prompt length: 1," in ring
    assert "[" in ring
    (point,) = view.marks._laid.points
    ends = [c for c, _, _ in view.marks._laid.circles]
    assert min(p.x() for p in ends) < point[0].x() < max(p.x() for p in ends)
    assert min(p.y() for p in ends) < point[0].y() < max(p.y() for p in ends)
    assert "4096" in chart_as_tsv(view.chart).replace(",", "")
    click(qtbot, charts.third, "Bars")
    assert view.chart.id.startswith("bars:")


def test_that_a_hidden_architecture_leaves_the_chart(page: ComparePage, qtbot: QtBot) -> None:
    click(qtbot, page.charts.third, "Length")
    assert page.loaded is not None
    hidden = [r.configuration for r in page.loaded.comparison.rows if r.model == "GQA"]
    for configuration in hidden:
        page.viewing.toggle_eye(configuration)
    chart = page.charts.bars.view.chart
    assert chart is not None
    assert [s.key for s in chart.series] == ["Mamba"]
    for configuration in hidden:
        page.viewing.toggle_eye(configuration)
