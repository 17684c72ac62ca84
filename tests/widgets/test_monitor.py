"""The Monitor page: which trial it shows, what it does to the queue, its models and its plain view values."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QWidget
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Device, ProbeResult, QueueEntry, QueueState
from engines.protocol.records import Cue, Log, PhaseStarted, Record, Sensor, SensorLost, Sensors, TrialEnded
from widgets.monitor import make_page
from widgets.monitor.header_now import where_it_runs
from widgets.monitor.header_view import segments, span
from widgets.monitor.log_model import LogModel
from widgets.monitor.page import MonitorPage
from widgets.monitor.queue_model import QueueModel
from widgets.monitor.queue_rows import dropped, failed_trials, moved, queue_rows
from widgets.monitor.sensor_panel import EnvironmentModel, SensorModel
from widgets.monitor.sensor_rows import quantity_text, sensor_rows
from widgets.services import Services
from widgets.theme import Theme
from workbench.series import Phase, TrialData
from workbench.store.operations import StoreError

sys.path.insert(0, str(Path(__file__).parents[1] / "workbench"))
import synthetic

NOW = 1_790_000_000.0


class FakeStore:
    """A store that has nothing: every trial that is asked for is not found."""

    def execute(self, operation: object) -> object:
        raise StoreError("There is no trial t-9.", "Nothing was changed.", code="not_found")

    def close(self) -> None: ...


class FakeWorkbench:
    """Remembers what the page asks of the runner; retried trials get new ids."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.store = FakeStore()
        self._pool = ThreadPoolExecutor(1)
        self.refuse = False

    def listen(self, listener: object) -> Callable[[], None]:
        return lambda: None

    def submit_operation(self, operation: object) -> Future[Any]:
        return self._pool.submit(self.store.execute, operation)

    def pause(self, paused: bool) -> None:
        self.asked.append(("pause", paused))

    def stop(self, trial: str, *, kill: bool = False) -> None:
        if self.refuse:
            raise StoreError("The runner does not answer.", "The trial goes on; nothing is lost.")
        self.asked.append(("stop", trial, kill))

    def reorder(self, trials: tuple[str, ...]) -> None:
        self.asked.append(("reorder", trials))

    def retry(self, trials: tuple[str, ...]) -> tuple[str, ...]:
        self.asked.append(("retry", trials))
        return tuple(f"{t}-again" for t in trials)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def workbench(services: Services) -> Iterator[FakeWorkbench]:
    fake = FakeWorkbench()
    services.bridge.attach(fake)  # type: ignore[arg-type]
    yield fake
    services.bridge.detach()
    fake.close()


@pytest.fixture
def page(qtbot: QtBot, services: Services, workbench: FakeWorkbench) -> Iterator[MonitorPage]:
    made = make_page(services)
    assert isinstance(made, MonitorPage)
    qtbot.addWidget(made)
    made.resize(1368, 800)
    with qtbot.waitExposed(made):
        made.show()
    made.activated()
    yield made
    made.shutdown()


def entry(trial: str, state: str, position: int = 0, **more: Any) -> QueueEntry:
    values: dict[str, Any] = {
        "title": "SmolLM2 · int8",
        "experiment": "e",
        "store": "s",
        "experiment_title": "precision",
        "configuration": "c",
        "color": 2,
        "block": 0,
        "total": 5,
        "device": "cpu",
        "expected_s": 40.0,
    } | more
    return QueueEntry(trial=trial, state=state, position=position, **values)


def queue(*entries: QueueEntry, paused: bool = False) -> QueueState:
    return QueueState(entries=entries, paused=paused)


def full_queue(now: float | None = None) -> QueueState:
    """`now`: wall time (s) at which the running trial has run for 20 s."""
    started = (time.time() if now is None else now) - 20
    return queue(
        entry("t-1", "running", 1, fraction=0.5, started_wall_ns=int(started * 1e9)),
        entry("t-2", "waiting", 2),
        entry("t-3", "waiting", 3, block=1),
        entry("t-4", "waiting", 4, block=1),
        entry("t-0", "ended", 0, outcome="failed", failure="out_of_memory"),
    )


def stream(trial: str = "t-1", part: float = 1.0) -> tuple[Record, ...]:
    records = synthetic.records(synthetic.FakeTrial(trial=trial, new_tokens=16))
    return records[: max(1, round(len(records) * part))]


def arrive(page: MonitorPage, state: QueueState) -> None:
    page.services.bridge.queue = state
    page.services.bridge.queue_changed.emit(state)


# --- the page ---------------------------------------------------------------------------------------


def test_that_an_idle_page_says_what_would_stand_here_and_leads_to_setup(page: MonitorPage, services: Services) -> None:
    assert page.empty.title.text() == "Nothing is running"
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


def test_that_kill_asks_once_in_place(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.header.kill.click()
    assert workbench.asked == []
    assert page.header.kill.text() == "Kill now? Click again"
    page.header.kill.click()
    qtbot.waitUntil(lambda: workbench.asked == [("stop", "t-1", True)])


def test_that_stop_keeps_and_pause_waits_for_the_end(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.header.stop.click()
    qtbot.waitUntil(lambda: ("stop", "t-1", False) in workbench.asked)
    page.header.pause.click()
    qtbot.waitUntil(lambda: ("pause", True) in workbench.asked)


def test_that_a_refused_stop_is_told_as_a_toast(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    workbench.refuse = True
    arrive(page, full_queue())
    page.stop()
    qtbot.waitUntil(lambda: len(page.services.toasts.history) == 1)
    toast = page.services.toasts.history[0]
    assert (toast.severity, toast.message) == ("error", "The runner does not answer.")
    assert "nothing is lost" in toast.advice


def test_that_an_unknown_trial_is_told_and_the_page_stays_usable(page: MonitorPage, qtbot: QtBot) -> None:
    page.current.show("t-9")
    qtbot.waitUntil(lambda: len(page.services.toasts.history) == 1)
    assert page.services.toasts.history[0].message == "There is no trial t-9."
    assert page.current.id == ""


def test_that_removing_can_be_undone_at_the_old_place(
    page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot
) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-3")))
    qtbot.keyClick(page.queue.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: workbench.asked == [("stop", "t-3", False)])
    assert page.undo_text() == "removing a trial"
    assert page.undo()
    qtbot.waitUntil(lambda: len(workbench.asked) == 3)
    assert workbench.asked[1:] == [("retry", ("t-3",)), ("reorder", ("t-2", "t-3-again", "t-4"))]
    assert not page.undo()


def test_that_alt_and_arrows_reorder_waiting_trials(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-3")))
    qtbot.keyClick(page.queue.view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: workbench.asked == [("reorder", ("t-3", "t-2", "t-4"))])
    page.undo()
    qtbot.waitUntil(lambda: workbench.asked[-1] == ("reorder", ("t-2", "t-3", "t-4")))


def test_that_dropping_rows_asks_for_their_new_order(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    model = page.queue.model
    data = model.mimeData([model.index(model.row_of("t-4"))])
    model.dropMimeData(data, Qt.DropAction.MoveAction, model.row_of("t-2"), 0, model.index(-1))
    qtbot.waitUntil(lambda: workbench.asked == [("reorder", ("t-4", "t-2", "t-3"))])


def test_that_failed_trials_are_retried_together(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.queue.retry.click()
    qtbot.waitUntil(lambda: ("retry", ("t-0",)) in workbench.asked)


def test_that_a_narrow_window_puts_the_right_column_behind_a_button(page: MonitorPage, qtbot: QtBot) -> None:
    assert page.queue.isVisible()
    page.resize(1048, 600)
    assert not page.queue.isVisible()
    assert page.tools.side.isVisible()
    page.tools.side.click()
    assert page.queue.isVisible()
    page.resize(1368, 800)
    assert page.queue.isVisible()


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
    page.outgoing.charts("svg")  # nothing is shown: nothing is asked, nothing is written
    arrive(page, queue(entry("t-1", "running")))
    services.bridge.records_arrived.emit("t-1", stream())
    qtbot.waitUntil(page.tools.export.isEnabled)
    next(a for a in page.tools.export.menu().actions() if "SVG" in a.text()).trigger()
    qtbot.waitUntil(lambda: bool(services.toasts.history))
    assert services.toasts.history[-1].severity == "good", services.toasts.history[-1]
    names = sorted(p.name for p in tmp_path.glob("*.svg"))
    assert [n.rpartition("-")[2] for n in names] == ["memory.svg", "throughput.svg", "utilisation.svg"]
    assert all(n.startswith("smollm2") for n in names)


def test_that_the_log_shows_cues_as_warnings_and_filters(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    records = stream(part=0.5)
    extra = (
        Log(level="debug", source="torch", text="details", t_ns=records[-1].t_ns),
        Cue(code="clocks", text="the clock fell", t_ns=records[-1].t_ns),
    )
    page.services.bridge.records_arrived.emit("t-1", records + extra)
    qtbot.waitUntil(lambda: "the clock fell" in page.log.model.text_of(range(page.log.model.rowCount())))
    assert "details" not in page.log.model.text_of(range(page.log.model.rowCount()))
    page.log.filter.setText("cl.cks")
    qtbot.waitUntil(lambda: page.log.model.rowCount() == 1)
    page.log.filter.setText("[")
    qtbot.waitUntil(lambda: bool(page.log.filter.toolTip()))
    path = page.log.write_file()
    assert path is not None
    assert path.exists()


# --- models and values ------------------------------------------------------------------------------


def test_that_the_queue_model_is_a_good_item_model_also_when_it_changes(
    qtbot: QtBot, qtmodeltester: ModelTester
) -> None:
    model = QueueModel()
    model.show_rows(queue_rows(full_queue(), NOW))
    qtmodeltester.check(model)
    kept = model.index(model.row_of("t-3"))
    held = [kept]
    state = full_queue()
    e = state.entries
    model.show_rows(queue_rows(queue(e[0], e[2], e[1], e[3], e[4]), NOW))
    assert held[0].row() == 2  # a plain index does not move; the row it names is another trial now
    assert model.rows[1].trial == "t-3"
    model.show_rows(queue_rows(queue(*e[:2]), NOW))
    assert model.rowCount() == 2
    qtmodeltester.check(model)


def test_that_the_selection_stays_on_its_trial_when_the_queue_moves(page: MonitorPage) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-4")))
    e = full_queue().entries
    arrive(page, queue(e[0], e[3], e[1], e[2], e[4]))
    assert page.queue.chosen() == ("t-4",)
    arrive(page, queue(e[0], e[3], e[4]))
    assert page.queue.chosen() == ("t-4",)


def test_that_the_log_and_sensor_models_are_good_item_models(
    qtbot: QtBot, theme: Theme, qtmodeltester: ModelTester
) -> None:
    log = LogModel(theme)
    lines = [Log(level="info", source="runner", text=f"line {i}", t_ns=i) for i in range(5)]
    log.set_log(lines, [], str)
    qtmodeltester.check(log)
    lines.append(Log(level="error", source="stderr", text="broken\nin two lines", t_ns=9))
    assert log.update()
    assert log.rowCount() == 6
    sensors, facts = SensorModel(), EnvironmentModel()
    data = TrialData(trial="t", title="t")
    for record in stream():
        data.take(record)
    sensors.show_rows(sensor_rows(data))
    facts.show_facts({"gpu.driver": "580", "python": "3.11"})
    for model in (sensors, facts):
        qtmodeltester.check(model)


def test_that_missing_and_lost_sensors_say_why_and_never_zero() -> None:
    data = TrialData(trial="t", title="t")
    made = {"method": "NVML", "rate_hz": 10.0}
    data.take(
        Sensors(
            sensors=(
                Sensor(source="nvml.0", quantity="power_watts", title="Power", **made),
                Sensor(source="proc.tree", quantity="rss_bytes", title="Memory", **made),
                Sensor(
                    source="rapl",
                    quantity="power_watts",
                    title="CPU power",
                    available=False,
                    reason="Root only.",
                    **made,
                ),
            )
        )
    )
    data.take(SensorLost(source="nvml.0", reason="The driver went away."))
    rows = {r.title: r for r in sensor_rows(data)}
    assert rows["Memory"].value == "no reading yet"
    assert not rows["Power"].available
    assert "The driver went away." in rows["Power"].reason
    assert (rows["CPU power"].value, rows["CPU power"].reason) == ("not available", "Root only.")


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        ("rss_bytes", 2.11 * 1024**3, "2.11 GiB"),
        ("utilisation_ratio", 0.93, "93.0 %"),
        ("power_watts", 404.2, "404 W"),
        ("energy_joules", 2410.0, "2.41 kJ"),
        ("sm_clock_hertz", 1.965e9, "1,965 MHz"),
        ("temperature_celsius", 47.0, "47 °C"),
        ("swap_bytes", 0.0, "0 B"),
    ],
)
def test_that_readings_carry_units_people_use(quantity: str, value: float, text: str) -> None:
    assert quantity_text(quantity, value) == text


def test_that_queue_rows_say_time_left_and_outcome() -> None:
    now = 1_760_000_000.0
    state = full_queue(now)
    rows = {r.trial: r for r in queue_rows(state, now)}
    assert rows["t-1"].left == "20 s left"
    assert rows["t-2"].left == "40 s"
    assert (rows["t-0"].left, rows["t-0"].tone) == ("out of memory", "error")
    assert rows["t-3"].block == "2 of 2"
    assert failed_trials(state) == ("t-0",)


def test_that_moving_keeps_the_chosen_together_and_stops_at_the_ends() -> None:
    waiting = ("a", "b", "c", "d")
    assert moved(waiting, ("b", "c"), -1) == ("b", "c", "a", "d")
    assert moved(waiting, ("a", "b"), -1) == waiting
    assert moved(waiting, ("a", "c"), 1) == ("b", "a", "d", "c")
    assert dropped(waiting, ("d", "a"), "c") == ("b", "a", "d", "c")
    assert dropped(waiting, ("a",), None) == ("b", "c", "d", "a")


def test_that_the_phase_bar_knows_what_is_behind_now_and_to_come() -> None:
    phases = [
        Phase("load", 0, 0.0, 4.0),
        Phase("warmup", 0, 4.0, 9.0),
        Phase("measure", 0, 9.0, None),
        Phase("decode", 0, 9.5, 12.0),
        Phase("decode", 1, 12.5, None),
    ]
    found = segments(phases, 14.0, 0.6)
    assert [(s.text, s.state) for s in found] == [
        ("load 4.0 s", "done"),
        ("warm-up 5.0 s", "done"),
        ("measure, request 2", "now"),
        ("evaluate", "to come"),
        ("unload", "to come"),
    ]
    assert [s.name for s in segments(phases, 14.0, None, running=False)] == ["load", "warmup", "measure"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.94, "0.9 s"), (36.2, "36 s"), (65, "1 min 05 s"), (5760, "1 h 36 min"), (59.8, "1 min 00 s")],
)
def test_that_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_that_a_failed_trial_says_what_happened_and_what_to_do(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    records = synthetic.records(synthetic.FakeTrial(outcome="failed"))
    page.services.bridge.records_arrived.emit("t-1", records)
    ended = next(r for r in records if isinstance(r, TrialEnded))
    qtbot.waitUntil(lambda: ended.message in page.header.line.text())
    assert ended.advice in page.header.line.text()
    assert not page.header.kill.isVisible()


def test_that_a_trial_names_the_machine_it_ran_on_and_not_this_one() -> None:
    waits = entry("t-1", "waiting")
    told = TrialData(trial="t-1", title="x", environment={"cpu.model": "Another Processor", "cpu.cores": "2"})
    cpu = Device(id="cpu", title="This Processor, 8 cores", memory_total_bytes=1, memory_free_bytes=1)
    here = ProbeResult(machine="host", devices=(cpu,), sensors=(), packages=(), facts={})
    assert where_it_runs(told, None, waits, here) == "Another Processor, 2 cores"
    assert where_it_runs(TrialData(trial="t-1", title="x"), None, waits, here) == "This Processor, 8 cores"
    assert where_it_runs(None, None, None, here) == ""


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


def test_that_a_trial_first_seen_in_its_middle_waits_for_the_store(page: MonitorPage) -> None:
    middle = tuple(r for r in stream() if r.seq > 10)
    assert not isinstance(middle[0], PhaseStarted) or middle[0].seq > 1
    page.services.bridge.records_arrived.emit("t-7", middle)
    assert page.current.trials.get("t-7") is None


def test_that_every_button_has_a_name_and_a_tooltip(page: MonitorPage) -> None:
    arrive(page, full_queue())
    for button in page.findChildren(QWidget):
        if button.metaObject().className() in ("QToolButton", "ToolButton", "QPushButton") and button.isVisible():
            named = button.accessibleName() or getattr(button, "text", str)()
            assert named, button
