"""The header of a trial: stop, kill and pause, phases and times, where it runs, how it failed."""

from __future__ import annotations

import msgspec
import pytest
from pytestqt.qtbot import QtBot

from engines.protocol.orders import Training
from engines.protocol.records import ClockPair, PhaseStarted, TrialEnded, TrialStarted
from tests.builders import probe_result, processor, trial_order
from tests.widgets.monitor.kit import FakeWorkbench, arrive, full_queue
from tests.widgets.queue_kit import entry, queue
from tests.workbench.synthetic import FakeTrial, records
from widgets.monitor.header_now import header_now, where_it_runs, workload_text
from widgets.monitor.header_view import segments
from widgets.monitor.page import MonitorPage
from widgets.parts.phrases import span
from workbench.charts.series import Phase, TrialData
from workbench.running.events import RunnerLink


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


def test_that_a_failed_trial_says_what_happened_and_what_to_do(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    told = records(FakeTrial(outcome="failed"))
    page.services.bridge.records_arrived.emit("t-1", told)
    ended = next(r for r in told if isinstance(r, TrialEnded))
    qtbot.waitUntil(lambda: ended.message in page.header.line.text())
    assert ended.advice in page.header.line.text()
    assert not page.header.kill.isVisible()


def test_that_a_trial_names_the_machine_it_ran_on_and_not_this_one() -> None:
    waits = entry("t-1", "waiting")
    told = TrialData(trial="t-1", title="x", environment={"cpu.model": "Another Processor", "cpu.cores": "2"})
    here = probe_result(processor(title="This Processor, 8 cores"))
    assert where_it_runs(told, None, waits, here) == "Another Processor, 2 cores"
    assert where_it_runs(TrialData(trial="t-1", title="x"), None, waits, here) == "This Processor, 8 cores"
    assert where_it_runs(None, None, None, here) == ""


def test_that_the_line_of_a_training_counts_its_micro_batches() -> None:
    order = trial_order(workload=Training())
    assert workload_text(order) == "60 steps, batch 4, 128 tokens a sequence"
    more = msgspec.structs.replace(order, workload=Training(accumulation=2))
    assert workload_text(more) == "60 steps, batch 4 × 2, 128 tokens a sequence"


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


def test_that_a_phase_counts_from_where_it_began_and_the_trial_from_where_its_worker_was_made() -> None:
    data = TrialData("t-1", "x")
    wall_ns = 1_000_000_000_000
    data.take(TrialStarted(t_ns=0, clock=ClockPair(wall_ns=wall_ns, mono_ns=0), worker_pid=1, threads=1))
    data.take(PhaseStarted(t_ns=2_000_000_000, name="load"))
    running = entry("t-1", "running", started_wall_ns=wall_ns - 20_000_000_000)
    view = header_now(data, running, queue(running), "", 1005.0)
    assert view.so_far == "25 s so far"
    assert next(segment.text for segment in view.segments if segment.name == "load") == "load 3.0 s"


def test_that_at_double_text_size_the_buttons_move_under_the_title(page: MonitorPage) -> None:
    arrive(page, full_queue())
    header, theme = page.header, page.services.theme
    header.setFixedWidth(1040)
    assert header.pause.y() == header.kill.y()
    assert header.height() == theme.px(64)
    theme.choose("light", 2.0)
    header.layout().activate()
    buttons = (header.pause, header.stop, header.kill)
    assert header.pause.y() > header.title.y()
    assert all(b.x() >= 0 and b.x() + b.width() <= header.width() for b in buttons)
    assert all(b.width() >= b.sizeHint().width() for b in buttons)
    assert header.title.width() > theme.px(80)


def test_that_a_trial_whose_machine_does_not_answer_counts_no_time(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    assert page.header.left.isVisible()
    page.services.bridge.say_link(RunnerLink("lost", "Gone."))
    qtbot.waitUntil(lambda: page.header.line.text().startswith("no answer, last known · "))
    assert not page.header.left.isVisible()
    page.services.bridge.say_link(RunnerLink("connected"))
    qtbot.waitUntil(lambda: "no answer" not in page.header.line.text())
