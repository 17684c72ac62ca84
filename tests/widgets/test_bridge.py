"""Events and answers from other threads arrive on the main thread, joined, and never at something destroyed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot
from shiboken6 import isValid

from engines.protocol.messages import QueueState
from engines.protocol.records import Log
from widgets.background.bridge import Bridge, joined
from workbench.running.events import Event, Notice, QueueChanged, RecordsArrived, StoreChanged
from workbench.store.operations import GetStoreId, Operation, StoreError


class FakeWorkbench:
    """Answers every operation with its type's name, on a thread of its own."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Event], None]] = []
        self.pool = ThreadPoolExecutor(max_workers=1)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def submit_operation(self, operation: Operation[object]) -> Future[object]:
        return self.pool.submit(lambda: type(operation).__name__)

    def say(self, event: Event) -> None:
        thread = threading.Thread(target=lambda: [listener(event) for listener in self.listeners])
        thread.start()
        thread.join()


@pytest.fixture
def fake() -> Iterator[FakeWorkbench]:
    made = FakeWorkbench()
    yield made
    made.pool.shutdown()


@pytest.fixture
def bridge(qtbot: QtBot, fake: FakeWorkbench) -> Iterator[Bridge]:
    made = Bridge()
    made.attach(fake)  # type: ignore[arg-type]
    yield made
    made.close()


class Receiver(QObject):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[object] = []
        self.threads: list[threading.Thread] = []

    def take(self, value: object) -> None:
        self.got.append(value)
        self.threads.append(threading.current_thread())


def test_that_events_arrive_on_the_main_thread(qtbot: QtBot, bridge: Bridge, fake: FakeWorkbench) -> None:
    receiver = Receiver()
    bridge.notice.connect(receiver.take)
    fake.say(Notice("info", "hello"))
    qtbot.waitUntil(lambda: bool(receiver.got))
    assert receiver.got == [Notice("info", "hello")]
    assert receiver.threads == [threading.main_thread()]


def test_that_a_burst_of_records_becomes_few_signals_and_loses_none(
    qtbot: QtBot, bridge: Bridge, fake: FakeWorkbench
) -> None:
    arrived: list[int] = []
    batches: list[int] = []

    def take(trial: str, records: tuple[Log, ...]) -> None:
        batches.append(len(records))
        arrived.extend(r.seq for r in records)

    bridge.records_arrived.connect(take)

    def burst() -> None:
        for seq in range(5000):
            fake.listeners[0](RecordsArrived("t", (Log(seq=seq, level="info", source="x", text=""),)))

    thread = threading.Thread(target=burst)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: len(arrived) == 5000)
    assert arrived == list(range(5000))
    assert len(batches) < 50


def test_that_only_the_last_queue_of_a_batch_is_told(qtbot: QtBot, bridge: Bridge, fake: FakeWorkbench) -> None:
    receiver = Receiver()
    bridge.queue_changed.connect(receiver.take)
    states = [QueueState(entries=(), paused=bool(i % 2)) for i in range(7)]
    for state in states:
        fake.listeners[0](QueueChanged(state))
    qtbot.waitUntil(lambda: bool(receiver.got))
    assert receiver.got == [states[-1]]
    assert bridge.queue is states[-1]


def test_that_store_changes_are_joined_and_everything_wins() -> None:
    one, two = StoreChanged(("e1",), ("t1",)), StoreChanged(("e2",), ("t1", "t2"))
    assert joined([one, two]) == StoreChanged(("e1", "e2"), ("t1", "t2"))
    assert joined([one, StoreChanged()]) == StoreChanged()


def test_that_an_operation_is_answered_on_the_main_thread(qtbot: QtBot, bridge: Bridge) -> None:
    receiver = Receiver()
    bridge.run(GetStoreId(), receiver.take)
    qtbot.waitUntil(lambda: bool(receiver.got))
    assert receiver.got == ["GetStoreId"]
    assert receiver.threads == [threading.main_thread()]


def test_that_an_operation_waits_for_the_workbench(qtbot: QtBot, fake: FakeWorkbench) -> None:
    bridge, receiver = Bridge(), Receiver()
    bridge.run(GetStoreId(), receiver.take)
    qtbot.wait(50)
    assert receiver.got == []
    bridge.attach(fake)  # type: ignore[arg-type]
    qtbot.waitUntil(lambda: receiver.got == ["GetStoreId"])
    bridge.close()


def test_that_a_failure_reaches_its_handler_or_becomes_a_notice(qtbot: QtBot, bridge: Bridge) -> None:
    def fail() -> None:
        raise StoreError("The disk is full.", "Make room.")

    failed, noticed = Receiver(), Receiver()
    bridge.notice.connect(noticed.take)
    bridge.run(fail, None, failed.take)
    qtbot.waitUntil(lambda: bool(failed.got))
    assert str(failed.got[0]) == "The disk is full."
    assert noticed.got == []
    bridge.run(fail)
    qtbot.waitUntil(lambda: bool(noticed.got))
    assert noticed.got == [Notice("error", "The disk is full.", "Make room.", "store")]


def test_that_nothing_is_delivered_to_a_destroyed_receiver(qtbot: QtBot, bridge: Bridge) -> None:
    release, receiver = threading.Event(), Receiver()
    calls = receiver.got
    job = bridge.run(release.wait, receiver.take)
    receiver.deleteLater()
    qtbot.waitUntil(lambda: not isValid(receiver))
    release.set()
    other = Receiver()
    bridge.run(lambda: 1, other.take)
    qtbot.waitUntil(lambda: bool(other.got) and job.future is not None and job.future.done())
    qtbot.wait(50)
    assert calls == []


def test_that_a_cancelled_job_is_not_delivered(qtbot: QtBot, bridge: Bridge) -> None:
    release, receiver = threading.Event(), Receiver()
    job = bridge.run(release.wait, receiver.take)
    job.cancel()
    release.set()
    qtbot.waitUntil(lambda: job.future is not None and job.future.done())
    qtbot.wait(50)
    assert receiver.got == []


def test_that_a_closed_bridge_is_silent(qtbot: QtBot, fake: FakeWorkbench) -> None:
    bridge, receiver = Bridge(), Receiver()
    bridge.attach(fake)  # type: ignore[arg-type]
    bridge.notice.connect(receiver.take)
    fake.listeners[0](Notice("info", "too late"))
    bridge.close()
    qtbot.wait(80)
    assert receiver.got == []
    assert fake.listeners == []
    assert bridge.run(lambda: 1, receiver.take).cancelled


@pytest.mark.parametrize("what", ["event", "answer"])
def test_that_closing_waits_for_a_thread_that_is_about_to_send_a_signal(
    qtbot: QtBot, fake: FakeWorkbench, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It has seen that the bridge is open and alive; the bridge may be destroyed as soon as it is closed."""
    bridge, sending, go_on = Bridge(), threading.Event(), threading.Event()
    bridge.attach(fake)  # type: ignore[arg-type]
    listener = fake.listeners[0]

    def slow(asked: object) -> bool:
        if threading.current_thread() is not threading.main_thread():
            sending.set()
            go_on.wait()
        return isValid(asked)

    monkeypatch.setattr("widgets.background.bridge.isValid", slow)
    if what == "event":
        thread = threading.Thread(target=lambda: listener(Notice("info", "late")))
        thread.start()
    else:
        asked = threading.Event()
        fake.pool.submit(asked.wait)
        bridge.run(GetStoreId())
        asked.set()
    assert sending.wait(60)
    let_go = threading.Timer(0.2, go_on.set)
    let_go.start()
    bridge.close()
    assert go_on.is_set()
    let_go.join()
    if what == "event":
        thread.join()
