"""The runner without its socket: queue, leases, running trials and spools as one object. On the runner's loop.

Every method returns at once unless it is a coroutine. `changed` wakes those who show the queue, `grown(trial)` those
who follow a trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import msgspec

from engines.models.artifacts import discard_unfinished, model_of
from engines.protocol.failures import cause
from engines.protocol.file_errors import is_full, what_happened, what_to_do
from engines.protocol.messages import ProbeResult, QueueEntry, QueueState, waiting_for
from engines.protocol.orders import AfterOrder, TrialOrder, is_safe_name
from engines.protocol.places import Places
from engines.protocol.queue_file import Waiting
from engines.protocol.records import TrialEnded
from engines.runner.cooldown import CoolDown
from engines.runner.executor import Executor, PutBack, Run
from engines.runner.outcome import Ending, Judgement
from engines.runner.queue import Queue
from engines.runner.settings import RunnerSettings
from engines.runner.spools.archive import Archive, Entry
from engines.runner.spools.end_records import (
    DIED,
    NEVER_RAN,
    EndRecords,
    ended_record,
    not_run,
    not_tried,
    read_end,
    rest_of_ring,
)
from engines.runner.spools.spool import SpoolReader
from engines.runner.trial import CannotStart, Surroundings
from engines.runner.wakeups import Wakeups
from engines.runner.workers.start import TEMPLATE_MARK, worker_environment
from engines.runner.workers.template import Templates

_log = logging.getLogger(__name__)
_EXPIRY_S = 3600.0
_HELD = "The runner was started by a command that only reads, so it has not begun with what waits."


class Refused(Exception):
    """A request that cannot be fulfilled; `code` as in `messages.Failure`."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class Runner:
    """Made before the loop runs; `start` recovers and begins, `shut_down` ends."""

    def __init__(self, places: Places, settings: RunnerSettings, executor: Executor | None = None) -> None:
        self.changed = Wakeups()
        self.archive = Archive(places.spools)
        self._state_folder = places.state
        self._artifacts = places.artifacts
        self._settings = settings
        self._queue = Queue(places.queue_file)
        self._executor = executor or Executor()
        self._runs: dict[str, Run] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._grown: dict[str, Wakeups] = {}
        self._ends = EndRecords(written=self._notify, failed=self._pause_for)
        self._secrets: dict[str, Mapping[str, str]] = {}
        """By trial, in memory only: after a restart they are gone, and the trial says so."""
        self._templates = Templates(
            settings, lambda order: worker_environment(places.state, TEMPLATE_MARK, order, secrets={})
        )
        self._cooldown = CoolDown()
        self._probing: asyncio.Task[ProbeResult] | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._closing = False
        self._held = settings.hold

    # --- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Mark what a dead runner left as lost, or take it up again where it continued without one; delete old spools,
        begin with the queue."""
        died = {waiting.order.trial: waiting for waiting in self._queue.load()}
        self._executor.begin(look=self._start_next, pause=self._pause, changed=self.changed.notify)
        left = list(self.archive.recover())
        for trial in [waiting.order.trial for waiting in self._queue.waiting]:
            if self.archive.get(trial) is not None and (begun := self._queue.take(trial)) is not None:
                died[trial] = begun  # the runner died between making its spool and writing the queue
        for entry in left:
            waiting = died.get(entry.trial)
            if waiting is not None and self._executor.outlives_the_runner:
                self._queue.running[entry.trial] = died.pop(entry.trial)
                self._carry_on(waiting.order, entry)
                continue
            if waiting is not None and entry.writer.last_seq == 0:
                self.archive.discard(entry.trial)  # its worker had not begun
                continue
            died.pop(entry.trial, None)
            self._ends.write(entry, DIED, rest_of_ring(entry))
            self._remember(waiting, DIED)
        for trial, waiting in died.items():
            self._settle_after_death(trial, waiting)
        self._save()
        self._expire()
        self._start_next()

    async def shut_down(self) -> None:
        """Stop what runs and cannot continue alone, keeping its data; the queue stays on disk."""
        self._closing = True
        await self._executor.close()
        for trial, run in self._runs.items():
            if self._executor.outlives_the_runner:
                self._tasks[trial].cancel()
            else:
                run.stop(Ending.SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        await self._templates.close()
        self._ends.pay()
        self._save()
        if self._expiry is not None:
            self._expiry.cancel()

    @property
    def is_idle(self) -> bool:
        """No trial runs, and none waits or the queue is on hold."""
        return not self._runs and (self._held or not self._queue.waiting)

    @property
    def is_probing(self) -> bool:
        return self._probing is not None and not self._probing.done()

    # --- what clients ask -----------------------------------------------------------------------------

    def submit(self, orders: Sequence[TrialOrder], secrets: Mapping[str, str]) -> str:
        """Queue the trials that are new. -> what was done, in a sentence. Raises `Refused`. `secrets`: variables of
        their workers that are written nowhere."""
        bad = next((order.trial for order in orders if not is_safe_name(order.trial)), None)
        if bad is not None:
            raise Refused("bad_request", f"{bad!r} cannot be a trial's id.", "Letters, digits, '.', '_' and '-'.")
        if self._closing:
            raise Refused("internal", "The runner is shutting down.", "Submit again in a moment.")
        new: dict[str, TrialOrder] = {}
        for order in orders:
            if not (self.knows(order.trial) or self.archive.is_buried(order.trial)):
                new.setdefault(order.trial, order)
        if not new:
            return "All of these trials are known already; nothing was queued."
        self._queue.add(list(new.values()))
        error = self._queue.save()
        if error is not None:
            for trial in new:
                self._queue.take(trial)
            raise self._refused(error, "The trials were not queued.")
        self._secrets |= dict.fromkeys(new, secrets)
        self.changed.notify()
        self.release()
        known = len(orders) - len(new)
        return f"{len(new)} trials queued." + (f" {known} were known already." if known else "")

    def stop(self, trial: str, *, kill: bool) -> str:
        """End a running trial or remove a waiting one. Raises `Refused` for an unknown one."""
        run = self._runs.get(trial)
        if run is not None:
            run.stop(Ending.KILLED if kill else Ending.STOPPED)
            return "The worker was killed." if kill else "The worker was asked to stop."
        waiting = next((w for w in self._queue.waiting if w.order.trial == trial), None)
        if waiting is None:
            if self.knows(trial):
                return "The trial has ended already."
            raise self.unknown(trial)
        try:
            self._end_waiting(waiting, NEVER_RAN)
        except OSError as error:
            raise self._refused(error, "The trial still waits.") from error
        self._save()
        self._start_next()
        return "The trial was removed from the queue."

    def set_paused(self, paused: bool) -> None:
        """Pause, or resume: then also write what a full disk did not take."""
        self._queue.paused = paused
        self._queue.pause_reason = ""
        if not paused:
            self._held = False
            self._ends.pay()
        self._save()
        self.changed.notify()
        self._start_next()

    def release(self) -> None:
        """Begin with the queue, where this runner was started by somebody who only reads."""
        self._held = False
        self._start_next()

    def reorder(self, trials: Sequence[str]) -> None:
        self._queue.reorder(trials)
        self._save()
        self.changed.notify()
        self._start_next()

    def acknowledge(self, trial: str, seq: int) -> None:
        if not self.archive.acknowledge(trial, seq):
            raise self.unknown(trial)

    async def bury(self, trials: Sequence[str]) -> None:
        """Delete trials for ever, ending those that run. Raises `Refused` when no tombstone can be left."""
        bad = next((trial for trial in trials if not is_safe_name(trial)), None)
        if bad is not None:
            raise Refused("bad_request", f"{bad!r} cannot be a trial's id.")
        for trial in trials:
            self._queue.take(trial)
        running = [self._tasks[trial] for trial in trials if trial in self._tasks]
        for trial in trials:
            if trial in self._runs:
                self._runs[trial].stop(Ending.KILLED)
        if running:
            await asyncio.wait(running)  # not gathered: a client that goes away ends this call, not those trials' tasks
        for trial in trials:
            try:
                self.archive.bury(trial)
            except OSError as error:
                raise self._refused(error, "The trials were not deleted here.") from error
            self._ends.forget(trial)
            self._secrets.pop(trial, None)
            self._queue.forget(trial)
            self._notify(trial)
        self._save()
        self.changed.notify()
        self._start_next()

    def queue_state(self) -> QueueState:
        runs = sorted(self._runs.values(), key=lambda run: not run.begun)
        state = self._queue.state([self._entry_of_run(run) for run in runs])
        allocations = self._executor.allocations()
        nothing = _HELD if self._held and self._queue.waiting else ""
        if allocations and not nothing and not state.paused and not state.in_state("running"):
            nothing = waiting_for(allocations)
        return msgspec.structs.replace(state, nothing_starts=nothing, allocations=allocations)

    async def probe(self) -> ProbeResult:
        """What this machine has. Slow, so on a thread; callers at the same time share one. Raises what it raises."""
        if self._probing is None or not self.is_probing:
            self._probing = asyncio.create_task(self._executor.probe())
        return await asyncio.shield(self._probing)

    def knows(self, trial: str) -> bool:
        return self._queue.knows(trial) or self.archive.get(trial) is not None

    def unknown(self, trial: str) -> Refused:
        return Refused(
            "unknown_trial",
            f"This machine's runner knows no trial {trial!r}.",
            "It was deleted, or its spool was deleted after the store had it.",
        )

    def may_come(self, trial: str) -> bool:
        """Whether records of the trial may still be written."""
        return trial in self._runs or any(waiting.order.trial == trial for waiting in self._queue.waiting)

    def grown(self, trial: str) -> Wakeups:
        """Wakes when a trial's spool has grown, ended or gone."""
        return self._grown.setdefault(trial, Wakeups())

    def read_spool(self, trial: str, after: int) -> SpoolReader | None:
        """A reader, None while (or because) there is no spool."""
        entry = self.archive.get(trial)
        if entry is None:
            return None
        with contextlib.suppress(FileNotFoundError):
            return SpoolReader(entry.folder, after)
        return None

    # --- starting and ending trials -------------------------------------------------------------------

    def _start_next(self) -> None:
        """Start every waiting trial that has its device."""
        if self._closing or self._held:
            return
        if self._queue.paused:
            self._executor.pause()
            return
        if not self._settle_those_after():
            return
        waiting = [w for w in self._queue.waiting if w.order.after is None]
        running = [run.order for run in self._runs.values()]
        for index in self._executor.startable([w.order for w in waiting], running):
            if not self._start(waiting[index]):
                break

    def _settle_those_after(self) -> bool:
        """Give trials whose model has been trained their model, and end those whose model will not come, and those that
        wait for them in turn. -> False where that was not possible: the queue is paused then."""
        while due := self._due():
            for waiting, after in due:
                model = model_of(self._artifacts, after, waiting.order.model)
                if model is not None:
                    order = msgspec.structs.replace(waiting.order, model=model, after=None)
                    self._queue.change(msgspec.structs.replace(waiting, order=order))
                    continue
                try:
                    self._end_waiting(waiting, not_run(self._queue.entry_of(after.trial), after))
                except OSError as error:
                    self._pause_for(error)
                    return False
            self._save()
        return not self._queue.paused

    def _due(self) -> list[tuple[Waiting, AfterOrder]]:
        """Trials that wait for one that has ended or that never was."""
        coming = {*self._runs, *(waiting.order.trial for waiting in self._queue.waiting)}
        waits = ((waiting, waiting.order.after) for waiting in self._queue.waiting)
        return [(waiting, after) for waiting, after in waits if after is not None and after.trial not in coming]

    def _start(self, waiting: Waiting) -> bool:
        order = waiting.order
        try:
            entry = self.archive.create(order)
        except OSError as error:
            self._pause_for(error)
            return False
        before = list(self._queue.waiting)
        self._queue.take(order.trial)
        self._queue.running[order.trial] = msgspec.structs.replace(waiting, started_wall_ns=time.time_ns())
        failed = self._queue.save()
        if failed is not None:
            self.archive.discard(order.trial)
            del self._queue.running[order.trial]
            self._queue.waiting = before
            self._pause_for(failed)
            return False
        self._templates.busy()
        self._carry_on(order, entry)
        self.changed.notify()
        return True

    def _carry_on(self, order: TrialOrder, entry: Entry) -> None:
        run = self._executor.run(order, entry, self._surroundings(order.trial))
        self._runs[order.trial] = run
        self._tasks[order.trial] = asyncio.create_task(self._carry_out(run))

    async def _carry_out(self, run: Run) -> None:
        trial = run.order.trial
        try:
            ended = await run.run()
        except CannotStart as problem:
            self._put_back(run)
            self._pause_for(problem.error)
            return
        except PutBack:
            self._put_back(run)
            self._save()
            self._start_next()
            return
        except Exception as error:  # noqa: BLE001
            # a mistake of ours must neither stop the queue nor leave a worker: the trial fails, and says so
            _log.exception("the runner failed in a trial")
            ended = ended_record(
                Judgement("failed", "runner", f"The runner made a mistake: {error!r}", "Please report it.")
            )
            await run.abandon()
        await asyncio.to_thread(discard_unfinished, self._artifacts, trial)
        del self._runs[trial], self._tasks[trial]
        self._remember(self._queue.running.pop(trial), _judgement_of(ended))
        self._save()
        if run.end_is_written:
            self._ends.close(run.entry)
        else:
            self._ends.owe(run.entry, ended)
            self._ends.pay()
        if cause(ended.failure) == "permanent" and not run.has_measured:
            self._give_up_others(run.order, not_tried(ended, run.order.block))
        self._start_next()
        if not self._runs:
            self._templates.idle()

    def _put_back(self, run: Run) -> None:
        """There was no worker: the trial waits again, before all but those of its experiment that come before it."""
        trial = run.order.trial
        del self._runs[trial], self._tasks[trial]
        self.archive.discard(trial)
        self._queue.put_back(msgspec.structs.replace(self._queue.running.pop(trial), started_wall_ns=0))
        self.changed.notify()
        if not self._runs:
            self._templates.idle()

    def _give_up_others(self, order: TrialOrder, judgement: Judgement) -> None:
        """End the waiting trials of a configuration that cannot run."""
        try:
            for waiting in self._queue.others(order):
                self._end_waiting(waiting, judgement)
        except OSError as error:
            self._pause_for(error)
        self._save()

    def _surroundings(self, trial: str) -> Surroundings:
        return Surroundings(
            settings=self._settings,
            state=self._state_folder,
            grew=self.grown(trial).notify,
            status_changed=self.changed.notify,
            disk_failed=self._pause_for,
            templates=self._templates,
            secrets=self._secrets.get(trial, {}),
            cooldown=self._cooldown,
            other_workers=partial(self._workers_but, trial),
            may_take_strangers=lambda: len(self._runs) == 1 and not self.is_probing,
        )

    def _workers_but(self, trial: str) -> Collection[int]:
        workers = [run.worker.pid for name, run in self._runs.items() if name != trial and run.worker is not None]
        return [*workers, *self._templates.pids]

    def _pause_for(self, error: OSError) -> None:
        """Nothing more is started until the user has put right what is wrong with the machine, and resumes."""
        self._pause(
            f"{what_happened(error, self._state_folder)} What was measured is safe, and what waits stays in the queue. "
            f"{what_to_do(error, self._state_folder)} Then resume the queue."
        )

    def _pause(self, reason: str) -> None:
        self._queue.paused = True
        self._queue.pause_reason = reason
        self._executor.pause()
        _log.error("the queue is paused: %s", self._queue.pause_reason)
        self._save()
        self.changed.notify()

    def _refused(self, error: OSError, what: str) -> Refused:
        code = "disk_full" if is_full(error) else "disk_error"
        advice = f"Nothing was lost. {what_to_do(error, self._state_folder)} Then try again."
        return Refused(code, f"{what} {what_happened(error, self._state_folder)}", advice)

    def _end_waiting(self, waiting: Waiting, judgement: Judgement) -> None:
        """End a waiting trial, which never had a worker. Raises OSError without room for its end: it waits on."""
        entry = self.archive.create(waiting.order)
        self._queue.take(waiting.order.trial)
        self._ends.write(entry, judgement)
        self._remember(waiting, judgement)
        self._notify(waiting.order.trial)

    def _settle_after_death(self, trial: str, waiting: Waiting) -> None:
        """A trial that the queue says ran: its spool has an end (the queue was not written after it), or there is none
        (its start did not come that far) and it waits again."""
        entry = self.archive.get(trial)
        if entry is None and not self.archive.is_buried(trial):
            self._queue.waiting.insert(0, waiting)
        elif entry is not None:
            ended = read_end(entry)
            if ended is not None:
                self._remember(waiting, _judgement_of(ended))

    def _remember(self, waiting: Waiting | None, judgement: Judgement) -> None:
        if waiting is None:
            return
        self._secrets.pop(waiting.order.trial, None)
        row = waiting.entry("ended")
        self._queue.remember(
            msgspec.structs.replace(
                row,
                outcome=judgement.outcome,
                failure=judgement.failure,
                message=judgement.message,
                ended_wall_ns=time.time_ns(),
            )
        )

    def _entry_of_run(self, run: Run) -> QueueEntry:
        row = self._queue.running[run.order.trial].entry("running" if run.begun else "waiting")
        return msgspec.structs.replace(
            row,
            phase=run.phase,
            text=run.text,
            fraction=run.fraction,
            started_wall_ns=row.started_wall_ns if run.begun else 0,
        )

    def _save(self) -> None:
        self._queue.save()

    def _notify(self, trial: str) -> None:
        change = self._grown.pop(trial, None)
        if change is not None:
            change.notify()
        self.changed.notify()

    def _expire(self) -> None:
        gone = self.archive.expire(self._settings.keep_s)
        if gone:
            _log.info("deleted %d spools that their stores have", len(gone))
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(_EXPIRY_S, self._expire)


def _judgement_of(ended: TrialEnded) -> Judgement:
    return Judgement(ended.outcome, ended.failure, ended.message, ended.advice)
