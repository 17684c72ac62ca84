"""The lock that torch puts beside an extension while it compiles it. Worker process.

torch makes a file and waits for it to go, without end (`torch.utils.file_baton`). A worker that is killed while it
compiles leaves it behind, and every later trial would wait. The compiling process keeps the file open: one that nobody
has open is left over.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def remove_left_over(folder: Path, proc: Path = PROC) -> bool:
    """Remove the lock of a dead compilation in a build `folder`; returns whether there was one. A lock that a process
    has open, or that may belong to another user's process, stays. Raises `OSError` where it cannot be removed."""
    lock = folder / "lock"
    try:
        if lock.stat().st_uid != os.geteuid() or _is_open(lock, proc):
            return False
        lock.unlink()
    except FileNotFoundError:
        return False
    return True


def _is_open(lock: Path, proc: Path) -> bool:
    wanted = lock.stat()
    for descriptor in proc.glob("[0-9]*/fd/*"):
        try:
            found = descriptor.stat()
        except OSError:  # ended, or another user's
            continue
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
    return False
