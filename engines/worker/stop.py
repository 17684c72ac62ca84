"""Stop and keep: SIGTERM asks the trial to end at the next token or request. Main thread of the worker process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopTrial(BaseException):
    """Raised where the trial was asked to stop and there is nothing to finish. Not an Exception, so that no library
    swallows it."""


class Stop:
    """Whether the trial was asked to stop. `requested` is read once a token, so it is a plain attribute."""

    def __init__(self) -> None:
        self.requested = False
        self._interruptible = False

    def install(self) -> None:
        """Take SIGTERM and SIGINT."""
        signal.signal(signal.SIGTERM, self._asked)
        signal.signal(signal.SIGINT, self._asked)

    def _asked(self, _signum: int, _frame: FrameType | None) -> None:
        self.requested = True
        if self._interruptible:
            self._interruptible = False
            raise StopTrial

    def check(self) -> None:
        """Raise `StopTrial` if asked to stop."""
        if self.requested:
            raise StopTrial

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A part that is given up at once, in the middle of a library: importing, loading. Nothing may be sent in it
        outside `sending`, or a record could be cut in two."""
        self.check()
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    @contextmanager
    def sending(self) -> Iterator[None]:
        """A whole record within an interruptible part: a stop comes before or after it."""
        before, self._interruptible = self._interruptible, False
        yield
        if before:
            self.check()
        self._interruptible = before
