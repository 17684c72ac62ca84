"""Who owns a database: a lock on the file `DATABASE.lock`, which also says the owner's process and socket.

The lock falls with its process, however that ends. The file itself is never deleted: two processes could then hold a
lock on two files of one name. `filelock` would save ten lines and add as many milliseconds to each start.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from engines.protocol.places import places
from engines.protocol.private import narrow


class Holder(msgspec.Struct, frozen=True):
    """What the owner says of itself; `socket` is "" until it answers."""

    pid: int
    socket: str = ""


class OwnerLock:
    """The lock, held. Release it, or let the process end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def announce(self, socket: str = "") -> None:
        """Write who holds the lock and where it answers. Raises OSError (a full disk)."""
        text = msgspec.json.encode(Holder(os.getpid(), socket))
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        if self._descriptor >= 0:
            try:
                os.truncate(self._descriptor, 0)
            finally:
                # a process that is just being started holds the file too, until it becomes its program
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
                os.close(self._descriptor)
                self._descriptor = -1


def lock_path(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


def try_lock(database: Path) -> OwnerLock | None:
    """Take the lock, or None while another process (or another store of this one) has it. Raises OSError."""
    path = lock_path(database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent == places().data:  # a folder that the user has chosen keeps its mode
        narrow(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return OwnerLock(descriptor)


def holder(database: Path) -> Holder | None:
    """What the owner has said of itself, None where it has not said anything yet."""
    try:
        return msgspec.json.decode(lock_path(database).read_bytes(), type=Holder)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
