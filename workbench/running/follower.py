"""Follows a runner for one store: catches up with its spools, then takes every record in as it is said.

Owned by `workbench.running.workbench.Workbench`. Threads: "follow" watches the queue (`kept_link`); one "attach-…"
thread a trial reads its stream; "ingest" alone decodes, tells the listeners and writes to the store, a few times a
second for the listeners and once a second for the store, because every write costs the machine under test.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from engines.protocol.client import RunnerClient, RunnerError
from engines.protocol.codec import read_record
from engines.protocol.messages import (
    Acknowledge,
    Attach,
    Bury,
    GetQueue,
    ListSpools,
    QueueState,
    RecordLine,
    Spool,
    SpoolList,
    Watch,
)
from engines.protocol.records import LostRecord, Record, TrialEnded
from workbench.machines.machine import THIS
from workbench.running.events import Event, Notice, QueueChanged, RecordsArrived, StoreChanged
from workbench.running.intake import (
    Assumed,
    evaluate,
    is_buried,
    judge_leftovers,
    nothing_assumed,
    pending,
    stored_seq,
    take_in,
)
from workbench.running.kept_link import KeptLink
from workbench.store.operations import (
    ListUnfinished,
    MarkLost,
    Store,
    StoreError,
    TrialRow,
)
from workbench.units import format_numbers

_TELL_EVERY_S = 0.2
_STORE_EVERY_S = 1.0
_STORE_AT_LINES = 2000
_ROOM = 64 << 20
"""Characters of lines that wait for the store, also while it cannot write: a runner may be faster, or lie."""
_SAME_NOTICE_S = 60.0
_ODD_ADVICE = "Its records are stored. Please report this with `llm-workbench show TRIAL --log`."
_DAMAGE_ADVICE = "The rest is stored, and the trial becomes invalid. Check the disk, and run the trial again."
_UNKNOWN_AFTER_S = 60.0
"""A trial the store has and the runner does not is lost only after this: it may be on its way."""


class _Line(NamedTuple):
    trial: str
    seq: int
    text: str


class _Room:
    """How many characters of lines are held here: those that bring more wait until some are stored. Any thread."""

    def __init__(self) -> None:
        self._held = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self, line: _Line) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._held <= _ROOM or self._closed)
            self._held += len(line.text)

    def leave(self, lines: list[_Line]) -> None:
        with self._changed:
            self._held -= sum(len(line.text) for line in lines)
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass
class _Inbox:
    """What one trial has sent and the store has not yet taken."""

    lines: list[_Line] = field(default_factory=list)
    announced: int = 0
    """How many of `lines` the listeners have seen."""
    ended: bool = False


class Follower:
    """See the module. `start` once, `stop` once; everything it finds out goes to `tell` as events.

    Only the store's owner ingests. A guest (`ingest=False`) decodes and tells, and leaves the store to its owner.
    """

    def __init__(
        self,
        store: Store,
        store_id: str,
        connect: Callable[[], RunnerClient],
        tell: Callable[[Event], None],
        *,
        ingest: bool,
        machine: str = THIS,
        assumed: Assumed = nothing_assumed,
        judged: Callable[[str], None] | None = None,
        linked: Callable[[RunnerClient], None] = lambda _client: None,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """`judged(trial)` is called on the ingest thread after a trial's figures were stored; it may raise `StoreError`
        or `RunnerError`. `linked(client)` is called on the follow thread with each new connection. `give_up` makes a
        `connect` that is under way fail soon."""
        self._store = store
        self._assumed = assumed
        self._judged = judged
        self._linked = linked
        self._store_id = store_id
        self._tell = tell
        self._ingest = ingest
        self._machine = machine
        self._room = _Room()
        self._link = KeptLink(connect, self._use, tell, machine, give_up)
        self._arrived: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._attached: dict[str, tuple[RunnerClient, threading.Thread]] = {}
        self._finished: set[str] = set()
        """Trials followed to their end: not attached again."""
        self._told: dict[str, int] = {}
        """Number of the last record of each trial that the listeners have: a link made anew brings some again."""
        self._lock = threading.Lock()
        self._noticed: dict[str, float] = {}
        """When each store error was last shown: a full disk is not news every second."""
        self._looked_for_unknown = 0.0
        self._ingesting = threading.Thread(target=self._drain, name="ingest", daemon=True)

    def start(self) -> None:
        self._ingesting.start()
        self._link.start()

    @property
    def is_linked(self) -> bool:
        return self._link.client is not None

    def hurry(self) -> None:
        """Try again now, where the link is lost."""
        self._link.hurry()

    def stop(self) -> None:
        """End all threads; what has arrived is stored first."""
        self._room.close()
        self._link.stop()
        for _client, thread in list(self._attached.values()):
            thread.join()
        self._arrived.put(None)
        self._ingesting.join()

    # --- thread "follow" ---------------------------------------------------------------------------

    def _use(self, client: RunnerClient) -> None:
        try:
            self._linked(client)
            self._watch(client)
        except StoreError as error:
            self._say_store_error(error)

    def _watch(self, client: RunnerClient) -> None:
        self._catch_up(client)
        for reply in client.stream(Watch()):
            if isinstance(reply, QueueState):
                clock = self._link.clock
                state = reply.of_machine(self._machine, 0.0 if clock is None else clock.ahead_s)
                self._tell(QueueChanged(state, self._machine))
                for entry in reply.entries:
                    if entry.store == self._store_id and entry.state != "waiting":
                        self._attach(client, entry.trial)
        if not self._link.stopping.is_set():
            raise RunnerError("The runner closed the connection.")

    def _catch_up(self, client: RunnerClient) -> None:
        """Attach to every spool the store has not got whole."""
        if not self._ingest:
            return
        for spool in pending(self._store, self._store_id, client):
            self._attach(client, spool.trial)
        self._mark_unknown(client)

    def _spools(self, client: RunnerClient) -> tuple[Spool, ...]:
        reply = client.call(ListSpools(store=self._store_id))
        return reply.spools if isinstance(reply, SpoolList) else ()

    def _mark_unknown(self, client: RunnerClient) -> None:
        """End trials as lost which the store has expected for a while and the runner has never heard of: whoever stored
        them died before they were handed over."""
        self._looked_for_unknown = time.monotonic()
        expected = [row.trial for row in self._store.execute(ListUnfinished()) if self._is_overdue(row)]
        if not expected:
            return
        known = {spool.trial for spool in self._spools(client)}
        state = client.call(GetQueue())
        if not isinstance(state, QueueState):
            return
        lost = [trial for trial in expected if trial not in known | {entry.trial for entry in state.entries}]
        message = "The runner does not know this trial: it was never handed over, or its spool is gone."
        for trial in lost:
            self._store.execute(MarkLost(trial=trial, message=message))
            evaluate(self._store, trial, self._assumed())
        if lost:
            self._tell(StoreChanged(trials=tuple(lost)))

    def _is_overdue(self, row: TrialRow) -> bool:
        submitted = datetime.fromisoformat(row.submitted_at).replace(tzinfo=UTC)
        age = (datetime.now(UTC) - submitted).total_seconds()
        return row.machine == self._machine and age >= _UNKNOWN_AFTER_S

    def _mark_unknown_again(self) -> None:
        """Once a minute, on the ingest thread: a link may stay for days, and other processes store trials meanwhile."""
        client = self._link.client
        if client is None or not self._ingest or time.monotonic() - self._looked_for_unknown < _UNKNOWN_AFTER_S:
            return
        try:
            self._mark_unknown(client)
        except RunnerError:
            return  # the link is the follow thread's to report
        except StoreError as error:
            self._say_store_error(error)

    # --- threads "attach-…" ------------------------------------------------------------------------

    def _attach(self, client: RunnerClient, trial: str) -> None:
        with self._lock:
            if trial in self._finished:
                return
            link, running = self._attached.get(trial, (None, None))
            if link is client and running is not None and running.is_alive():
                return
        if not self._was_sent(trial):
            return
        with self._lock:
            thread = threading.Thread(target=self._read, args=(client, trial), name=f"attach-{trial}", daemon=True)
            self._attached[trial] = (client, thread)
        thread.start()

    def _was_sent(self, trial: str) -> bool:
        """Whether this store sent the trial to this machine: what else its runner offers is not read. One that was
        deleted here the runner may drop. Raises `StoreError`."""
        if stored_seq(self._store, trial, self._machine) is not None:
            return True
        if self._ingest and is_buried(self._store, trial):
            self._send(Bury(trials=(trial,)))
        else:
            self._say_once(
                "warning",
                f"The runner of machine {self._machine} offers trials that this database did not send there. "
                "They are ignored.",
                "They may belong to a copy of this database: open that one to see them.",
            )
        return False

    def _read(self, client: RunnerClient, trial: str) -> None:
        try:
            after = (stored_seq(self._store, trial, self._machine) or 0) if self._ingest else self._told.get(trial, 0)
            for reply in client.stream(Attach(trial=trial, after=after)):
                if isinstance(reply, RecordLine):
                    line = _Line(trial, reply.seq, reply.line)
                    self._room.enter(line)
                    self._arrived.put(line)
                if self._link.stopping.is_set():
                    return
            with self._lock:
                self._finished.add(trial)
        except RunnerError as error:
            if error.code == "unknown_trial":
                with self._lock:
                    self._finished.add(trial)
            # a broken link is the follow thread's to report; it attaches again
        except StoreError as error:
            self._say_store_error(error)

    # --- thread "ingest" ---------------------------------------------------------------------------

    def _drain(self) -> None:
        if self._ingest and self._machine == THIS:  # one follower does it for all
            try:
                judged = judge_leftovers(self._store, self._assumed)
                if judged:
                    self._tell(StoreChanged(trials=judged))
                    for trial in judged:
                        self._say_judged(trial)
            except StoreError as error:
                self._say_store_error(error)
            except Exception as error:  # noqa: BLE001  as below: it would end at each start
                self._tell(Notice("error", f"The figures of a stored trial could not be made: {error!r}", _ODD_ADVICE))
        inboxes: dict[str, _Inbox] = {}
        stored_at = time.monotonic()
        while True:
            item = self._next(inboxes)
            ending = item is None
            while item is not None:
                inboxes.setdefault(item.trial, _Inbox()).lines.append(item)
                try:
                    item = self._arrived.get_nowait()
                except queue.Empty:
                    break
                ending = item is None
            self._tell_listeners(inboxes)
            full = any(len(i.lines) >= _STORE_AT_LINES or i.ended for i in inboxes.values())
            if ending or full or time.monotonic() - stored_at >= _STORE_EVERY_S:
                self._store_all(inboxes)
                stored_at = time.monotonic()
            if ending:
                return
            self._mark_unknown_again()
            # gather for a moment rather than wake for every record
            self._link.stopping.wait(_TELL_EVERY_S)

    def _next(self, inboxes: dict[str, _Inbox]) -> _Line | None:
        """The next line; meanwhile writes what is due."""
        while True:
            try:
                return self._arrived.get(timeout=_STORE_EVERY_S if inboxes else _UNKNOWN_AFTER_S)
            except queue.Empty:
                self._store_all(inboxes)
                self._mark_unknown_again()

    def _tell_listeners(self, inboxes: dict[str, _Inbox]) -> None:
        for trial, inbox in inboxes.items():
            records: list[Record] = []
            lost: list[int] = []
            for line in inbox.lines[inbox.announced :]:
                record = read_record(line.text)
                if record is None or line.seq <= self._told.get(trial, 0):
                    continue
                self._told[trial] = line.seq
                if isinstance(record, LostRecord):
                    lost.append(record.seq)
                records.append(record)
                inbox.ended = inbox.ended or isinstance(record, TrialEnded)
            inbox.announced = len(inbox.lines)
            if lost:
                what = f"Trial {trial}: {len(lost)} damaged records ({format_numbers(lost)}) cannot be read."
                self._tell(Notice("warning", what, _DAMAGE_ADVICE))
            if records:
                self._tell(RecordsArrived(trial, tuple(records)))

    def _store_all(self, inboxes: dict[str, _Inbox]) -> None:
        for trial in list(inboxes):
            inbox = inboxes.pop(trial)
            try:
                if not self._ingest:
                    continue
                lines = [line.text for line in inbox.lines]
                result = take_in(self._store, trial, lines, self._assumed, self._link.clock)
                if result.buried:
                    self._send(Bury(trials=(trial,)))
                    continue
                self._send(Acknowledge(trial=trial, seq=result.last_seq))
                self._tell(StoreChanged(trials=(trial,)))
                if result.ended and result.new_records:
                    self._say_judged(trial)
            except StoreError as error:
                self._say_store_error(error)
                if error.code != "not_found":
                    inboxes[trial] = inbox  # the lines stay; the spool has them too
            except Exception as error:  # noqa: BLE001  this thread is the live path: one odd trial must not end it
                self._tell(Notice("error", f"The figures of trial {trial} could not be made: {error!r}", _ODD_ADVICE))
            finally:
                if trial not in inboxes:
                    self._room.leave(inbox.lines)

    def _say_judged(self, trial: str) -> None:
        if self._judged is None:
            return
        try:
            self._judged(trial)
        except StoreError as error:
            self._say_store_error(error)
        except RunnerError:
            return  # the link is the follow thread's to report

    def _say_store_error(self, error: StoreError) -> None:
        self._say_once("error", str(error), error.advice, error.code)

    def _say_once(self, severity: Literal["warning", "error"], text: str, advice: str, code: str = "") -> None:
        now = time.monotonic()
        if now - self._noticed.get(text, -_SAME_NOTICE_S) >= _SAME_NOTICE_S:
            self._noticed[text] = now
            self._tell(Notice(severity, text, advice, code))

    def _send(self, message: Acknowledge | Bury) -> None:
        """Tell the runner; if the link is down the next catch-up does it again."""
        client = self._link.client
        if client is None:
            return
        try:
            client.call(message)
        except RunnerError:
            return
