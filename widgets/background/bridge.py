"""From the workbench's threads to Qt: events become signals on the main thread, calls run elsewhere and come back.

Events are collected under a lock; the first of a batch sends one queued signal, a timer drains at frame rate, and what
can be joined is joined (the last queue state, a trial's records as one tuple). Owned by the window; created, used and
closed on the main thread, `_collect` and the jobs run on others. Those send signals under the lock alone: once `close`
has returned none comes, and the bridge may be destroyed.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from PySide6.QtCore import QElapsedTimer, QObject, Qt, QTimer, Signal, Slot
from shiboken6 import isValid

from engines.protocol.problems import advice_of
from workbench.machines.machine import THIS, THIS_COMPUTER
from workbench.running.events import (
    Event,
    Notice,
    ProbeFinished,
    QueueChanged,
    RecordsArrived,
    RunnerLink,
    StoreChanged,
)
from workbench.running.queues import joined as joined_queue
from workbench.store.operations import Operation, StoreError

if TYPE_CHECKING:
    from engines.protocol.records import Record
    from workbench.running.workbench import Workbench

R = TypeVar("R")
FRAME_MS = 33
"""The shortest time between two drains: thirty times a second is as often as anyone reads."""
_DAMAGED = "damaged"
"""`StoreError.code`"""


class Job:
    """A call on its way. `cancel()` keeps its answer from being delivered, and the call from starting if it can."""

    def __init__(
        self,
        success: Callable[[Any], None] | None,
        failure: Callable[[BaseException], None] | None,
        receiver: QObject | None,
    ) -> None:
        self.success = success
        self.failure = failure
        self.receiver = receiver
        self.future: Future[Any] | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.future is not None:
            self.future.cancel()

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        return not self.cancelled and (self.receiver is None or isValid(self.receiver))


class Bridge(QObject):
    """Signals carry the values of `workbench.running.events`; see there for their meaning."""

    queue_changed = Signal(object)
    """`engines.protocol.messages.QueueState`"""
    records_arrived = Signal(str, object)
    """trial id, tuple of records in order"""
    store_changed = Signal(object)
    """`workbench.running.events.StoreChanged`; the union of a batch, empty tuples mean everything"""
    link_changed = Signal(object)
    """`workbench.running.events.RunnerLink`; its state is "" where the machine was forgotten"""
    probe_finished = Signal(object)
    """`engines.protocol.messages.ProbeResult` of this computer"""
    machine_probed = Signal(str, object)
    """The same of any machine, with its id"""
    notice = Signal(object)
    """`workbench.running.events.Notice`"""
    work_reported = Signal(str)
    """What long work of a page is at, in words; "" when it ended."""
    damaged = Signal(object)
    """The `StoreError` that says it of the open database."""
    opened = Signal()
    """A workbench was attached: `bridge.workbench` is not None any more."""

    _woken = Signal()
    _answered = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.workbench: Workbench | None = None
        self.queues: dict[str, Any] = {}
        """The last `QueueState` of each machine by its id."""
        self.queue: Any = None
        """Those of all machines as one, None before the first."""
        self.links: dict[str, RunnerLink] = {}
        self.probes: dict[str, Any] = {}
        """The last `ProbeResult` of each machine."""
        self._unlisten: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._pending: list[Event] = []
        self._awake = False
        self._waiting: list[tuple[Operation[Any], Job]] = []
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="bridge")
        self._closed = False
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._drain)
        self._since_drain = QElapsedTimer()
        self._woken.connect(self._arm, Qt.ConnectionType.QueuedConnection)
        self._answered.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def probe(self) -> Any:
        """The last `ProbeResult` of this computer, None before the first."""
        return self.probes.get(THIS)

    @property
    def link(self) -> RunnerLink | None:
        """The last of the runner here."""
        return self.links.get(THIS)

    def title_of(self, machine: str) -> str:
        """What people call a machine."""
        if machine == THIS or self.workbench is None:
            return THIS_COMPUTER.title if machine == THIS else machine
        return self.workbench.title_of(machine)

    # --- life -------------------------------------------------------------------------------------

    def attach(self, workbench: Workbench) -> None:
        """Listen to a workbench and start what was asked for before it was open."""
        self.workbench = workbench
        self._unlisten = workbench.listen(self._collect)
        waiting, self._waiting = self._waiting, []
        for operation, job in waiting:
            if job.wanted:
                self._submit(operation, job)
        self.opened.emit()

    def detach(self) -> Workbench | None:
        """Stop listening. The workbench is handed back open; closing it is the caller's."""
        workbench, self.workbench = self.workbench, None
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        return workbench

    def close(self) -> None:
        """End all work: answers still on their way are dropped. Call before the workbench is closed."""
        if self._closed:
            return
        with self._lock:  # whoever is about to send a signal sends it now, or never
            self._closed = True
        self._timer.stop()
        self.detach()
        self._pool.shutdown(wait=True, cancel_futures=True)

    # --- events -----------------------------------------------------------------------------------

    def _collect(self, event: Event) -> None:
        """The listener; any thread, returns at once."""
        with self._lock:
            if self._closed:
                return
            self._pending.append(event)
            if not self._awake and isValid(self):
                self._awake = True
                self._woken.emit()

    @Slot()
    def _arm(self) -> None:
        if self._closed:
            return
        elapsed = self._since_drain.elapsed() if self._since_drain.isValid() else FRAME_MS
        self._timer.start(max(0, FRAME_MS - int(elapsed)))

    @Slot()
    def _drain(self) -> None:
        with self._lock:
            events, self._pending = self._pending, []
            self._awake = False
        self._since_drain.start()
        self._emit(events)

    def _emit(self, events: list[Event]) -> None:
        """One batch as few signals, in an order in which a view is never ahead of its data."""
        records: dict[str, list[Record]] = {}
        stores: list[StoreChanged] = []
        notices: list[Notice] = []
        queue = None
        links: dict[str, RunnerLink] = {}
        probes: dict[str, Any] = {}
        for event in events:
            if isinstance(event, RecordsArrived):
                records.setdefault(event.trial, []).extend(event.records)
            elif isinstance(event, StoreChanged):
                stores.append(event)
            elif isinstance(event, QueueChanged):
                self.queues[event.machine] = event.state
                queue = joined_queue(self.queues, self.title_of)
            elif isinstance(event, RunnerLink):
                links[event.machine] = event
            elif isinstance(event, ProbeFinished):
                probes[event.machine] = event.result
            else:
                notices.append(event)
        for machine, link in links.items():
            self.links[machine] = link
            self.link_changed.emit(link)
        for machine, probe in probes.items():
            self.probes[machine] = probe
            self.machine_probed.emit(machine, probe)
            if machine == THIS:
                self.probe_finished.emit(probe)
        if queue is not None:
            self.queue = queue
            self.queue_changed.emit(queue)
        for trial, items in records.items():
            self.records_arrived.emit(trial, tuple(items))
        if stores:
            self.store_changed.emit(joined(stores))
        for entry in notices:
            self._say(entry)

    def say_link(self, link: RunnerLink) -> None:
        """What the main thread itself knows of a link: nothing could be started, or (state "") it is no more. What was
        heard of it before comes first."""
        self._drain()
        if link.state:
            self.links[link.machine] = link
        else:
            for known in (self.links, self.probes, self.queues):
                known.pop(link.machine, None)
            if self.queues:
                self.queue = joined_queue(self.queues, self.title_of)
                self.queue_changed.emit(self.queue)
        self.link_changed.emit(link)

    # --- calls ------------------------------------------------------------------------------------

    def run(
        self,
        work: Operation[R] | Callable[[], R],
        success: Callable[[R], None] | None = None,
        failure: Callable[[BaseException], None] | None = None,
        *,
        receiver: QObject | None = None,
    ) -> Job:
        """Run a store operation (on the store's thread) or a callable (on a thread of the bridge), and call `success`
        with its result or `failure` with its exception on the main thread. Nothing is delivered once the receiver,
        by default the QObject whose bound method `success` or `failure` is, was destroyed. Without `failure` an error
        becomes a notice. An operation asked for before the workbench is open waits for it."""
        job = Job(success, failure, receiver or _owner(success) or _owner(failure))
        if self._closed:
            job.cancel()
        elif isinstance(work, Operation):
            if self.workbench is None:
                self._waiting.append((work, job))
            else:
                self._submit(work, job)
        else:
            self._watch(self._pool.submit(work), job)
        return job

    def _submit(self, operation: Operation[Any], job: Job) -> None:
        if self.workbench is not None:
            self._watch(self.workbench.submit_operation(operation), job)

    def _watch(self, future: Future[Any], job: Job) -> None:
        job.future = future

        def finished(_: Future[Any]) -> None:
            with self._lock:
                if not self._closed and isValid(self):
                    self._answered.emit(job)

        future.add_done_callback(finished)

    @Slot(object)
    def _deliver(self, job: Job) -> None:
        future = job.future
        if self._closed or future is None or future.cancelled() or not job.wanted:
            return
        error = future.exception()
        if error is None:
            if job.success is not None:
                job.success(future.result())
        elif job.failure is not None:
            job.failure(error)
            if isinstance(error, StoreError) and error.code == _DAMAGED:
                self.damaged.emit(error)
        else:
            code = error.code if isinstance(error, StoreError) else ""
            self._say(Notice("error", str(error) or type(error).__name__, advice_of(error), code))

    def _say(self, notice: Notice) -> None:
        self.notice.emit(notice)
        if notice.code == _DAMAGED:
            self.damaged.emit(StoreError(notice.message, notice.advice, code=notice.code))


def joined(changes: list[StoreChanged]) -> StoreChanged:
    """The union of several changes; one that means everything wins."""
    if any(not c.experiments and not c.trials for c in changes):
        return StoreChanged()
    experiments = dict.fromkeys(e for c in changes for e in c.experiments)
    trials = dict.fromkeys(t for c in changes for t in c.trials)
    return StoreChanged(tuple(experiments), tuple(trials))


def _owner(function: object) -> QObject | None:
    if inspect.ismethod(function) and isinstance(function.__self__, QObject):
        return function.__self__
    return None
