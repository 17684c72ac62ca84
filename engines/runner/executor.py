"""Where a runner's trials run: here, in a worker process each. Another executor (`engines.slurm`) has them run
elsewhere, and the runner keeps its queue, its spools and its clients. On the runner's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from engines.protocol.messages import Allocation, ProbeResult
from engines.protocol.orders import TrialOrder
from engines.protocol.records import TrialEnded
from engines.runner.leases import startable
from engines.runner.outcome import Ending
from engines.runner.spools.archive import Entry
from engines.runner.trial import Surroundings, TrialRun
from engines.runner.workers.worker import WorkerProcess


class Run(Protocol):
    """One trial that was started, up to its end record in the spool `entry`."""

    order: TrialOrder
    entry: Entry
    begun: bool
    """Whether it runs already; until then the queue shows it as waiting."""
    phase: str
    text: str
    fraction: float | None
    worker: WorkerProcess | None
    """Its process here, where it has one."""
    end_is_written: bool
    has_measured: bool

    async def run(self) -> TrialEnded:
        """Raises `CannotStart`, `PutBack`."""
        ...

    def stop(self, ending: Ending) -> None: ...

    async def abandon(self) -> None: ...


class PutBack(Exception):
    """The trial had not begun where it was sent: it waits again, and the queue continues."""


class Executor:
    """Trials run here: each has its device for itself, and ends with the runner."""

    outlives_the_runner = False
    """Whether trials continue without their runner, and are taken up again by the next one."""

    def begin(self, *, look: Callable[[], None], pause: Callable[[str], None], changed: Callable[[], None]) -> None:
        """Before the first trial. `look`: start what can start now. `pause`: the queue, for this reason. `changed`:
        what `allocations` says."""

    async def close(self) -> None:
        """The runner ends."""

    def startable(self, waiting: Sequence[TrialOrder], running: Sequence[TrialOrder]) -> list[int]:
        """Which of those that wait may start now."""
        return startable([order.devices for order in waiting], [order.devices for order in running])

    def pause(self) -> None:
        """Nothing starts until `startable` is asked again."""

    def run(self, order: TrialOrder, entry: Entry, around: Surroundings) -> Run:
        return TrialRun(order, entry, around)

    async def probe(self) -> ProbeResult:
        """What this machine has. Slow."""
        return await asyncio.to_thread(_probe)

    def allocations(self) -> tuple[Allocation, ...]:
        """What another scheduler was asked for."""
        return ()


def _probe() -> ProbeResult:
    from engines.host.probe import probe

    return probe()
