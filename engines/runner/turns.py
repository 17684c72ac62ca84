"""Telemetry on and off in turns while a trial measures, so that its cost shows within one process. For the self-check.

On the runner's loop. Turns alternate until the trial no longer measures; each becomes a record when it is over.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from time import monotonic_ns, process_time_ns

from engines.protocol.orders import TrialOrder
from engines.protocol.records import TelemetryTurn

LEAST_S = 0.2
"""Shorter turns would hold no more than a reading or two."""


def sides(seed: int, trial: str) -> Iterator[bool]:
    """Whether telemetry is on, turn by turn, for ever. Turns come in fours, on off off on or off on on off by lot: a
    drift that lasts through a trial cancels out, and nothing that repeats itself keeps step."""
    lot = random.Random(f"{seed}/{trial}")
    while True:
        first = lot.random() < 0.5
        yield from (first, not first, not first, first)


class Turns:
    """The turns of one trial: `begin` when it starts to measure, `end` when it stops."""

    def __init__(
        self, order: TrialOrder, *, switch: Callable[[bool], None], tell: Callable[[TelemetryTurn], None]
    ) -> None:
        """`switch` turns telemetry on or off; `tell` writes a turn that is over."""
        self._length_s = max(LEAST_S, order.telemetry.turns_s)
        self._sides = sides(order.seed, order.trial)
        self._switch = switch
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self._index = 0
        self._on = True
        self._start_ns = 0
        self._spent_ns = 0

    def begin(self) -> None:
        self._on = next(self._sides)
        self._switch(self._on)
        self._start_ns, self._spent_ns = monotonic_ns(), process_time_ns()
        self._timer = asyncio.get_running_loop().call_later(self._length_s, self._next)

    def end(self) -> None:
        """Tell the turn that runs with the length it has, and leave telemetry on. Safe to call twice."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._close()
        self._switch(True)

    def _next(self) -> None:
        self._close()
        self.begin()

    def _close(self) -> None:
        spent_ns = process_time_ns() - self._spent_ns
        self._tell(
            TelemetryTurn(
                t_ns=monotonic_ns(),
                index=self._index,
                on=self._on,
                start_ns=self._start_ns,
                runner_cpu_seconds=spent_ns / 1e9,
            )
        )
        self._index += 1
