"""One running trial: its worker started, watched and recorded, up to its end record. On the runner's loop.

A tick, at most four a second, reads the ring and writes what has come since the last; the worker's own records are
written as they come. Between ticks the process sleeps unless a pipe has something. When the worker is gone, what it
left behind is killed, the pipes are read out, and the one outcome is written.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING

from engines.protocol.client_environment import SECRETS_LOST, client_facts, never_written
from engines.protocol.orders import TelemetryOrder, TrialOrder
from engines.protocol.records import (
    Cue,
    Environment,
    Log,
    LogLevel,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Record,
    Stamps,
    TrialEnded,
    TrialStarted,
)
from engines.protocol.ring import RingReader
from engines.runner.cooldown import CoolDown
from engines.runner.lines import RecordPipe, TextPipe
from engines.runner.outcome import Ending, Evidence, failure_kind, judge, memory_kills
from engines.runner.settings import RunnerSettings
from engines.runner.spools.archive import Entry
from engines.runner.spools.journal import Journal
from engines.runner.spools.spool import RING, clock_pair
from engines.runner.turns import Turns
from engines.runner.workers.leftovers import kill_leftovers, mark_of
from engines.runner.workers.start import Started, Starter, resolved
from engines.runner.workers.template import Templates
from engines.runner.workers.worker import WorkerProcess

if TYPE_CHECKING:
    from engines.telemetry.sampler import Sampler

_log = logging.getLogger(__name__)
_SLOWEST_TICK_S = 0.5
_FASTEST_RATE_HZ = 4.0
"""Sensors are read at their own rate on another thread; a curve of tokens a quarter of a second late is live."""
_FACTS_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Surroundings:
    """What a trial needs of the runner. All called on the loop."""

    settings: RunnerSettings
    state: Path
    grew: Callable[[], None]
    """The spool has new records."""
    status_changed: Callable[[], None]
    disk_failed: Callable[[OSError], None]
    templates: Templates
    secrets: Mapping[str, str]
    """Variables of the worker that are written nowhere."""
    cooldown: CoolDown
    other_workers: Callable[[], Collection[int]]
    """Process ids of the workers of other trials."""
    may_take_strangers: Callable[[], bool]
    """Whether every unmarked child of this process must be this trial's."""


class CannotStart(Exception):
    """No worker could be started, for a reason (`error`) that is the machine's and not the trial's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class TrialRun:
    """Made for a spool that exists; `run` does the rest and never raises for what a worker does."""

    def __init__(self, order: TrialOrder, entry: Entry, around: Surroundings) -> None:
        self.order = order
        self.entry = entry
        self.begun = True
        self.phase = ""
        self.text = ""
        self.fraction: float | None = None
        self.worker: WorkerProcess | None = None
        self.ended: TrialEnded | None = None
        self.end_is_written = False
        self.has_measured = False
        """It came as far as its measured phase."""
        self._around = around
        self._journal = Journal(entry.writer, grew=around.grew, failed=self._disk_failed)
        hidden = never_written(around.secrets)
        self._records = RecordPipe(hidden)
        self._texts = {name: TextPipe(name, hidden) for name in ("stdout", "stderr")}
        self._ring: RingReader | None = None
        self._stamps = 0
        self._ending: Ending | None = None
        self._asked = asyncio.Event()
        self._warmth: dict[str, str] = {}
        self._failure: Cue | None = None
        self._sampler: Sampler | None = None
        self._turns: Turns | None = None
        self._over = False
        """The worker has ended, and what it said was read: a sampler that only starts now is not wanted."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._kills_before = memory_kills()
        self._tick_s = _tick_of(order.telemetry, watched=order.telemetry.enabled)

    # --- the main path ------------------------------------------------------------------------------

    async def run(self) -> TrialEnded:
        """Run the trial to its end. -> its end record, which `end_is_written` says to be in the spool or not. Raises
        `CannotStart` where the machine gives no worker: nothing is recorded then."""
        try:
            worker = await self._start_worker()
        except OSError as error:
            await self.abandon()
            if self._ending is None:
                raise CannotStart(error) from error
            worker = None
        if worker is None:
            return self._finish(Evidence(exit_code=0, ending=self._ending))
        if self._ending is not None:  # asked to stop before there was a worker
            self.stop(self._ending)
        watching = asyncio.create_task(self._start_sampler(worker))
        facts = asyncio.create_task(self._tell_facts())
        self._tick()
        code = await worker.exit_code()
        await self._clean_up(worker, own_children=not facts.done())
        await asyncio.wait((watching, facts), timeout=_FACTS_PATIENCE_S)
        facts.cancel()
        self._over = True
        if self._sampler is not None:
            await asyncio.to_thread(self._sampler.stop)
        await self._tell_warmth()
        return self._finish(
            Evidence(
                exit_code=code,
                ending=self._ending,
                failure=self._failure,
                memory_kills=memory_kills() - self._kills_before,
                address_space_bytes=self.order.limits.address_space_bytes,
                stderr_tail=self._texts["stderr"].tail,
                disk=self._journal.error,
                folder=self._around.state,
            )
        )

    def stop(self, ending: Ending) -> None:
        """End the worker: politely with a time of grace, or at once for `KILLED` and a failed disk. A second call may
        only be harder than the first."""
        at_once = ending not in (Ending.STOPPED, Ending.TIME_LIMIT, Ending.SHUTDOWN)
        if self._ending is None or (at_once and self._ending is not Ending.DISK):
            self._ending = ending
            self._asked.set()
        if self.worker is None:
            return
        if at_once:
            self.worker.send(signal.SIGKILL)
        elif "grace" not in self._timers:
            self.worker.send(signal.SIGTERM)
            self._after("grace", self._around.settings.grace_s, self._lose_patience)

    # --- starting -----------------------------------------------------------------------------------

    async def _start_worker(self) -> WorkerProcess | None:
        """None when the trial was stopped before there was a worker. Raises OSError."""
        around = self._around
        self._warmth = await around.cooldown.wait(self.order, self._asked, self._show)
        self.order, share = await resolved(self.order)
        if self.order.engine.start_method == "template":
            self._show("Making the worker")
        starter = Starter(around.state, around.settings, around.templates, self._asked, around.secrets)
        started = await starter.start(self.order, share, self.entry.folder, self._take)
        self._show("")
        if started is None:
            return None
        self.worker, self.order = started.worker, started.order
        self._ring = RingReader(self.entry.folder / RING)
        first = TrialStarted(
            t_ns=monotonic_ns(),
            clock=clock_pair(),
            worker_pid=self.worker.pid,
            start_method=self.order.engine.start_method,
            threads=share.threads,
            processors=share.processors,
        )
        self._journal.add([first])
        self._tell_start(started, share.processors)
        self.worker.listen()
        if self.order.limits.time_s is not None:
            self._after("limit", self.order.limits.time_s, self._reach_time_limit)
        return self.worker

    def _tell_start(self, started: Started, processors: tuple[int, ...]) -> None:
        facts = {"worker.processors": " ".join(map(str, processors))} | self._warmth
        facts |= client_facts(self.order.environment, self._around.secrets)
        if lost := facts.get("client.secrets_lost"):
            self._say("warning", f"The worker runs without {lost}: {SECRETS_LOST}")
        if started.why_plain:
            facts["start.fallback"] = started.why_plain
            self._journal.add(started.errors)
            self._say("warning", f"The worker was started plainly, not from a template: {started.why_plain}.")
        if float(facts.get("cooldown.waited_s", "0")) > 0:
            degrees = f"{facts['temperature.before_cooldown_celsius']} to {facts['temperature.start_celsius']} °C"
            self._say("info", f"Cooled down for {facts['cooldown.waited_s']} s, from {degrees}.")
        self._journal.add([Environment(t_ns=monotonic_ns(), facts=facts)])

    def _show(self, text: str) -> None:
        """A text for the queue, before the worker has its own."""
        self.text = text
        self._around.status_changed()

    async def _start_sampler(self, worker: WorkerProcess) -> None:
        if not self.order.telemetry.enabled:
            return

        def start() -> Sampler:
            from engines.telemetry.sampler import Sampler
            from engines.telemetry.sources import open_sources

            opener = partial(open_sources, shared=worker.shared)
            sampler = Sampler(self.order, worker.pid, self._journal.emit, opener=opener)
            sampler.start()
            return sampler

        try:
            sampler = await asyncio.to_thread(start)
        except Exception as error:  # noqa: BLE001
            # sensors and drivers are other people's: whatever they raise, the trial runs without telemetry and says so
            _log.exception("telemetry did not start")
            self._say("warning", f"Telemetry could not be started: {error}")
            return
        if self._over:  # the trial did not wait for it
            await asyncio.to_thread(sampler.stop)
            return
        self._sampler = sampler
        if self.phase == "measure":  # a trial from a template may be as far before its sensors are
            self._tell_sampler(self.phase, begins=True)

    async def _tell_facts(self) -> None:
        def facts() -> dict[str, str]:
            from engines.host.environment import runner_facts

            return runner_facts(self.order)

        try:
            found = await asyncio.to_thread(facts)
        except Exception as error:  # noqa: BLE001
            # as above: a fact that cannot be found out is no reason to fail a trial
            _log.exception("facts about this machine could not be found out")
            self._say("warning", f"Facts about this machine could not be found out: {error}")
            return
        clean = {key: value.encode("utf-8", "replace").decode() for key, value in found.items()}
        self._journal.add([Environment(t_ns=monotonic_ns(), facts=clean)])

    # --- while it runs ------------------------------------------------------------------------------

    def _take(self, pipe: str, data: bytes) -> None:
        if pipe == "records":
            self._take_records(self._records.feed(data))
            self._journal.flush()  # at once: a worker says little, and all of it matters
        else:
            self._journal.add(self._texts[pipe].feed(data))

    def _take_records(self, records: list[Record]) -> None:
        self._journal.add(records)
        changed = False
        for record in records:
            if isinstance(record, PhaseStarted):
                self.phase, changed = record.name, True
                self.has_measured |= record.name == "measure"
                self._tell_sampler(record.name, begins=True)
            elif isinstance(record, PhaseEnded):
                self._tell_sampler(record.name, begins=False)
                if self.phase == record.name:
                    self.phase, changed = "", True
            elif isinstance(record, Progress):
                self.text, self.fraction, changed = record.text, record.fraction, True
            elif isinstance(record, Cue) and failure_kind(record):
                self._failure = record
        if changed:
            self._around.status_changed()

    def _tell_sampler(self, phase: str, *, begins: bool) -> None:
        if phase != "measure" or self._sampler is None:
            return
        self._sampler.set_measuring(begins)
        if begins and self._turns is None and self.order.telemetry.turns_s > 0:
            self._turns = Turns(self.order, switch=self._watch, tell=lambda turn: self._journal.add([turn]))
            self._turns.begin()
        elif not begins and self._turns is not None:
            self._turns.end()

    def _watch(self, on: bool) -> None:
        """Telemetry on or off from now on, with the tick that a trial with or without it has. The first tick comes
        after half its time: every turn then holds as many as belong to it."""
        if self._sampler is not None:
            self._sampler.set_paused(not on)
        self._tick_s = _tick_of(self.order.telemetry, watched=on)
        self._after("tick", self._tick_s / 2, self._tick)

    def _tick(self) -> None:
        self._read_ring()
        self._journal.flush()
        self._after("tick", self._tick_s, self._tick)

    def _read_ring(self) -> None:
        if self._ring is None:
            return
        times = self._ring.read(self._stamps)
        if times:
            self._journal.add([Stamps(t_ns=monotonic_ns(), first=self._stamps, times_ns=times)])
            self._stamps += len(times)

    def _say(self, level: LogLevel, text: str) -> None:
        self._journal.add([Log(t_ns=monotonic_ns(), level=level, source="runner", text=text)])

    def _after(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        """`name`: of the timer; one of the same name is replaced."""
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, then)

    def _reach_time_limit(self) -> None:
        self._say("warning", f"The time limit of {self.order.limits.time_s:g} s is reached; the trial is stopped.")
        self.stop(Ending.TIME_LIMIT)

    def _lose_patience(self) -> None:
        if self.worker is not None:
            self._say("warning", f"The worker did not end within {self._around.settings.grace_s:g} s and was killed.")
            self.worker.send(signal.SIGKILL)

    def _disk_failed(self, error: OSError) -> None:
        self.stop(Ending.DISK)
        self._around.disk_failed(error)

    # --- the end ------------------------------------------------------------------------------------

    async def _clean_up(self, worker: WorkerProcess, *, own_children: bool) -> None:
        """`own_children`: whether this process may have started some itself just now."""
        killed = await asyncio.to_thread(
            kill_leftovers,
            mark_of(self._around.state, self.order.trial),
            worker.pid,
            spare=frozenset(self._around.other_workers()),
            take_strangers=not own_children and self._around.may_take_strangers(),
        )
        worker.drain()
        self._take_records(self._records.finish())
        for text in self._texts.values():
            self._journal.add(text.finish())
        if killed:
            self._say("warning", f"The worker left {len(killed)} processes behind; they were killed.")

    async def _tell_warmth(self) -> None:
        """How warm the device is at the end, where it was known at the start."""
        if self._warmth:
            celsius = await self._around.cooldown.read(self.order.device)
            if celsius is not None:
                self._journal.add([Environment(t_ns=monotonic_ns(), facts={"temperature.end_celsius": f"{celsius:g}"})])

    async def abandon(self) -> None:
        """After a mistake of ours in `run`: no worker, no sampler and no timer stays."""
        self._over = True
        self._cancel_timers()
        if self.worker is not None:
            self.worker.send(signal.SIGKILL)
            await self.worker.exit_code()
            self.worker.discard()
            self._cancel_timers()
        if self._sampler is not None:
            await asyncio.to_thread(self._sampler.stop)

    def _cancel_timers(self) -> None:
        if self._turns is not None:  # the worker ended within a turn
            self._turns.end()
        for timer in self._timers.values():
            timer.cancel()

    def _finish(self, evidence: Evidence) -> TrialEnded:
        self._cancel_timers()
        self._read_ring()
        if self._ring is not None:
            if self._ring.lost:
                text = f"{self._ring.lost} token stamps did not fit into the ring of {self._ring.capacity}."
                self._journal.add([Cue(t_ns=monotonic_ns(), code="ring_full", text=text)])
            self._ring.close()
        judgement = judge(evidence)
        self.ended = TrialEnded(
            t_ns=monotonic_ns(),
            outcome=judgement.outcome,
            failure=judgement.failure,
            message=judgement.message,
            advice=judgement.advice,
            clock=clock_pair(),
            exit_code=evidence.exit_code,
        )
        self.end_is_written = self._journal.end(self.ended)
        return self.ended


def _tick_of(telemetry: TelemetryOrder, *, watched: bool) -> float:
    """Seconds from tick to tick, with telemetry or without."""
    if not watched:
        return _SLOWEST_TICK_S
    return min(_SLOWEST_TICK_S, 1 / min(_FASTEST_RATE_HZ, max(telemetry.rate_hz, 0.1)))
