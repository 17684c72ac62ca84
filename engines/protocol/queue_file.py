"""The queue as the runner keeps it on disk, and what it says to those who find no runner.

Written by the runner only (`engines.runner.queue`). Anybody may read it: it is replaced whole at every change.
"""

from __future__ import annotations

import contextlib
import fcntl
from typing import Literal

import msgspec

from engines.protocol.codec import decoded
from engines.protocol.kinds import TrialOrder
from engines.protocol.messages import QueueEntry, QueueState
from engines.protocol.old_orders import upgraded
from engines.protocol.places import Places

_NOT_RUNNING = "The runner is not running, so nothing is being measured; this is the queue as it left it."
_CUT_OFF = (
    "The runner (process {pid}) runs, but its socket has gone; this is the queue as it last wrote it. "
    "It listens again within half a minute."
)
_RAN = "ran when the runner ended; what was measured is safe"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    order: TrialOrder
    submitted_wall_ns: int
    started_wall_ns: int = 0

    def entry(self, state: Literal["waiting", "running", "ended"]) -> QueueEntry:
        """Its row in the queue."""
        order = self.order
        return QueueEntry(
            trial=order.trial,
            experiment=order.experiment,
            store=order.store,
            title=order.title,
            experiment_title=order.experiment_title,
            configuration=order.configuration,
            color=order.color,
            block=order.block,
            position=order.position,
            total=order.total,
            device=order.device,
            state=state,
            submitted_wall_ns=self.submitted_wall_ns,
            started_wall_ns=self.started_wall_ns,
            expected_s=order.expected_s,
        )


class QueueFile(msgspec.Struct, kw_only=True):
    version: Literal[1] = 1
    paused: bool = False
    pause_reason: str = ""
    waiting: list[Waiting] = []
    running: list[Waiting] = []
    ended: list[QueueEntry] = []


_decoder: msgspec.json.Decoder[object] = msgspec.json.Decoder()


def decode_queue(data: bytes) -> QueueFile:
    """Also of a file that an earlier version wrote. Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    file = decoded(_decoder, data)
    for listed in ("waiting", "running"):
        entries = file.get(listed) if isinstance(file, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                entry["order"] = upgraded(entry.get("order"))
    return msgspec.convert(file, QueueFile)


def last_known(places: Places) -> QueueState:
    """The queue where no runner answers, with `nothing_starts` saying so. A file that cannot be read holds nothing."""
    file = QueueFile()
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        file = decode_queue(places.queue_file.read_bytes())
    pid = runner_process(places)
    running = [w.entry("running") for w in file.running]
    if pid is None:
        running = [msgspec.structs.replace(entry, text=_RAN) for entry in running]
    waiting = [w.entry("waiting") for w in file.waiting]
    return QueueState(
        entries=(*running, *waiting, *file.ended),
        paused=file.paused,
        pause_reason=file.pause_reason,
        nothing_starts=_NOT_RUNNING if pid is None else _CUT_OFF.format(pid=pid),
    )


def runner_process(places: Places) -> int | None:
    """The process that holds the runner's lock, whether it answers or not; 0 where it has not said which it is."""
    try:
        with places.runner_lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read(20).strip()
                return int(said) if said.isdigit() else 0
    except OSError:
        return None
    return None
