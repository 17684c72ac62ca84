"""When each token was there: stamps of the host, or events of the device. Worker process; no torch import.

On a processor every operation has ended when the loop reaches the clock, so the host stamp is the token's time. On a
GPU the loop has only queued the work by then; an event queued behind it knows its time, and is read after the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic_ns
from typing import Any, Protocol


class Stamps(Protocol):
    """Where the host's stamps go: the ring."""

    def stamp(self) -> None: ...


class TokenClock(Protocol):
    """`begin`, then `tick` for every token (the only call in the timed loop), then `end`."""

    def begin(self) -> int:
        """Wait until the device is idle; returns the monotonic time (ns) to start from."""
        ...

    def tick(self) -> None: ...

    def end(self) -> int:
        """Wait until the device is idle; returns the monotonic time (ns)."""
        ...

    def corrected(self, count: int) -> tuple[int, ...]:
        """True times (ns) of the `count` tokens since `begin`; empty where the ring's stamps are true."""
        ...


class HostClock:
    """For a processor."""

    def __init__(self, ring: Stamps) -> None:
        self.tick = ring.stamp  # the ring's own method: no call in between

    def begin(self) -> int:
        return monotonic_ns()

    def end(self) -> int:
        return monotonic_ns()

    def corrected(self, count: int) -> tuple[int, ...]:
        return ()


class Event(Protocol):
    """What of `torch.cuda.Event(enable_timing=True)` is used."""

    def record(self) -> None: ...

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds to a later event; both must have happened."""
        ...


class EventClock:
    """For a GPU: `tokens` + 1 preallocated events on the stream that does the work."""

    def __init__(
        self,
        ring: Stamps,
        tokens: int,
        make_event: Callable[[], Event],
        synchronise: Callable[[], None],
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._stamp = ring.stamp
        self._origin = make_event()
        self._events: Sequence[Event] = [make_event() for _ in range(tokens)]
        self._synchronise = synchronise
        self._now_ns = now_ns
        self._next = 0
        self._origin_ns = 0

    def begin(self) -> int:
        self._synchronise()
        self._next = 0
        self._origin_ns = self._now_ns()
        # on an idle stream the event happens within the microseconds of one launch, and after the clock was read: no
        # corrected time can come before the start or after the end
        self._origin.record()
        return self._origin_ns

    def tick(self) -> None:
        index = self._next
        if index < len(self._events):
            self._events[index].record()
        self._next = index + 1
        self._stamp()  # for progress; `corrected` has the time

    def end(self) -> int:
        self._synchronise()
        return self._now_ns()

    def corrected(self, count: int) -> tuple[int, ...]:
        known = min(count, self._next, len(self._events))
        return tuple(self._origin_ns + round(self._origin.elapsed_time(event) * 1e6) for event in self._events[:known])
