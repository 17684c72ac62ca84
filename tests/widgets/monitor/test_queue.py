"""The queue beside the trial: removing, reordering, retrying, its model and its rows."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtCore import Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from engines.protocol.messages import Allocation, QueueState
from tests.widgets.monitor.kit import FakeWorkbench, arrive, full_queue
from tests.widgets.queue_kit import entry, queue
from widgets.monitor.page import MonitorPage
from widgets.parts.components import ElidedLabel
from widgets.queue.model import QueueModel, columns
from widgets.queue.rows import dropped, failed_trials, moved, queue_rows
from widgets.queue.strip_view import trial_seconds_left
from workbench.running.events import RunnerLink
from workbench.running.queues import joined, to_pause


def test_that_removing_can_be_undone_at_the_old_place(
    page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot
) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-3")))
    qtbot.keyClick(page.queue.view, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: workbench.asked == [("stop", "t-3", False)])
    assert page.undo_stack.undoText() == "removing a trial"
    page.undo_stack.undo()
    qtbot.waitUntil(lambda: len(workbench.asked) == 3)
    assert workbench.asked[1:] == [("retry", ("t-3",)), ("reorder", ("t-2", "t-3-again", "t-4"))]
    assert not page.undo_stack.canUndo()


def test_that_alt_and_arrows_reorder_waiting_trials(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-3")))
    qtbot.keyClick(page.queue.view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: workbench.asked == [("reorder", ("t-3", "t-2", "t-4"))])
    page.undo_stack.undo()
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


def test_that_the_selection_stays_on_its_trial_when_the_queue_moves(page: MonitorPage) -> None:
    arrive(page, full_queue())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("t-4")))
    e = full_queue().entries
    arrive(page, queue(e[0], e[3], e[1], e[2], e[4]))
    assert page.queue.chosen() == ("t-4",)
    arrive(page, queue(e[0], e[3], e[4]))
    assert page.queue.chosen() == ("t-4",)


# --- model and rows -------------------------------------------------------------------------------


NOW = 1_790_000_000.0


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


def test_that_queue_rows_say_time_left_and_outcome() -> None:
    now = 1_760_000_000.0
    state = full_queue(now)
    rows = {r.trial: r for r in queue_rows(state, now)}
    assert rows["t-1"].left == "20 s left"
    assert rows["t-2"].left == "40 s"
    assert (rows["t-0"].left, rows["t-0"].tone) == ("out of memory", "error")
    assert rows["t-3"].block == "2 of 2"
    assert failed_trials(state) == ("t-0",)


@pytest.mark.parametrize(
    ("fraction", "done", "left"),
    [
        (None, 10.0, 30.0),
        (None, 41.0, None),
        (0.01, 90.0, None),
        (0.5, 10.0, 10.0),
        (0.5, 30.0, 20.0),
        (0.5, 90.0, 90.0),
    ],
)
def test_that_a_trial_that_takes_longer_than_expected_goes_by_its_own_pace(
    fraction: float | None, done: float, left: float | None
) -> None:
    running = entry("t-1", "running", fraction=fraction, started_wall_ns=1_000_000_000_000)
    assert trial_seconds_left(running, 40.0, 1000.0 + done) == (None if left is None else pytest.approx(left))


def test_that_moving_keeps_the_chosen_together_and_stops_at_the_ends() -> None:
    waiting = ("a", "b", "c", "d")
    assert moved(waiting, ("b", "c"), -1) == ("b", "c", "a", "d")
    assert moved(waiting, ("a", "b"), -1) == waiting
    assert moved(waiting, ("a", "c"), 1) == ("b", "a", "d", "c")
    assert dropped(waiting, ("d", "a"), "c") == ("b", "a", "d", "c")
    assert dropped(waiting, ("a",), None) == ("b", "c", "d", "a")


def two_machines(*, lab_paused: bool = False) -> dict[str, QueueState]:
    there = queue(entry("l-1", "running", 1, device="cuda:1"), entry("l-2", "waiting", 2), entry("l-3", "waiting", 3))
    return {"this": full_queue(), "lab": msgspec.structs.replace(there.of_machine("lab"), paused=lab_paused)}


def arrive_both(page: MonitorPage, queues: dict[str, QueueState]) -> None:
    page.services.bridge.queues = queues
    arrive(page, joined(queues))


def test_that_each_machine_has_its_lane_and_its_own_pause(
    page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot
) -> None:
    arrive(page, full_queue())
    assert page.queue.lanes.isHidden(), "this computer alone needs none"
    arrive_both(page, two_machines())
    assert not page.queue.lanes.isHidden()
    assert list(page.queue.lanes.buttons) == ["this", "lab"]
    button = page.queue.lanes.buttons["lab"]
    assert button.accessibleName() == "Pause gpu-box"
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: ("pause", True, "lab") in workbench.asked)
    button.setFocus()
    arrive_both(page, two_machines(lab_paused=True))
    assert page.queue.lanes.buttons["lab"] is button
    assert button.accessibleName() == "Resume gpu-box"
    page.services.bridge.say_link(RunnerLink("lost", "Gone.", "lab"))
    texts = [w.text() for w in page.queue.lanes.findChildren(ElidedLabel)]
    assert texts[1] == "no answer, last known, 1 running, paused, 2 waiting, about 1 min 20 s"


def test_that_each_machine_keeps_its_own_order(page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot) -> None:
    arrive_both(page, two_machines())
    page.queue.view.setCurrentIndex(page.queue.model.index(page.queue.model.row_of("l-3")))
    qtbot.keyClick(page.queue.view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: workbench.asked == [("reorder", ("l-3", "l-2"), "lab")])
    page.undo_stack.undo()
    qtbot.waitUntil(lambda: workbench.asked[-1] == ("reorder", ("l-2", "l-3"), "lab"))
    page._reorder(("t-2", "t-3", "l-2", "t-4", "l-3"))
    assert len(workbench.asked) == 2, "the order of none is another"


def test_that_a_removed_trial_comes_back_to_its_own_machine(
    page: MonitorPage, workbench: FakeWorkbench, qtbot: QtBot
) -> None:
    arrive_both(page, two_machines())
    page._remove(("l-2",))
    page.undo_stack.undo()
    qtbot.waitUntil(lambda: len(workbench.asked) == 3)
    assert workbench.asked[2] == ("reorder", ("l-2-again", "l-3"), "lab")


def test_that_one_switch_pauses_those_with_something_to_do() -> None:
    queues = two_machines(lab_paused=True) | {"idle": queue()}
    assert to_pause(queues, True) == ("this",)
    assert to_pause(queues, False) == ("lab",)
    assert to_pause({"this": queue()}, True) == ("this",)
    assert to_pause({}, True) == ()


def test_that_a_cluster_s_lane_says_what_its_jobs_do(page: MonitorPage, qtbot: QtBot) -> None:
    there = queue(entry("l-2", "waiting", 2), entry("l-3", "waiting", 3)).of_machine("lab")
    jobs = tuple(Allocation(id=str(n), state="waiting", reason="Resources") for n in range(3))
    arrive_both(page, {"this": queue(), "lab": msgspec.structs.replace(there, allocations=jobs)})
    note = page.queue.lanes.notes["lab"]
    assert note.isVisible()
    assert note.text() == "3 jobs waiting in Slurm: no node has room (Resources)"
    running = (Allocation(id="7", state="running", node="node-1"), *jobs[:1])
    arrive_both(page, {"this": queue(), "lab": msgspec.structs.replace(there, allocations=running)})
    assert page.queue.lanes.notes["lab"].text().startswith("1 job running on node-1; 1 job waiting in Slurm")
    arrive_both(page, {"this": queue(), "lab": msgspec.structs.replace(there, nothing_starts="It has not begun.")})
    assert page.queue.lanes.notes["lab"].text() == "It has not begun."
    arrive_both(page, {"this": queue(), "lab": there})
    assert not page.queue.lanes.notes["lab"].isVisible()


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("width", [0, 80, 130, 144, 199, 200, 320])
def test_that_the_columns_of_a_narrow_queue_never_overlap(width: int, scale: int) -> None:
    def px(value: float) -> int:
        return round(value * scale)

    name, technique, block = columns(width * scale, px, True)
    assert min(name, technique, block) >= 0
    assert name >= technique or technique == px(64)
    assert name + technique + block + px(86) <= max(width * scale, px(86))
    assert bool(block) == (width >= 200)
    assert columns(width * scale, px, False) == (name + technique, 0, block)
