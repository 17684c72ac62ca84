"""The executor of the front: jobs asked for while blocks wait, blocks handed to those that run, jobs that ended judged.

On the front's loop; Slurm's commands and the shared file system are asked on threads, and only while there are jobs or
blocks wait.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from engines.protocol.client import engine_environment
from engines.protocol.messages import Allocation as Shown
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import TrialOrder
from engines.protocol.places import HOME_VARIABLE, Places
from engines.protocol.private import private_folder, write_private
from engines.runner.executor import Executor, Run
from engines.runner.spools.archive import Entry
from engines.runner.trial import Surroundings
from engines.slurm import commands
from engines.slurm.allocation import Allocation, Block
from engines.slurm.commands import Job, SlurmError
from engines.slurm.folder import JobFile, JobFolder, folders
from engines.slurm.front import Pace, keep_probe, kept_probe, read_settings
from engines.slurm.probe import cluster_probe
from engines.slurm.run import JobRun

_log = logging.getLogger(__name__)


_NO_ANSWER = Shown(id="", state="waiting", reason="Slurm does not answer")


class SlurmExecutor(Executor):
    """`here`: the front's own places."""

    outlives_the_runner = True

    def __init__(self, here: Places, pace: Pace) -> None:
        self._here = here
        self._pace = pace
        self._jobs = here.state / "jobs"
        self._allocations: list[Allocation] = []
        self._unplaced = 0
        """Blocks that wait and are in no job."""
        self._placed: dict[str, Allocation] = {}
        """Trials that may start now, and where."""
        self._nudged = asyncio.Event()
        self._look: Callable[[], None] = lambda: None
        self._pause: Callable[[str], None] = lambda _: None
        self._changed: Callable[[], None] = lambda: None
        self._task: asyncio.Task[None] | None = None
        self._asked_at = 0.0
        self._is_unanswered = False
        """The last time a job was asked for."""

    def begin(self, *, look: Callable[[], None], pause: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._look, self._pause, self._changed = look, pause, changed
        private_folder(self._jobs)
        for folder in folders(self._jobs):
            file = folder.read_job()
            if file is None:
                shutil.rmtree(folder.path, ignore_errors=True)  # no job was asked for yet
                continue
            allocation = Allocation(folder, file)
            allocation.node = folder.read_node()
            allocation.take_up(folder.handed())
            self._allocations.append(allocation)
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Jobs go on; the next front finds them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def startable(self, waiting: Sequence[TrialOrder], running: Sequence[TrialOrder]) -> list[int]:
        self._placed.clear()
        chosen: list[int] = []
        blocks: dict[Block, list[int]] = {}
        for index, order in enumerate(waiting):
            blocks.setdefault((order.experiment, order.block), []).append(index)
        new: list[Allocation] = []
        unplaced = 0
        for block, indices in blocks.items():
            orders = [waiting[index] for index in indices]
            allocation = self._place_of(block, orders, new)
            if allocation is None:
                unplaced += 1
                continue
            if block not in allocation.blocks:
                new.append(allocation)
            self._placed.update((order.trial, allocation) for order in orders)
            chosen += indices
        if unplaced != self._unplaced:
            self._unplaced = unplaced
            self._nudged.set()
        return sorted(chosen)

    def pause(self) -> None:
        """Nothing more is asked for, and jobs that wait are taken back."""
        self._unplaced = 0
        self._nudged.set()

    def _place_of(self, block: Block, orders: Sequence[TrialOrder], new: Sequence[Allocation]) -> Allocation | None:
        """The job that has the block already, or the first with room. `new`: jobs that were given a block just now."""
        ready = [each for each in self._allocations if each.is_ready]
        has_it = next((each for each in ready if block in each.blocks), None)
        if has_it is not None:
            return has_it
        free = (a for a in ready if a.free_places > new.count(a))
        return next((a for a in free if a.has_time_for(orders)), None)

    def run(self, order: TrialOrder, entry: Entry, around: Surroundings) -> Run:
        placed = self._placed.pop(order.trial, None)
        earlier = (a for a in self._allocations if order.trial in a.handed_before)
        has_it = placed or next(earlier, None)
        if has_it is not None:
            has_it.has(order)
        return JobRun(order, entry, around, has_it, self._pace.look_s, is_handed=placed is None)

    async def probe(self) -> ProbeResult:
        return await asyncio.to_thread(lambda: cluster_probe(read_settings(self._here), kept_probe(self._here)))

    def allocations(self) -> tuple[Shown, ...]:
        missing = (_NO_ANSWER,) if self._is_unanswered else ()
        return (*(each.shown() for each in self._allocations), *missing)

    # --- jobs -----------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                await self._step()
            except (OSError, ValueError) as error:
                _log.exception("a look at the jobs failed")
                self._pause(f"The cluster's jobs cannot be looked after: {error} What was measured is safe.")
            self._nudged.clear()
            busy = bool(self._allocations or self._unplaced)
            try:
                await asyncio.wait_for(self._nudged.wait(), self._pace.look_s if busy else None)
            except TimeoutError:
                continue

    async def _step(self) -> None:
        changed = False
        if self._allocations and time.monotonic() - self._asked_at >= self._pace.ask_s:
            self._asked_at = time.monotonic()
            changed = await self._ask_slurm()
        for allocation in self._allocations:
            if allocation.node is None and not allocation.is_over:
                allocation.node = await asyncio.to_thread(allocation.folder.read_node)
                if allocation.node is not None:
                    await asyncio.to_thread(keep_probe, self._here, allocation.node.probe)
                    changed = True
            if allocation.trials:
                allocation.spools = await asyncio.to_thread(allocation.folder.spooled)
        changed |= await self._clear()
        if changed:
            self._look()
        await self._fit()

    async def _ask_slurm(self) -> bool:
        """-> whether something is different."""
        ids = {a.file.job for a in self._allocations if a.file.job}
        try:
            known = await asyncio.to_thread(commands.jobs, ids)
        except SlurmError as error:
            _log.warning("Slurm does not answer: %s", error)
            return False
        by_name = {job.name: job for job in known.values()}
        changed = False
        for allocation in self._allocations:
            if not allocation.file.job and allocation.file.name in by_name:  # the last front died before it knew
                await asyncio.to_thread(allocation.named, by_name[allocation.file.name].id)
            if not allocation.file.job:
                allocation.is_unwanted = True  # it died before it asked
            job = known.get(allocation.file.job) or Job(allocation.file.job, "")
            if job != allocation.job:
                self._changed()
            changed |= job != allocation.job
            allocation.job = job
            if (job.is_over or not job.state) and not allocation.is_over:
                allocation.last_words = await asyncio.to_thread(allocation.folder.last_words)
                allocation.end()
        return changed

    async def _clear(self) -> bool:
        """Forget jobs that are over and whose trials have all been seen to. -> whether there were any."""
        over = [a for a in self._allocations if a.is_over and not a.trials]
        for allocation in over:
            self._allocations.remove(allocation)
            problem = await asyncio.to_thread(allocation.folder.problem)
            if problem:
                self._pause(f"On {allocation.node.node if allocation.node else 'a node'}: {problem}")
            elif allocation.is_fruitless:
                self._pause(await asyncio.to_thread(_fruitless, allocation))
            await asyncio.to_thread(shutil.rmtree, allocation.folder.path, True)
        return bool(over)

    async def _fit(self) -> None:
        """Request jobs while blocks lack a place, and cancel requests that no block needs any more."""
        alive = [a for a in self._allocations if a.lives]
        room = sum(a.free_places for a in alive if not a.is_ready)
        settings = read_settings(self._here)
        if self._unplaced > room and len(alive) < settings.allocations:
            await self._ask_for_one()
        elif not self._unplaced:
            for allocation in alive:
                if allocation.job is not None and allocation.job.waits and not allocation.trials:
                    await self._take_back(allocation)

    async def _ask_for_one(self) -> None:
        settings = read_settings(self._here)
        name = f"llm-workbench-{time.time_ns()}"
        folder = JobFolder(self._jobs / name)
        allocation = Allocation(folder, JobFile(name=name, settings=settings, asked_wall_ns=time.time_ns()))

        def ask() -> None:
            folder.make()
            write_private(folder.script, self._script(folder).encode())
            folder.write_job(allocation.file)
            allocation.named(commands.submit(folder.script, name, folder.output, settings))

        try:
            await asyncio.to_thread(ask)
            self._is_unanswered = False
        except SlurmError as error:
            self._is_unanswered = error.unreachable
            self._changed()
            await asyncio.to_thread(shutil.rmtree, folder.path, True)
            if error.unreachable:
                _log.warning("Slurm does not answer: %s", error)
                await asyncio.sleep(self._pace.ask_s)
                return
            self._pause(
                f"Slurm refused a job: {error} What waits stays in the queue. "
                "Change the settings of the machine, then resume the queue."
            )
            return
        self._allocations.append(allocation)
        self._nudged.set()
        self._changed()

    async def _take_back(self, allocation: Allocation) -> None:
        allocation.is_unwanted = True
        try:
            await asyncio.to_thread(commands.cancel, allocation.file.job)
        except SlurmError as error:
            _log.warning("job %s could not be taken back: %s", allocation.file.job, error)

    def _script(self, folder: JobFolder) -> str:
        """Starts the runner in the place of the shell, so that it hears Slurm's signals itself."""
        environment = engine_environment(self._here)
        kept = {name: environment[name] for name in (HOME_VARIABLE, "PYTHONPATH") if name in environment}
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in kept.items())
        command = shlex.join([sys.executable, "-m", "engines", "serve", "--share", str(folder.path)])
        return f"#!/bin/sh\n{exports}cd /\nexec {command}\n"


def _fruitless(allocation: Allocation) -> str:
    state = allocation.job.state if allocation.job is not None else ""
    said = allocation.folder.last_words()
    how = {"CANCELLED": "was cancelled", "": "ended"}.get(state, f"ended ({state})")
    words = f" Its last words: {said}" if said else ""
    return (
        f"Slurm job {allocation.file.job} {how} before a trial began.{words} "
        "What waits stays in the queue: resume it to ask for another job."
    )
