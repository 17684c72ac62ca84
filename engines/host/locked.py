"""One process at a time: an advisory lock on a file, waited for politely. Any thread that may sleep.

Not `filelock`: it would save ten lines, and be a fourth package that a machine without network needs for its engines.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.25


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at `path`, which is made and stays. `waiting` is called once if another process holds it; the
    wait can be interrupted by a signal. The system releases the lock when this process ends, however it ends."""
    with path.open("a") as file:
        reported = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not reported:
                    waiting()
                    reported = True
                time.sleep(_PAUSE_S)
        yield


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock file at `path` if nobody else does; whether it is held."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
