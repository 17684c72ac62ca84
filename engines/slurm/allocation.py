"""One job as the front knows it: its folder, what Slurm and its node said last, and the trials it has. On the loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from engines.protocol.messages import Allocation as Shown
from engines.protocol.orders import TrialOrder
from engines.runner.outcome import Judgement
from engines.slurm.commands import Job
from engines.slurm.folder import JobFile, JobFolder, NodeFile, read_order
from engines.slurm.outcome import judgement, state_by_words

Block = tuple[str, int]
"""Experiment and number: trials of one block run on one node."""
_BEFORE_LIMIT_S = 150.0
"""Within so many seconds of its time limit a job that ends itself was warned of it: Slurm warns up to a minute early,
and the runner takes a moment."""


class Allocation:
    def __init__(self, folder: JobFolder, file: JobFile) -> None:
        self.folder = folder
        self.file = file
        self.job: Job | None = None
        """As Slurm said last; None before it was asked."""
        self.node: NodeFile | None = None
        """Once its runner listens."""
        self.is_over = False
        self.last_words = ""
        """The end of the job's output, once it is over."""
        self.is_unwanted = False
        """Cancelled from here, because nothing waited for it."""
        self.trials: dict[str, Block] = {}
        """Handed over and not ended."""
        self.blocks: set[Block] = set()
        """All that it was given."""
        self.has_worked = False
        """A trial began in it."""
        self.spools: frozenset[str] = frozenset()
        """Trials that have a spool there."""
        self._ended = asyncio.Event()
        self.handed_before: frozenset[str] = frozenset()
        """Trials that an earlier front handed over."""
        self._handed = 0

    @property
    def places(self) -> int:
        """How many blocks run in it side by side."""
        return max(1, self.file.settings.gpus)

    @property
    def free_places(self) -> int:
        return self.places - len(set(self.trials.values()))

    @property
    def is_ready(self) -> bool:
        """Trials can be handed to it."""
        return self.node is not None and self.lives

    @property
    def lives(self) -> bool:
        """It waits or runs, and is not about to end."""
        ends = self.is_over or self.is_unwanted
        return not ends and (self.job is None or self.job.waits or self.job.state == "RUNNING")

    @property
    def left_s(self) -> float:
        """Seconds until its time limit; the whole limit before it runs."""
        limit = self.file.settings.time_limit_minutes * 60.0
        return limit if self.node is None else limit - (time.time_ns() - self.node.started_wall_ns) / 1e9

    def has_time_for(self, orders: Iterable[TrialOrder]) -> bool:
        """Whether a block fits before the time limit. The first always does: elsewhere it would have no more."""
        return not self.blocks or sum(order.expected_s for order in orders) <= self.left_s - _BEFORE_LIMIT_S

    def has(self, order: TrialOrder) -> None:
        """Note that it has the trial."""
        block = (order.experiment, order.block)
        self.trials[order.trial] = block
        self.blocks.add(block)

    def take_up(self, handed: Mapping[str, Path]) -> None:
        """What an earlier front handed over."""
        self.handed_before = frozenset(handed)
        self._handed = len(handed)
        self.has_worked = bool(self.folder.spooled())
        orders = (read_order(path) for path in handed.values())
        self.blocks.update((order.experiment, order.block) for order in orders if order is not None)

    def next_number(self) -> int:
        self._handed += 1
        return self._handed

    def end(self) -> None:
        """Slurm says that nothing of the job runs any more."""
        self.is_over = True
        self._ended.set()

    async def wait(self, seconds: float) -> None:
        """Until the job is over, at most so long."""
        if self.is_over:
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)

    def judgement(self) -> Judgement:
        """Of a trial that ran when the job ended."""
        state = state_by_words(self.job.state if self.job is not None else "", self.last_words)
        ended_itself = state == "COMPLETED"  # a runner that was killed leaves "FAILED"
        node = self.node.node if self.node is not None else ""
        return judgement(self.file.job, node, state, at_time_limit=ended_itself and self.left_s < _BEFORE_LIMIT_S)

    @property
    def is_fruitless(self) -> bool:
        """It ended without a trial, and another would too: nobody else ended it."""
        state = self.job.state if self.job is not None else ""
        by_others = state in ("PREEMPTED", "NODE_FAIL", "BOOT_FAIL") or (state == "CANCELLED" and self.node is not None)
        return not (self.has_worked or self.is_unwanted or by_others) and (self.node is None or bool(self.blocks))

    def shown(self) -> Shown:
        """For the queue's state."""
        job = self.job
        waits = job is None or job.waits
        since = self.file.asked_wall_ns if waits or self.node is None else self.node.started_wall_ns
        return Shown(
            id=self.file.job,
            state="waiting" if waits else "running" if self.lives else "ending",
            reason=job.reason if job is not None and waits else "",
            node=self.node.node if self.node is not None else job.node if job is not None else "",
            since_wall_ns=since,
            trials=len(self.trials),
        )

    def named(self, job: str) -> None:
        """It has its id. Raises OSError."""
        self.file = msgspec.structs.replace(self.file, job=job)
        self.folder.write_job(self.file)
