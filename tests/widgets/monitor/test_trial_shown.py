"""Which trial the Monitor page shows, how its charts follow, and what of it can be taken along."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from engines.protocol.records import PhaseStarted
from tests.widgets.monitor.kit import FakeWorkbench, arrive, full_queue, stream
from tests.widgets.queue_kit import entry, queue
from widgets.monitor.page import MonitorPage
from widgets.shell.services import Services


def test_that_an_idle_page_says_what_would_stand_here_and_leads_to_setup(page: MonitorPage, services: Services) -> None:
    assert page.empty.title.text() == "No trials running or queued"
    assert not page.header.isVisible()
    page.empty.button.click()
    assert services.navigate.asked == [("setup", None)]  # type: ignore[attr-defined]


def test_that_the_running_trial_is_shown_as_its_records_arrive(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(lambda: page.charts.data is not None)
    assert page.current.id == "t-1"
    assert page.header.title.text() == "SmolLM2 · int8"
    qtbot.waitUntil(lambda: page.charts.redraws > 0)
    assert [p.chart.kind.title for p in page.charts.plots][:2] == ["Throughput", "Memory"]


def test_that_a_trial_on_this_processor_is_drawn_twice_a_second_only(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(lambda: page.charts.data is not None)
    assert page.charts._rate_hz == 2.0


def test_that_the_page_moves_on_with_the_queue_unless_a_trial_was_chosen(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream())
    later = queue(entry("t-2", "running", 2, started_wall_ns=1), entry("t-1", "ended", 1, outcome="completed"))
    arrive(page, later)
    assert page.current.id == "t-2"
    page.current.show("t-1")
    arrive(page, queue(entry("t-3", "running", 3, started_wall_ns=1), *later.entries[1:]))
    assert page.current.id == "t-1"
    page.current.show_running()
    assert page.current.id == "t-3"


def test_that_hidden_pages_take_records_and_draw_nothing(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream(part=0.5))
    qtbot.waitUntil(lambda: page.charts.redraws > 0)
    page.hide()
    page.deactivated()
    before = page.charts.redraws
    page.services.bridge.records_arrived.emit("t-1", stream())
    qtbot.wait(60)
    data = page.current.trials.get("t-1")
    assert data is not None
    assert data.ended is not None
    assert page.charts.redraws == before
    assert not page._clock.isActive()
    assert not page._texts.isActive()


def test_that_an_unknown_trial_is_told_and_the_page_stays_usable(page: MonitorPage, qtbot: QtBot) -> None:
    page.current.show("t-9")
    qtbot.waitUntil(lambda: len(page.services.toasts.history) == 1)
    assert page.services.toasts.history[0].message == "There is no trial t-9."
    assert page.current.id == ""


def test_that_a_trial_first_seen_in_its_middle_waits_for_the_store(page: MonitorPage) -> None:
    middle = tuple(r for r in stream() if r.seq > 10)
    assert not isinstance(middle[0], PhaseStarted) or middle[0].seq > 1
    page.services.bridge.records_arrived.emit("t-7", middle)
    assert page.current.trials.get("t-7") is None


def test_that_the_table_twin_replaces_the_charts_and_copies_them(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(lambda: page.charts.redraws > 0)
    page.tools.table.click()
    assert page.table.isVisible()
    page.table.copy()
    assert QGuiApplication.clipboard().text().startswith("Time (s)\tThroughput: Generated (tokens/s)")


def test_that_the_charts_of_a_trial_are_exported_whole_under_its_name(
    page: MonitorPage, qtbot: QtBot, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    assert not page.tools.export.isEnabled()
    page.exporting.charts("svg")  # nothing is shown: nothing is asked, nothing is written
    arrive(page, queue(entry("t-1", "running")))
    services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(page.tools.export.isEnabled)
    next(a for a in page.tools.export.menu().actions() if "SVG" in a.text()).trigger()
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].severity == "good", services.toasts.history[-1]
    names = sorted(p.name for p in tmp_path.glob("*.svg"))
    assert [n.rpartition("-")[2] for n in names] == ["memory.svg", "throughput.svg", "utilisation.svg"]
    assert all(n.startswith("smollm2") for n in names)


def test_that_the_formats_are_offered_by_keyboard_as_soon_as_a_trial_is_in_the_charts(
    page: MonitorPage, qtbot: QtBot, services: Services
) -> None:
    services.actions.set_page("monitor")
    action = services.actions.qaction("monitor.export")
    assert not action.isEnabled()
    assert action.toolTip().endswith("no trial is in the charts")
    arrive(page, queue(entry("t-1", "running")))
    services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(action.isEnabled)
    action.trigger()
    menu = page.tools.export.menu()
    qtbot.waitUntil(menu.isVisible)
    assert [a.text() for a in menu.actions()] == ["As PNG…", "As SVG…", "As PDF…"]
    menu.close()


def test_that_a_wall_meter_is_asked_for_where_a_trial_has_ended(
    page: MonitorPage, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a, **_k: ("/tmp/plug.csv", ""))
    monkeypatch.setattr(page.meter, "take", lambda trial, _path: asked.append(trial))
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream(part=0.9))
    qtbot.waitUntil(lambda: page.charts.data is not None)
    page.import_meter()
    assert not page.current.has_ended()
    assert asked == [], "it still runs"
    page.services.bridge.records_arrived.emit("t-1", stream()[-1:])
    page.services.bridge.records_arrived.emit("t-1", stream())
    assert page.current.has_ended()
    page.import_meter()
    page.queue.choose("t-0")
    entries = {a.text(): a for a in page.queue.context_menu().actions()}
    entries["Import wall meter readings…"].trigger()
    assert asked == ["t-1", "t-0"]
    page.queue.choose("t-2")
    assert not any("wall meter" in a.text() for a in page.queue.context_menu().actions())


def test_that_a_stopped_training_is_resumed_from_its_row(
    page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot
) -> None:
    ended = entry("t-5", "ended", 5, outcome="stopped"), entry("t-6", "ended", 6, outcome="completed")
    arrive(page, queue(entry("t-1", "running"), *ended))

    def offered(trial: str) -> list[QAction]:
        page.queue.choose(trial)
        return [a for a in page.queue.context_menu().actions() if a.text().startswith("Resume")]

    assert not offered("t-5"), "it left no checkpoint"
    workbench.resumable = ("t-5", "t-6")
    assert not offered("t-6"), "it has completed"
    (action,) = offered("t-5")
    action.trigger()
    qtbot.waitUntil(lambda: ("resume", ("t-5",)) in workbench.asked)


def test_that_a_narrow_window_puts_the_right_column_behind_a_button(page: MonitorPage, qtbot: QtBot) -> None:
    assert page.queue.isVisible()
    page.resize(1048, 600)
    assert not page.queue.isVisible()
    assert page.tools.side.isVisible()
    page.tools.side.click()
    assert page.queue.isVisible()
    page.resize(1368, 800)
    assert page.queue.isVisible()


def test_that_every_button_has_a_name_and_a_tooltip(page: MonitorPage) -> None:
    arrive(page, full_queue())
    for button in page.findChildren(QWidget):
        if button.metaObject().className() in ("QToolButton", "ToolButton", "QPushButton") and button.isVisible():
            named = button.accessibleName() or getattr(button, "text", str)()
            assert named, button


def test_that_phases_without_room_for_their_names_are_named_beside_the_charts_and_not_on_their_axis(
    page: MonitorPage, qtbot: QtBot
) -> None:
    arrive(page, full_queue())
    page.services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(lambda: page.charts.redraws > 0)
    page.charts.fit()
    lane, legend = page.charts.lane, page.tools.legend
    qtbot.waitUntil(lambda: bool(legend._phases))
    assert "prefill" in [title for title, _ in legend._phases]
    assert legend.isVisible()
    assert legend.geometry().right() <= page.tools.width()
    assert not lane._legend, "once is enough"
    page.charts.set_trial(None)
    page.tools.refresh()
    assert not legend.isVisible()
