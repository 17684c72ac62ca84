"""A connection to a runner: local (starting one if none runs) or through any pair of byte streams.

Blocking calls and blocking streams over one socket; a reader thread sorts answers by call id. Safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TypeVar

from engines.protocol.messages import Reply, Request
from engines.protocol.places import Places

T = TypeVar("T")


class RunnerError(Exception):
    """The runner refused a call, or cannot be reached. `code` as `Failure.code`, or "link", "start", "version"."""

    def __init__(self, message: str, advice: str = "", *, code: str = "link") -> None:
        super().__init__(message)
        self.advice = advice
        self.code = code


class RunnerClient:
    """One connection. Use as a context manager, or `close()` it; closing ends its streams."""

    def call(self, request: Request, *, timeout: float = 30.0) -> Reply:
        """Send one request and wait for its answer. A `Failure` answer raises `RunnerError`."""
        raise NotImplementedError

    def stream(self, request: Request) -> Iterator[Reply]:
        """Send `Attach` or `Watch` and yield answers until the stream or the link ends (`RunnerError` code "link").
        Closing the iterator cancels the stream at the runner."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> RunnerClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def connect_local(places: Places, *, start: bool = True, timeout: float = 10.0, client: str = "client") -> RunnerClient:
    """Connect to this user's runner. With `start`, one is started detached where none answers (its output goes to
    `places.runner_log`); two clients starting one at the same time end up with one. Raises `RunnerError`."""
    raise NotImplementedError
