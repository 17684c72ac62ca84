"""The charts beside the table, and what leaves the page: files, images, values, bundles."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from tests.widgets.compare.kit import MEMORY, SPEED
from widgets.compare.page import ComparePage
from widgets.shell.services import Services


def test_that_charts_say_what_they_show(page: ComparePage) -> None:
    for panel in (page.charts.scatter, page.charts.bars):
        assert panel.accessibleDescription()
        assert panel.view.marks is not None


def test_that_the_axes_of_the_trade_off_are_chosen(page: ComparePage) -> None:
    page.charts._choose_up(MEMORY)
    chart = page.charts.scatter.view.chart
    assert chart.id == f"scatter:{SPEED}:{MEMORY}"


def test_that_a_narrow_window_shows_the_charts_behind_tabs(qtbot: QtBot, page: ComparePage) -> None:
    page.resize(1048, 560)
    qtbot.waitUntil(lambda: page.charts.narrow)
    assert page.charts.scatter.isVisible()
    assert not page.charts.bars.isVisible()
    page.charts.tabs.setCurrentIndex(1)
    assert page.charts.bars.isVisible()
    page.resize(1368, 780)
    qtbot.waitUntil(lambda: page.charts.scatter.isVisible() and page.charts.bars.isVisible())


# --- exports --- ----------------------------------------------------------------------------------


def test_that_an_export_writes_into_the_chosen_folder_and_says_where(
    qtbot: QtBot, page: ComparePage, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    page.exporting.export(("svg", "csv"))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    toast = services.toasts.history[-1]
    assert toast.severity == "good"
    assert toast.advice == str(tmp_path)
    names = sorted(p.name for p in tmp_path.iterdir() if p.suffix in (".svg", ".csv"))
    assert "precision-of-smollm2.csv" in names
    assert "precision-of-smollm2-trade-off.svg" in names
    assert "precision-of-smollm2-decode-throughput.svg" in names


def test_that_an_export_that_cannot_be_written_says_what_is_safe(
    qtbot: QtBot, page: ComparePage, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(blocked))
    page.exporting.export(("csv",))
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].severity == "error"
    assert "not touched" in services.toasts.history[-1].advice


def test_that_one_chart_is_exported_in_the_format_asked_for(
    qtbot: QtBot, page: ComparePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    page.charts.bars._export_as("pdf")
    qtbot.waitUntil((tmp_path / "mine.pdf").exists)


def test_that_the_chart_is_copied_as_image_and_as_values(page: ComparePage) -> None:
    page.charts.bars.copy_values()
    assert "int8" in QGuiApplication.clipboard().text()
    page.charts.bars.copy_image()
    assert not QGuiApplication.clipboard().pixmap().isNull()


def test_that_the_whole_experiment_goes_to_the_folder_that_is_named(
    page: ComparePage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(page.exporting.bundles, "export", lambda *given: asked.append(given))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_a, **_k: (str(tmp_path / "mine"), ""))
    page.tools.bundle_asked.emit()
    assert asked == [("e-fake", tmp_path / "mine")]
