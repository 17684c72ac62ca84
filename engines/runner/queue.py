"""The machine's queue: trials that wait, run and ended lately, on disk at every change that must survive.

Owned by the runner's loop. The file is replaced whole, so a killed runner leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engines.protocol.messages import QueueEntry, QueueState
from engines.protocol.orders import TrialOrder
from engines.protocol.private import sync_folder
from engines.protocol.queue_file import QueueFile, Waiting, decode_queue

_log = logging.getLogger(__name__)
_REMEMBERED = 100
"""Ended trials kept in the list."""


class Queue:
    """`waiting` in order, `running` by trial, `ended` newest first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.waiting: list[Waiting] = []
        self.running: dict[str, Waiting] = {}
        self.ended: list[QueueEntry] = []
        self.paused = False
        self.pause_reason = ""
        self.saved = True
        """False when the file does not have the latest change (a full disk)."""

    def load(self) -> list[Waiting]:
        """Read the file. -> trials that ran when the last runner died. An unreadable file is put aside, not lost."""
        try:
            disk = decode_queue(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            aside = self._path.with_name(f"{self._path.name}.broken-{time.time_ns()}")
            self._path.replace(aside)
            _log.error("the queue could not be read and starts empty; the file is kept as %s: %s", aside, error)
            return []
        self.paused, self.pause_reason = disk.paused, disk.pause_reason
        self.waiting, self.ended = disk.waiting, disk.ended
        return disk.running

    def save(self) -> OSError | None:
        """Write the file. A full disk is returned, not raised: what is in memory stays valid, `saved` is False."""
        disk = QueueFile(
            paused=self.paused,
            pause_reason=self.pause_reason,
            waiting=self.waiting,
            running=list(self.running.values()),
            ended=self.ended,
        )
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:  # noqa: PTH123  a descriptor, for its mode
                file.write(msgspec.json.encode(disk))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            _log.error("the queue could not be written: %s", error)
            self.saved = False
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return error
        self.saved = True
        return None

    def knows(self, trial: str) -> bool:
        return (
            trial in self.running
            or any(entry.trial == trial for entry in self.ended)
            or any(waiting.order.trial == trial for waiting in self.waiting)
        )

    def add(self, orders: Sequence[TrialOrder]) -> None:
        now = time.time_ns()
        self.waiting.extend(Waiting(order=order, submitted_wall_ns=now) for order in orders)

    def take(self, trial: str) -> Waiting | None:
        """Remove a waiting trial."""
        for index, waiting in enumerate(self.waiting):
            if waiting.order.trial == trial:
                return self.waiting.pop(index)
        return None

    def put_back(self, waiting: Waiting) -> None:
        """One that was taken and did not begin: first, but behind those of its experiment that come before it."""
        order = waiting.order
        ahead = (w.order.experiment == order.experiment and w.order.position < order.position for w in self.waiting)
        place = next((index for index, is_ahead in enumerate(ahead) if not is_ahead), len(self.waiting))
        self.waiting.insert(place, waiting)

    def change(self, waiting: Waiting) -> None:
        """Put another order of the same trial in its place."""
        trial = waiting.order.trial
        self.waiting = [waiting if w.order.trial == trial else w for w in self.waiting]

    def entry_of(self, trial: str) -> QueueEntry | None:
        """A trial that ended lately."""
        return next((entry for entry in self.ended if entry.trial == trial), None)

    def others(self, order: TrialOrder) -> list[Waiting]:
        """The waiting trials of the same configuration in the same experiment."""
        wanted = (order.experiment, order.configuration, order.device)
        return [w for w in self.waiting if (w.order.experiment, w.order.configuration, w.order.device) == wanted]

    def reorder(self, trials: Sequence[str]) -> None:
        """Those named first, in that order; the others keep theirs behind. Names that do not wait are passed over."""
        place = {trial: index for index, trial in enumerate(trials)}
        self.waiting.sort(key=lambda waiting: place.get(waiting.order.trial, len(place)))

    def remember(self, entry: QueueEntry) -> None:
        """Put a trial that ended at the head of the ended ones."""
        self.ended = [entry, *(other for other in self.ended if other.trial != entry.trial)][:_REMEMBERED]

    def forget(self, trial: str) -> None:
        self.ended = [entry for entry in self.ended if entry.trial != trial]

    def state(self, running: Sequence[QueueEntry]) -> QueueState:
        waiting = [w.entry("waiting") for w in self.waiting]
        return QueueState(entries=(*running, *waiting, *self.ended), paused=self.paused, pause_reason=self.pause_reason)
