"""Compare of a training experiment: loss against five things, trade-offs with what was trained, ranks as spans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QToolButton
from pytestqt.qtbot import QtBot

from tests.workbench.synthetic_training import Run, training_detail
from widgets.charts.axes import powers
from widgets.charts.chart_view import ChartView
from widgets.charts.table import chart_as_tsv
from widgets.compare.page import ComparePage
from widgets.compare.rank_table import RankTable, rank_text
from widgets.parts.components import SegmentedControl
from widgets.shell.services import Services
from widgets.theme.theme import Theme
from workbench.charts.rates import rate_chart
from workbench.comparison.training.ranks import Rank, Ranking
from workbench.export.figures import render
from workbench.metrics.training.progress import HeldOut, Progress
from workbench.store.operations import ExperimentDetail

RATES = (1e-4, 3e-4, 1e-3)
R4, R8 = "finetune.lora rank=4", "finetune.lora rank=16"


@pytest.fixture(scope="module")
def detail() -> ExperimentDetail:
    runs = [Run(R4, rate, loss) for rate, loss in zip(RATES, (2.6, 2.0, 2.2), strict=True)]
    runs += [Run(R8, rate, loss) for rate, loss in zip(RATES, (2.2, 2.1, 2.05), strict=True)]
    return training_detail(runs)


def course(number: int) -> Progress:
    each = np.arange(9.0)
    held_out = tuple(HeldOut(s, 3 - s / 10 - number / 100) for s in (0, 4, 8))
    return Progress(each * 64, each * 2, None, "energy_uj is readable by root only.", each, held_out, "v", True)


@pytest.fixture
def trained(page: ComparePage, qtbot: QtBot) -> ComparePage:
    """The courses of all trials have been read."""
    assert page.loaded is not None
    qtbot.waitUntil(lambda: not page.courses._busy)
    trials = [t.trial for kept in page.loaded.kept.values() for t in kept.counted]
    page.courses._arrived({t: course(i) for i, t in enumerate(trials)})
    return page


def click(qtbot: QtBot, control: SegmentedControl, text: str) -> QToolButton:
    (button,) = [b for b in control.findChildren(QToolButton) if b.text() == text]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    return button


def test_that_the_loss_is_drawn_against_what_is_chosen_by_mouse(trained: ComparePage, qtbot: QtBot) -> None:
    panel = trained.charts.course
    assert panel.isVisible()
    chart = panel.view.chart
    assert (chart.id, len(chart.series)) == ("course:step", 6)
    for name, id in {"Tokens": "course:tokens", "Time": "course:time", "Rate": "rates:learning rate"}.items():
        click(qtbot, panel.axes, name)
        assert panel.view.chart.id == id
        assert panel.view.chart.notes[0].startswith("At equal steps: ")
    assert len(panel.view.marks._laid.spans) == 2


def test_that_energy_that_was_not_measured_is_disabled_with_its_reason(trained: ComparePage, qtbot: QtBot) -> None:
    button = click(qtbot, trained.charts.course.axes, "Energy")
    assert not button.isEnabled()
    assert button.toolTip() == "energy_uj is readable by root only."
    assert trained.charts.course.axes.index == 0


def test_that_a_closed_eye_closes_its_line(trained: ComparePage) -> None:
    first = trained.loaded.comparison.rows[0].configuration
    trained.viewing.toggle_eye(first)
    chart = trained.charts.course.view.chart
    assert first not in [s.key for s in chart.series]
    trained.viewing.toggle_eye(first)


def test_that_the_trade_off_begins_with_loss_and_offers_what_was_trained(trained: ComparePage) -> None:
    pair = trained.charts.shown_pair()
    assert pair[1] == "test_loss"
    trained.charts.choose_trade_off("parameters")
    chart = trained.charts.scatter.view.chart
    assert chart.id == "scatter:trained_parameters:test_loss"


def test_that_ranks_stand_in_place_of_the_bars(trained: ComparePage, qtbot: QtBot) -> None:
    charts = trained.charts
    assert not charts.ranks.isVisible()
    click(qtbot, charts.third, "Ranks")
    assert charts.ranks.isVisible()
    assert not charts.bars.view.isVisible()
    assert charts.bars.header.title.text() == "Ranks"
    assert "at equal steps" in charts.ranks.notes.text().lower()
    click(qtbot, charts.third, "Bars")
    assert charts.bars.view.isVisible()


def test_that_an_export_of_everything_holds_the_curves_of_training(
    trained: ComparePage, qtbot: QtBot, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    trained.exporting.export(("svg", "csv"))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    names = " ".join(p.name for p in tmp_path.iterdir())
    assert all(part in names for part in ("step", "tokens", "time", "learning-rate", "trade-off", "courses.csv"))
    assert "energy" not in names


def test_that_a_narrow_window_has_a_tab_for_the_loss(trained: ComparePage, qtbot: QtBot) -> None:
    trained.resize(1048, 560)
    qtbot.waitUntil(lambda: trained.charts.narrow)
    assert [trained.charts.tabs.isTabVisible(i) for i in range(3)] == [True, True, True]
    trained.charts.tabs.setCurrentIndex(2)
    assert trained.charts.course.isVisible()
    assert not trained.charts.scatter.isVisible()


def test_that_a_rank_that_intervals_leave_open_is_a_span(qtbot: QtBot, theme: Theme) -> None:
    table = RankTable(theme)
    qtbot.addWidget(table)
    ranks = (Rank("LoRA", "c1", 2.0, 1, 2), Rank("DoRA", "c2", 2.01, 1, 2), Rank("VeRA", "c3", 2.4, 3, 3))
    table.show_rankings([Ranking("test_loss", "under 0.5 B parameters", ranks)], "at equal steps: 8")
    shown = [table.model.index(row, 0).data() for row in range(3)]
    assert shown == ["1–2", "1–2", "3"]
    assert table.model.headerData(0, Qt.Orientation.Vertical) == "LoRA"
    assert table.notes.text().startswith("At equal steps: 8. Models of under 0.5 B parameters.")
    table.copy()
    assert "VeRA\t3" in QGuiApplication.clipboard().text()
    assert rank_text(Rank("x", "c", 1.0, 1, 1)) == "1"
    table.show_rankings([], "at equal steps: 8")
    assert "two methods" in table.notes.text()


def test_that_a_logarithmic_axis_puts_rates_where_their_logarithms_are_and_keeps_their_values(
    qtbot: QtBot, theme: Theme, detail: ExperimentDetail
) -> None:
    from workbench.comparison.comparison import compare

    chart = rate_chart(compare(detail))
    view = ChartView(theme)
    qtbot.addWidget(view)
    view.resize(600, 400)
    with qtbot.waitExposed(view):
        view.show()
    view.set_chart(chart)
    QGuiApplication.processEvents()
    xs = [at.x() for at, color, _ in view.marks._laid.circles if color == view.marks.color(chart.series[0].color)]
    gaps = np.diff(xs[:3])
    assert gaps[0] / gaps[1] == pytest.approx(np.log10(3) / np.log10(1e-3 / 3e-4), rel=0.01)
    assert "0.0003" in chart_as_tsv(chart)
    lowest = max(at.y() for at, _, _ in view.marks._laid.circles)
    assert all(span.bar.top() > lowest for span in view.marks._laid.spans)
    target = next(t for t in view.marks.targets if "best at" in t.text)
    assert view._box.rect().contains(target.point - QPoint(0, 1))
    assert render(chart, "svg").startswith(b"<?xml")


@pytest.mark.parametrize(
    ("low", "high", "count", "texts"),
    [
        (-4, -2, 8, ("1e-4", "2e-4", "5e-4", "1e-3", "2e-3", "5e-3", "0.01")),
        (-4, -2, 6, ("1e-4", "3e-4", "1e-3", "3e-3", "0.01")),
        (-4, 0, 5, ("1e-4", "1e-3", "0.01", "0.1", "1")),
        (-3.9, -3.6, 5, ("2e-4",)),
    ],
)
def test_that_ticks_of_a_logarithmic_axis_are_round_figures(
    low: float, high: float, count: int, texts: tuple[str, ...]
) -> None:
    assert powers(low, high, count).texts == texts
