"""Going to the background: the command returns when the runner is ready, and the runner is nobody's child.

Two processes for a moment: the one that was started waits for the other's word and ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from engines.runner.serve import AlreadyRunning, CannotServe

_READY = b"ready"
_RUNNING = b"running"


def detached(work: Callable[[Callable[[], None]], None], log: Path) -> None:
    """Do `work(ready)` in a process of its own, its output going to `log`; return when it has called `ready`.

    Raises what `work` raised before that: `AlreadyRunning`, `CannotServe`.
    """
    listen, tell = os.pipe()
    if os.fork() == 0:
        os.close(listen)
        _work_apart(work, log, tell)
    os.close(tell)
    with os.fdopen(listen, "rb") as words:
        word = words.read()
    if word == _READY:
        return
    if word == _RUNNING:
        raise AlreadyRunning("A runner is already running.")
    raise CannotServe(word.decode("utf-8", "replace") or f"The runner died while it started. Its log is {log}.")


def _work_apart(work: Callable[[Callable[[], None]], None], log: Path, tell: int) -> None:
    """Never returns."""
    answered = False

    def say(word: bytes) -> None:
        nonlocal answered
        if not answered:
            answered = True
            os.write(tell, word)
            os.close(tell)

    code = 1
    try:
        os.setsid()
        _redirect(log)
        work(lambda: say(_READY))
        code = 0
    except AlreadyRunning:
        say(_RUNNING)
    except CannotServe as error:
        say(str(error).encode())
    except Exception:  # noqa: BLE001
        # the last place where it can be said; the process must end here, not run its parent's code a second time
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(log: Path) -> None:
    """Let go of the caller's terminal and pipes."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    for number, source in ((0, empty), (1, written), (2, written)):
        os.dup2(source, number)
    os.close(written)
    os.close(empty)
