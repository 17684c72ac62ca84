"""A session whose threads meet: what one of them is at must not be taken from under it by another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.messages import Acknowledge, Done, GetQueue, QueueState, Reply, Request, Spool, SpoolList
from engines.protocol.places import Places
from tests.house import Heard, until
from tests.workbench.store_kit import add_experiment, ended, lines, started
from workbench.running import follower as follow
from workbench.running import kept_link
from workbench.running import workbench as session
from workbench.running.events import Event, Notice, RecordsArrived, RunnerLink
from workbench.running.follower import Follower
from workbench.running.intake import pending
from workbench.running.workbench import Workbench
from workbench.store.open import ReopeningStore
from workbench.store.operations import GetCounts, GetStoreId, GetTrial, Ingest, ListTrials, Operation, StoreError


@pytest.fixture
def opened(home: Places) -> Iterator[Workbench]:
    made = Workbench(places_=home)
    yield made
    made.close()


class FakeClient:
    """A connection whose calls a test answers."""

    clock = None

    def __init__(self, answer: Callable[[], QueueState]) -> None:
        self._answer = answer
        self.closed = threading.Event()

    def call(self, request: object, *, timeout: float) -> QueueState:
        return self._answer()

    def close(self) -> None:
        self.closed.set()


def test_that_a_connection_made_anew_is_not_closed_by_a_thread_that_was_on_the_broken_one(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_on_it, first_is_on_the_new_one, second_has_its_answer = (
        threading.Barrier(2),
        threading.Event(),
        threading.Event(),
    )

    def broken() -> QueueState:
        if both_on_it.wait() == 0:
            first_is_on_the_new_one.wait()
        raise RunnerError("The link to the runner is lost.")

    def whole() -> QueueState:
        if first_is_on_the_new_one.is_set():
            second_has_its_answer.set()
            return QueueState(entries=(), paused=False)
        first_is_on_the_new_one.set()
        until(lambda: second_has_its_answer.is_set() or new.closed.is_set())
        if new.closed.is_set():
            raise RunnerError("The link to the runner is lost.")
        return QueueState(entries=(), paused=False)

    old, new = FakeClient(broken), FakeClient(whole)
    waiting = [new, old]
    monkeypatch.setattr(opened.link(), "connect", lambda: waiting.pop())
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(opened.queue) for _ in range(2)]
        assert [answer.result(120) for answer in asked] == [QueueState(entries=(), paused=False)] * 2
    assert old.closed.is_set()
    assert not new.closed.is_set()


def test_that_the_owner_may_go_while_a_session_opens(home: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnerGoesAtOnce(ReopeningStore):
        def execute(self, operation: Operation[object]) -> object:  # type: ignore[override]
            if isinstance(operation, GetStoreId):
                assert self._on_owner_change is not None
                self._on_owner_change()
                until(lambda: not [t for t in threading.enumerate() if t.name == "take-over"])
            return super().execute(operation)

    monkeypatch.setattr(session, "ReopeningStore", OwnerGoesAtOnce)
    made = Workbench(places_=home)
    assert made.store_id
    made.close()


def test_that_a_session_that_cannot_be_opened_leaves_the_database_to_others(
    home: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ReopeningStore, operation: Operation[object]) -> object:
        raise StoreError("The disk is full.", code="disk_full")

    with monkeypatch.context() as patched:
        patched.setattr(ReopeningStore, "execute", fail)
        with pytest.raises(StoreError, match="The disk is full") as caught:
            Workbench(places_=home)
    assert caught.traceback  # what failed is still referred to
    other = Workbench(places_=home)
    assert other.is_owner
    other.close()


def test_that_closing_waits_for_a_follower_that_is_being_replaced(opened: Workbench) -> None:
    stopping, closed = threading.Event(), threading.Event()
    trials: list[int | str] = []

    class SlowToStop:
        def stop(self) -> None:
            stopping.set()
            closed.wait(0.3)  # a session that does not wait is closed by then
            try:
                trials.append(opened.store.execute(GetCounts()).trials)
            except StoreError as error:
                trials.append(error.code)

    opened.link()._follower = cast("Follower", SlowToStop())
    opened._owner_changed()
    assert stopping.wait(60)
    opened.close()
    closed.set()
    until(lambda: trials)
    assert trials == [0]


class Runner:
    """A client of a runner that knows some trials."""

    def __init__(self, *spools: Spool) -> None:
        self.spools = spools
        self.acknowledged: dict[str, int] = {}

    def call(self, request: Request) -> Reply:
        if isinstance(request, GetQueue):
            return QueueState(entries=(), paused=False)
        if isinstance(request, Acknowledge):
            self.acknowledged[request.trial] = request.seq
            return Done()
        return SpoolList(spools=self.spools)


def spool(trial: str, last_seq: int = 0, *, acknowledged: int = 0, complete: bool = True) -> Spool:
    return Spool(
        trial=trial,
        store="",
        experiment="e-1",
        last_seq=last_seq,
        complete=complete,
        acknowledged=acknowledged,
        size_bytes=0,
    )


def follower_of(opened: Workbench, told: list[Event]) -> Follower:
    def connect() -> RunnerClient:
        raise RunnerError("nobody there")

    return Follower(opened.store, opened.store_id, connect, told.append, ingest=True)


def test_that_a_trial_on_its_way_to_the_runner_is_not_lost(opened: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    follower = follower_of(opened, told)
    add_experiment(opened.store, "t-1")
    follower._mark_unknown(cast("RunnerClient", Runner()))
    assert [(t.state, t.outcome) for t in opened.store.execute(ListTrials())] == [("waiting", None)]
    assert told == []
    monkeypatch.setattr(follow, "_UNKNOWN_AFTER_S", 0.0)
    follower._mark_unknown(cast("RunnerClient", Runner(spool("t-1"))))
    assert told == []
    follower._mark_unknown(cast("RunnerClient", Runner()))
    assert [(t.state, t.outcome) for t in opened.store.execute(ListTrials())] == [("ended", "lost")]


def test_that_what_the_store_has_decides_what_it_still_needs(opened: Workbench) -> None:
    """A database that was set back, to a copy or by a lost log, had acknowledged more than it has."""
    add_experiment(opened.store, "set-back", "whole", "runs", "nothing-yet")
    opened.store.execute(Ingest(trial="set-back", lines=lines([started()])))
    for trial in ("whole", "runs"):
        opened.store.execute(Ingest(trial=trial, lines=lines([started(), ended(2)])))
    runner = Runner(
        spool("set-back", 5, acknowledged=5),
        spool("whole", 2, acknowledged=1),
        spool("runs", 9, acknowledged=1, complete=False),
        spool("nothing-yet", 3),
        spool("deleted", 4, acknowledged=4),
        spool("unheard-of", 4),
    )
    found = pending(opened.store, opened.store_id, cast("RunnerClient", runner))
    assert [s.trial for s in found] == ["set-back", "runs", "nothing-yet", "unheard-of"]
    assert runner.acknowledged == {"whole": 2, "runs": 2}


def test_that_a_trial_never_handed_over_is_lost_also_while_the_link_stays(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that died between storing its trials and submitting them, beside a window that is open for days."""
    monkeypatch.setattr(follow, "_UNKNOWN_AFTER_S", 0.05)
    follower = follower_of(opened, [])
    follower._link._client = cast("RunnerClient", Runner())
    follower._ingesting.start()
    add_experiment(opened.store, "t-1")
    until(lambda: [t.outcome for t in opened.store.execute(ListTrials())] == ["lost"])
    follower._arrived.put(None)
    follower._ingesting.join()


def test_that_an_odd_trial_of_earlier_does_not_end_the_ingest(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> RunnerClient:
        raise RunnerError("nobody there")

    def odd(*_: object) -> None:
        raise ZeroDivisionError

    add_experiment(opened.store, "t-1", "t-2")
    opened.store.execute(Ingest(trial="t-1", lines=lines([started(), ended(2)])))  # and not judged
    monkeypatch.setattr("workbench.running.intake.evaluate_trial", odd)
    told = Heard()
    follower = Follower(opened.store, opened.store_id, connect, told, ingest=True)
    follower.start()
    until(lambda: told.of(Notice))
    follower._arrived.put(follow._Line("t-2", 1, *lines([started()])))
    follower.stop()
    assert opened.store.execute(GetTrial(trial="t-2")).last_seq == 1


def test_that_a_lost_link_says_why_and_when_it_is_tried_again_and_can_be_hurried(
    opened: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> RunnerClient:
        raise RunnerError("gpu-box refused the key.", "Add it there.", code="refused")

    monkeypatch.setattr(kept_link, "_RETRY_S", (3600.0,))
    heard = Heard()
    follower = Follower(opened.store, opened.store_id, connect, heard, ingest=True, machine="lab")
    follower.start()
    until(lambda: len(heard.of(RunnerLink)) == 2)
    follower.hurry()
    until(lambda: len(heard.of(RunnerLink)) == 3, what="a second try long before its time")
    follower.stop()
    lost = RunnerLink(
        "lost", "gpu-box refused the key. Add it there. Stored figures are safe.", "lab", "refused", 3600.0
    )
    assert heard.of(RunnerLink) == [RunnerLink("connecting", machine="lab"), lost, lost]


def test_that_listeners_hear_a_record_once_that_a_link_made_anew_brings_again(opened: Workbench) -> None:
    def connect() -> RunnerClient:
        raise RunnerError("nobody there")

    heard = Heard()
    follower = Follower(opened.store, opened.store_id, connect, heard, ingest=False, machine="lab")
    said = [follow._Line("t-1", seq, line) for seq, line in enumerate(lines([started(), ended(2)]), 1)]
    for batch in (said[:1], said, said):
        follower._tell_listeners({"t-1": follow._Inbox(list(batch))})
    assert [[r.seq for r in event.records] for event in heard.of(RecordsArrived)] == [[1], [2]]
