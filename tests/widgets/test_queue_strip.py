"""What the queue strip says: pure first, then the widget."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
import pytest
from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Allocation, QueueEntry, QueueState
from widgets.queue.allocations import jobs_text, waiting_text
from widgets.queue.strip import QueueStrip
from widgets.queue.strip_view import about, seconds_left, strip_view
from widgets.theme.theme import Theme
from workbench.running.queues import joined

S = 1_000_000_000
NOW = 1_000_000.0


def entry(trial: str, state: str, **fields: object) -> QueueEntry:
    values: dict[str, object] = {
        "trial": trial,
        "experiment": "e",
        "store": "s",
        "title": f"model {trial}",
        "experiment_title": "precisions",
        "configuration": "c",
        "color": 1,
        "block": 0,
        "position": 0,
        "total": 4,
        "device": "cpu",
        "state": state,
    }
    return QueueEntry(**(values | fields))  # type: ignore[arg-type]


def queue(*entries: QueueEntry, paused: bool = False, reason: str = "") -> QueueState:
    return QueueState(entries=entries, paused=paused, pause_reason=reason)


def ended(trial: str, seconds: float, **fields: object) -> QueueEntry:
    start = round((NOW - 500) * S)
    times = {"started_wall_ns": start, "ended_wall_ns": start + round(seconds * S), "outcome": "completed"}
    return entry(trial, "ended", **(times | fields))


def test_that_time_left_is_the_sum_of_what_is_expected() -> None:
    state = queue(entry("a", "waiting", expected_s=30.0), entry("b", "waiting", expected_s=12.0))
    assert seconds_left(state, NOW) == pytest.approx(42.0)


def test_that_finished_trials_teach_how_long_their_configuration_takes() -> None:
    state = queue(ended("a", 60.0, expected_s=30.0), entry("b", "waiting", expected_s=30.0))
    assert seconds_left(state, NOW) == pytest.approx(60.0)


def test_that_other_configurations_are_corrected_by_the_same_factor() -> None:
    other = entry("b", "waiting", configuration="d", expected_s=10.0)
    assert seconds_left(queue(ended("a", 60.0, expected_s=30.0), other), NOW) == pytest.approx(20.0)


def test_that_a_running_trial_counts_only_what_is_left_of_it() -> None:
    started = round((NOW - 10) * S)
    running = entry("a", "running", expected_s=30.0, started_wall_ns=started)
    assert seconds_left(queue(running), NOW) == pytest.approx(20.0)
    assert seconds_left(queue(running), NOW + 60) == 0.0


def test_that_one_unknown_trial_makes_the_time_unknown() -> None:
    state = queue(entry("a", "waiting", expected_s=30.0), entry("b", "waiting", configuration="d"))
    assert seconds_left(state, NOW) is None
    assert strip_view(state, NOW).left == ""


def test_that_devices_run_side_by_side() -> None:
    state = queue(
        entry("a", "waiting", expected_s=30.0),
        entry("b", "waiting", expected_s=50.0, device="cuda:GPU-1", configuration="d"),
    )
    assert seconds_left(state, NOW) == pytest.approx(50.0)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (37.0, "35 s"), (700.0, "12 min"), (5760.0, "1 h 36 min")])
def test_that_times_are_no_finer_than_anyone_knows(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_that_the_bar_counts_the_whole_experiment() -> None:
    state = queue(
        entry("b", "running", position=1, fraction=0.5, started_wall_ns=round((NOW - 5) * S)),
        entry("c", "waiting", position=2),
        entry("d", "waiting", position=3),
        ended("a", 60.0),
    )
    view = strip_view(state, NOW)
    assert view.fraction == pytest.approx(1.5 / 4)
    assert view.detail.startswith("precisions · trial 2 of 4")
    assert view.next == "model c"
    assert view.waiting == 2


def test_that_failures_are_counted_and_stops_are_not() -> None:
    state = queue(entry("a", "running"), ended("b", 1, outcome="failed"), ended("c", 1, outcome="stopped"))
    assert strip_view(state, NOW).failed == 1


def test_that_a_queue_paused_by_the_runner_says_why() -> None:
    state = queue(entry("a", "waiting"), paused=True, reason="disk full: 3 MiB left in /data")
    assert strip_view(state, NOW).idle == "disk full: 3 MiB left in /data"


def test_that_an_empty_queue_says_so_and_no_runner_is_not_an_empty_queue() -> None:
    assert strip_view(queue(), NOW).idle == "No trials running or queued."
    assert strip_view(None, NOW).idle == "Waiting for the runner."


def test_that_the_strip_shows_what_runs_and_asks_to_pause(qtbot: QtBot, theme: Theme) -> None:
    strip = QueueStrip(theme)
    qtbot.addWidget(strip)
    strip.resize(1440, 44)
    strip.show()
    assert not strip.pause.isEnabled()
    strip.set_queue(
        queue(entry("a", "running", expected_s=40.0, fraction=0.25), entry("b", "waiting", expected_s=40.0))
    )
    assert strip.title.text() == "model a"
    assert strip.bar.isVisible()
    assert strip.next.text() == "Next: model b"
    assert strip.left.text().startswith("about ")
    with qtbot.waitSignal(strip.pause_toggled) as asked:
        strip.pause.click()
    assert asked.args == [True]
    strip.set_queue(queue(entry("a", "waiting"), paused=True))
    assert strip.pause.text() == "Resume"
    with qtbot.waitSignal(strip.pause_toggled) as asked:
        strip.pause.click()
    assert asked.args == [False]


def test_that_a_title_without_room_keeps_its_end_which_tells_it_from_the_others(qtbot: QtBot, theme: Theme) -> None:
    strip = QueueStrip(theme)
    qtbot.addWidget(strip)
    strip.set_queue(queue(entry("a", "running", title="A model with a very long name · bfloat16")))
    strip.show()
    strip.title.setFixedWidth(theme.px(150))
    qtbot.waitUntil(lambda: "…" in QLabel.text(strip.title))
    assert QLabel.text(strip.title).endswith("bfloat16")
    assert strip.title.toolTip() == "A model with a very long name · bfloat16"


def test_that_the_strips_clock_stops_when_nothing_runs_or_nobody_looks(qtbot: QtBot, theme: Theme) -> None:
    strip = QueueStrip(theme)
    qtbot.addWidget(strip)
    running = queue(entry("a", "running"))
    strip.set_queue(running)
    assert not strip._clock.isActive()
    strip.show()
    assert strip._clock.isActive()
    strip.set_queue(queue())
    assert not strip._clock.isActive()
    strip.set_queue(running)
    strip.hide()
    assert not strip._clock.isActive()


def test_that_the_summary_reads_as_a_sentence() -> None:
    view = strip_view(queue(entry("a", "running"), entry("b", "waiting")), NOW)
    assert replace(view, left="about 12 min left").summary == (
        "model a, precisions · trial 1 of 4, about 12 min left, 1 waiting"
    )


def test_that_machines_work_side_by_side() -> None:
    state = queue(entry("a", "waiting", expected_s=30.0), entry("b", "waiting", expected_s=12.0, machine="lab"))
    assert seconds_left(state, NOW) == pytest.approx(30.0)


def test_that_the_strip_names_a_machine_that_is_paused_alone(qtbot: QtBot, theme: Theme) -> None:
    strip = QueueStrip(theme)
    qtbot.addWidget(strip)
    strip.set_queue(queue(entry("a", "running")), ("gpu-box",))
    assert strip.detail.text().endswith("gpu-box paused")


def job(id: str, state: Literal["waiting", "running", "ending"] = "waiting", **more: str) -> Allocation:
    return Allocation(id=id, state=state, **more)  # type: ignore[arg-type]


def test_that_the_strip_says_why_a_cluster_starts_nothing_yet() -> None:
    waiting = tuple(job(str(n), reason="Resources") for n in range(3))
    state = QueueState(entries=(entry("a", "waiting"),), paused=False, nothing_starts="Odd.", allocations=waiting)
    assert strip_view(state, NOW).idle == (
        "No trial can start yet: 3 jobs waiting in Slurm: no node has room (Resources)."
    )
    held = msgspec.structs.replace(state, allocations=(), nothing_starts="It has not begun with what waits.")
    assert strip_view(held, NOW).idle == "It has not begun with what waits."
    paused = msgspec.structs.replace(state, paused=True)
    assert "paused" in strip_view(paused, NOW).idle
    assert strip_view(queue(entry("a", "waiting")), NOW).idle == "The next trial is about to start."


def test_that_a_running_trial_does_not_hide_the_jobs_that_wait() -> None:
    state = QueueState(
        entries=(entry("a", "running"), entry("b", "waiting")),
        paused=False,
        allocations=(job("7", "running", node="node-1"), job("8", reason="Priority")),
    )
    assert strip_view(state, NOW).detail.endswith("1 job waiting in Slurm: other jobs come first (Priority)")
    assert jobs_text(state.allocations) == (
        "1 job running on node-1; 1 job waiting in Slurm: other jobs come first (Priority)"
    )


def test_that_a_reason_that_is_not_known_stays_in_slurm_s_words() -> None:
    assert waiting_text((job("8", reason="QOSGrpNodeLimit"),)) == "1 job waiting in Slurm: QOSGrpNodeLimit"
    assert waiting_text((job("8"),)) == "1 job waiting in Slurm"
    assert waiting_text((job("", reason="Slurm does not answer"),)) == "Slurm does not answer"
    assert waiting_text(()) == ""
    nodes = tuple(job(str(n), "running", node=f"n{n}") for n in range(5))
    assert jobs_text(nodes) == "5 jobs running on n0, n1, n2 and 2 more"


def test_that_several_queues_name_the_machine_by_its_title() -> None:
    held = QueueState(entries=(entry("a", "waiting", machine="lab"),), paused=False, nothing_starts="Not begun.")
    state = joined({"this": queue(), "lab": held}, {"lab": "gpu-box"}.__getitem__)
    assert strip_view(state, NOW).idle == "gpu-box: Not begun."


def test_that_what_a_cluster_says_is_never_longer_than_anybody_reads() -> None:
    state = QueueState(
        entries=(), paused=False, nothing_starts="x" * 100_000, allocations=(job("1", reason="y" * 100_000),)
    )
    shown = state.of_machine("lab")
    assert len(shown.nothing_starts) == len(shown.allocations[0].reason) == 4_000


def test_that_the_strip_names_a_machine_that_does_not_answer(qtbot: QtBot, theme: Theme) -> None:
    strip = QueueStrip(theme)
    qtbot.addWidget(strip)
    strip.set_queue(queue(entry("a", "running")), (), ("gpu-box",))
    assert strip.detail.text().endswith("no answer from gpu-box")
