"""A runner on another machine may say anything: what is taken, and how much memory it can cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from engines.protocol import client as client_module
from engines.protocol.client import RunnerError
from engines.protocol.messages import (
    Acknowledge,
    Attach,
    Bury,
    Call,
    Done,
    GetQueue,
    ListSpools,
    QueueEntry,
    QueueState,
    RecordLine,
    Reply,
    Spool,
    SpoolList,
    StreamEnded,
    Watch,
)
from engines.protocol.places import Places
from tests.house import Heard, until
from tests.security.hostile import HostileRunner
from tests.workbench.store_kit import add_experiment, ended, lines, log, order, started
from workbench.running import follower as follower_module
from workbench.running.events import Notice
from workbench.running.follower import Follower
from workbench.running.intake import catch_up
from workbench.store.open import open_store
from workbench.store.operations import AddExperiment, DeleteTrials, GetStoreId, GetTrial, Ingest, Store


@pytest.fixture
def store(tmp_path: Path, home: Places) -> Iterator[Store]:
    """With t-0 and t-1, sent to "lab", and t-9, which runs on this computer."""
    made, _ = open_store(tmp_path / "a.duckdb")
    id = made.execute(GetStoreId())
    add_experiment(made, "t-9", experiment="e-9", name="here")
    sent = tuple(
        type(one)(**{**{n: getattr(one, n) for n in one.__struct_fields__}, "machine": "lab"})
        for one in (order("t-0", store=id), order("t-1", store=id, position=1))
    )
    made.execute(AddExperiment(experiment="e-1", name="there", definition="", seed=7, orders=sent))
    yield made
    made.close()


class Offering:
    """Offers whole spools of these trials, all of them as of `store_id`."""

    def __init__(self, store_id: str, *trials: str) -> None:
        self.store_id = store_id
        self.trials = trials
        self.buried: list[str] = []

    def __call__(self, call: Call) -> Iterable[Reply]:
        match call.body:
            case ListSpools():
                yield SpoolList(spools=tuple(self._spool(trial) for trial in self.trials))
            case Watch():
                yield QueueState(entries=tuple(self._entry(trial) for trial in self.trials), paused=False)
            case GetQueue():
                yield QueueState(entries=(), paused=False)
            case Attach(trial=trial):
                for seq, line in enumerate(lines((started(), log(2, "forged"), ended(3))), start=1):
                    yield RecordLine(trial=trial, seq=seq, line=line)
                yield StreamEnded()
            case Bury(trials=trials):
                self.buried += trials
                yield Done()
            case _:
                yield Done()

    def _spool(self, trial: str) -> Spool:
        return Spool(
            trial=trial, store=self.store_id, experiment="e", last_seq=3, complete=True, acknowledged=0, size_bytes=9
        )

    def _entry(self, trial: str) -> QueueEntry:
        return QueueEntry(
            **dict.fromkeys(("experiment", "title", "experiment_title", "configuration"), "x"),
            **dict.fromkeys(("color", "block", "position", "total"), 0),
            trial=trial,
            store=self.store_id,
            device="cpu",
            state="running",
        )


def test_that_a_far_runner_is_believed_only_about_trials_that_were_sent_to_it(store: Store) -> None:
    """It claims a trial of this computer, one that was deleted, one by its number, and one nobody knows."""
    offering = Offering(store.execute(GetStoreId()), "t-9", "t-1", "1", "t-unknown", "t-0")
    store.execute(DeleteTrials(trials=("t-1",)))
    runner = HostileRunner(offering)
    heard = Heard()
    follower = Follower(store, offering.store_id, runner.connect, heard, ingest=True, machine="lab")
    follower.start()
    until(lambda: store.execute(GetTrial(trial="t-0")).state == "ended")
    follower.stop()
    assert store.execute(GetTrial(trial="t-9")).last_seq == 0
    assert {call.body.trial for call in runner.calls if isinstance(call.body, Attach)} == {"t-0"}
    assert set(offering.buried) == {"t-1"}
    notices = heard.of(Notice)
    assert [n.severity for n in notices] == ["warning"]
    assert "did not send there" in notices[0].message
    runner.close()


def test_that_a_guest_too_shows_only_what_was_sent_there(store: Store) -> None:
    offering = Offering(store.execute(GetStoreId()), "t-9", "t-0")
    runner = HostileRunner(offering)
    follower = Follower(store, offering.store_id, runner.connect, Heard(), ingest=False, machine="lab")
    follower.start()
    until(lambda: any(isinstance(call.body, Attach) for call in runner.calls))
    follower.stop()
    assert {call.body.trial for call in runner.calls if isinstance(call.body, Attach)} == {"t-0"}
    runner.close()


def test_that_a_command_that_catches_up_believes_no_more(store: Store) -> None:
    offering = Offering(store.execute(GetStoreId()), "t-9", "t-1", "t-unknown", "t-0")
    store.execute(DeleteTrials(trials=("t-1",)))
    runner = HostileRunner(offering)
    with runner.connect() as client:
        assert catch_up(store, offering.store_id, client, "lab") == ("t-0",)
    assert store.execute(GetTrial(trial="t-9")).last_seq == 0
    assert {call.body.trial for call in runner.calls if isinstance(call.body, Acknowledge)} == {"t-0"}
    assert offering.buried == ["t-1"]
    runner.close()


def test_that_records_which_never_come_to_their_end_do_not_hold_up_a_command(store: Store) -> None:
    def say(call: Call) -> Iterable[Reply]:
        if isinstance(call.body, Attach):
            return (RecordLine(trial="t-0", seq=1, line="{}") for _ in itertools.count())
        return offering(call)

    offering = Offering(store.execute(GetStoreId()), "t-0")
    runner = HostileRunner(say)
    with runner.connect() as client, pytest.raises(RunnerError, match="out of order"):
        catch_up(store, offering.store_id, client, "lab")
    runner.close()


def test_that_nothing_is_added_to_a_trial_that_has_ended(store: Store) -> None:
    store.execute(Ingest(trial="t-0", lines=lines((started(), ended(2), log(3, "in the same batch")))))
    again = store.execute(Ingest(trial="t-0", lines=lines((log(3, "later"), log(4, "later still")))))
    assert (again.last_seq, again.new_records, again.ended) == (2, 0, True)
    assert store.execute(GetTrial(trial="t-0")).last_seq == 2


def test_that_a_line_without_end_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_LINE", 1 << 20)
    runner = HostileRunner(lambda _call: itertools.repeat(b"x" * 65536))
    with runner.connect() as client, pytest.raises(RunnerError, match="more than 1 MiB"):
        client.call(GetQueue())
    assert runner.sent_bytes < 8 << 20
    runner.close()


def test_that_a_stream_nobody_reads_waits_and_calls_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_BACKLOG_BYTES", 1 << 20)
    seqs = itertools.count(1)

    def say(call: Call) -> Iterable[Reply]:
        if isinstance(call.body, Attach):
            return (RecordLine(trial="t", seq=next(seqs), line="x" * 65536) for _ in range(200))
        return (Done(),)

    runner = HostileRunner(say)
    with runner.connect() as client:
        stream = client.stream(Attach(trial="t"))
        assert next(stream).seq == 1  # type: ignore[union-attr]
        until(lambda: client._backlog_bytes > 1 << 20)
        assert isinstance(client.call(GetQueue()), Done)
        assert client._backlog_bytes < 4 << 20
        read = [reply.seq for reply in itertools.islice(stream, 199)]  # type: ignore[union-attr]
        assert read == list(range(2, 201))
        stream.close()  # type: ignore[attr-defined]
        assert client._backlog_bytes == 0
    runner.close()


def test_that_a_runner_which_only_talks_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_BACKLOG_BYTES", 1 << 20)
    monkeypatch.setattr(client_module, "_LARGEST_BACKLOG_BYTES", 4 << 20)

    def say(call: Call) -> Iterable[Reply]:
        if isinstance(call.body, Attach):
            return (RecordLine(trial="t", seq=seq, line="x" * 65536) for seq in itertools.count(1))
        return ()

    runner = HostileRunner(say)
    with runner.connect() as client:
        stream = client.stream(Attach(trial="t"))
        next(stream)
        with pytest.raises(RunnerError, match="no answer to a call"):
            client.call(GetQueue())
    assert runner.sent_bytes < 32 << 20
    runner.close()


def test_that_lines_wait_at_the_runner_while_the_store_cannot_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_BACKLOG_BYTES", 1 << 20)
    monkeypatch.setattr(follower_module, "_ROOM", 1 << 20)
    text = "x" * 65536

    def say(call: Call) -> Iterable[Reply]:
        if isinstance(call.body, Attach):
            (first,) = lines((started(),))
            yield RecordLine(trial="t-0", seq=1, line=first)
            for seq in range(2, 400):
                (line,) = lines((log(seq, text),))
                yield RecordLine(trial="t-0", seq=seq, line=line)
            yield StreamEnded()
        else:
            yield from offering(call)

    class Full:
        """A store on a full disk."""

        def execute(self, operation: object) -> object:
            if isinstance(operation, Ingest) and full:
                raise follower_module.StoreError("The disk is full.", code="disk_full")
            return store.execute(operation)  # type: ignore[arg-type]

    full = [True]
    offering = Offering(store.execute(GetStoreId()), "t-0")
    runner = HostileRunner(say)
    heard = Heard()
    follower = Follower(Full(), offering.store_id, runner.connect, heard, ingest=True, machine="lab")  # type: ignore[arg-type]
    follower.start()
    until(lambda: follower._room._held > 1 << 20)
    until(lambda: heard.of(Notice))
    assert runner.sent_bytes < 8 << 20
    full.clear()
    until(lambda: store.execute(GetTrial(trial="t-0")).last_seq == 399)
    follower.stop()
    assert follower._room._held == 0
    runner.close()
