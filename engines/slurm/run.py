"""One trial that runs in a job: handed over, its spool copied from the job's folder as it grows, judged where the job
ended under it. On the front's loop; files are read on a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from engines.protocol.codec import read_record
from engines.protocol.orders import TrialOrder
from engines.protocol.private import write_private
from engines.protocol.records import (
    ClockPair,
    LostRecord,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Record,
    TrialEnded,
    TrialStarted,
)
from engines.protocol.sound_lines import SoundLines
from engines.runner.executor import PutBack
from engines.runner.outcome import Ending
from engines.runner.spools.archive import Entry
from engines.runner.spools.end_records import DIED, NEVER_RAN, ended_record
from engines.runner.spools.spool import ORDER, RECORDS
from engines.runner.trial import CannotStart, Surroundings
from engines.runner.workers.worker import WorkerProcess
from engines.slurm.allocation import Allocation
from engines.slurm.outcome import says_runner_ended

_MOST_BYTES = 1 << 20


class Source:
    """A spool on a shared file system, read forward: it is opened anew for every look, or the file system may show an
    old state of it."""

    def __init__(self, spool: Path) -> None:
        self._path = spool / RECORDS
        self._offset = 0
        self._sound = SoundLines()

    def read(self) -> list[Record]:
        """The next records; [] where nothing has come, or there is no spool yet."""
        try:
            with self._path.open("rb", buffering=0) as file:
                data = os.pread(file.fileno(), _MOST_BYTES, self._offset)
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return _records(self._sound.feed(whole.split(b"\n")))

    def rest(self) -> list[Record]:
        """What is due when nothing more comes."""
        return _records(self._sound.settle())


class JobRun:
    """See `engines.runner.executor.Run`. `allocation`: None for a trial whose job nobody knows any more."""

    worker: WorkerProcess | None = None

    def __init__(
        self,
        order: TrialOrder,
        entry: Entry,
        around: Surroundings,
        allocation: Allocation | None,
        look_s: float,
        *,
        is_handed: bool,
    ) -> None:
        self.order = order
        self.entry = entry
        self.begun = entry.writer.last_seq > 0
        self.phase = ""
        self.text = ""
        self.fraction: float | None = None
        self.end_is_written = False
        self.has_measured = False
        self._around = around
        self._allocation = allocation
        self._look_s = look_s
        self._is_handed = is_handed
        self._owed: list[Record] = []
        """Read and not yet in the spool."""
        self._disk_is_full = False
        self._known = entry.writer.last_seq
        """What an earlier front copied."""
        self._stopped = False
        self._ended: TrialEnded | None = None
        self._asked_to_end: TrialEnded | None = None
        """The end as the node's runner wrote it, until Slurm has said why that ended."""
        self._t_ns = 0
        self._clock: ClockPair | None = None
        """Of the node: the last time of a record, and both clocks at the start."""

    async def run(self) -> TrialEnded:
        allocation = self._allocation
        if allocation is None:
            return self._end_without_job()
        try:
            if not self._is_handed:
                await asyncio.to_thread(allocation.folder.hand, self.order, allocation.next_number())
        except OSError as error:
            raise CannotStart(error) from error
        try:
            return await self._follow(allocation)
        finally:
            allocation.trials.pop(self.order.trial, None)

    async def _follow(self, allocation: Allocation) -> TrialEnded:
        there = allocation.folder.spools / self.order.trial
        source = Source(there)
        while True:
            over = allocation.is_over  # before the look: what was written until then is seen by it
            there_is = over or self.order.trial in allocation.spools
            new = await asyncio.to_thread(source.read) if there_is else []
            self._take(new)
            allocation.has_worked |= self.begun
            if over and not new and self._ended is None:
                self._take(source.rest())
                if not self.begun and not self._stopped:
                    raise PutBack
                self._end(allocation)
            self._write()
            if self._ended is not None and not self._owed:
                await asyncio.to_thread(self._keep_order, there)
                self.end_is_written = True
                return self._ended
            if not new:
                await allocation.wait(self._look_s)

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            self._t_ns = max(self._t_ns, record.t_ns)
            match record:
                case TrialStarted():
                    self.begun, self._clock = True, record.clock
                case PhaseStarted():
                    self.phase = record.name
                    self.has_measured |= record.name == "measure"
                case PhaseEnded() if self.phase == record.name:
                    self.phase = ""
                case Progress():
                    self.text, self.fraction = record.text, record.fraction
                case TrialEnded() if says_runner_ended(record):
                    self._asked_to_end = record
                    continue
                case TrialEnded():
                    self._ended = record
                case _:
                    pass
            if record.seq > self._known:
                self._owed.append(record)
        if records:
            self._around.status_changed()

    def _write(self) -> None:
        """A full disk here pauses the queue; the job's own spool keeps what is owed, and it is tried again."""
        if not self._owed:
            return
        try:
            self.entry.writer.append(self._owed)
        except OSError as error:
            if not self._disk_is_full:
                self._disk_is_full = True
                self._around.disk_failed(error)
            return
        self._owed, self._disk_is_full = [], False
        self._around.grew()

    def _end(self, allocation: Allocation) -> None:
        """The job ended under the trial. Times are the node's, whose clocks nobody can read any more."""
        found = allocation.judgement() if self.begun else NEVER_RAN
        asked, clock = self._asked_to_end, self._clock
        wall_ns = 0 if clock is None else clock.wall_ns + self._t_ns - clock.mono_ns
        self._ended = TrialEnded(
            t_ns=self._t_ns,
            outcome=found.outcome,
            failure=found.failure,
            message=found.message,
            advice=found.advice,
            clock=asked.clock if asked is not None else ClockPair(wall_ns, self._t_ns),
            exit_code=asked.exit_code if asked is not None else None,
        )
        self._owed.append(self._ended)

    def _end_without_job(self) -> TrialEnded:
        """Somebody removed the job's folder."""
        if not self.begun:
            raise PutBack
        self._ended = ended_record(DIED)
        self._owed.append(self._ended)
        self._write()
        self.end_is_written = not self._owed
        return self._ended

    def _keep_order(self, there: Path) -> None:
        """The order as it ran, with the device it had there."""
        with contextlib.suppress(OSError):
            write_private(self.entry.folder / ORDER, (there / ORDER).read_bytes())

    def stop(self, ending: Ending) -> None:
        """The node's runner reads it at its next look."""
        self._stopped = True
        if self._allocation is not None:
            with contextlib.suppress(OSError):  # a full disk, or a folder that has gone: the trial runs to its end
                self._allocation.folder.ask_stop(self.order.trial, kill=ending is not Ending.STOPPED)

    async def abandon(self) -> None:
        """After a mistake of ours: the trial ends there too."""
        self.stop(Ending.KILLED)


def _records(lines: Iterable[tuple[int, bytes]]) -> list[Record]:
    """What cannot be read and matters to no figure is left out here; numbers stay without a gap all the same."""
    read = ((seq, read_record(line)) for seq, line in lines)
    return [LostRecord(seq=seq) if record is None else record for seq, record in read]
