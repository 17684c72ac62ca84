"""From an order to a running worker: what the runner decides, the files it makes, template or plain. On the loop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.host.machine import share_here
from engines.host.processors import Share
from engines.protocol.client_environment import never_written, processors_of, surroundings
from engines.protocol.codec import encode_order
from engines.protocol.orders import EnvironmentOrder, Inference, TrialOrder
from engines.protocol.private import private_folder, write_private
from engines.protocol.records import Record
from engines.protocol.ring import capacity_for, create_ring
from engines.runner.lines import TextPipe
from engines.runner.settings import RunnerSettings, import_path
from engines.runner.spools.spool import ORDER, RING
from engines.runner.workers.leftovers import MARK_VARIABLE, mark_of
from engines.runner.workers.template import NoTemplate, Templates, block_of
from engines.runner.workers.worker import OnData, WorkerOrder, WorkerProcess, fork_from, start_plainly

IDLE_S = 2.0
PREFILL_ENERGY_S = 5.0
TEMPLATE_MARK = ":template"
"""Stands for a trial in the mark of a template process; no trial has such an id."""


@dataclass(frozen=True)
class Started:
    """A worker that runs, not yet listened to."""

    worker: WorkerProcess
    order: TrialOrder
    """With the start method that was really used."""
    why_plain: str = ""
    """Why the template that was asked for was not used."""
    errors: tuple[Record, ...] = ()
    """What a worker forked from it wrote to standard error."""


def worker_environment(
    state: Path, trial: str, order: EnvironmentOrder | None, secrets: Mapping[str, str]
) -> dict[str, str]:
    """Environment of a worker, or of the template."""
    return {
        **surroundings(os.environ, order, secrets),
        "PYTHONPATH": import_path(),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        MARK_VARIABLE: mark_of(state, trial),
    }


async def resolved(order: TrialOrder) -> tuple[TrialOrder, Share]:
    """The order with everything decided that it leaves to the runner, and the worker's share of the machine."""
    share = share_here(order.engine.threads or _threads_asked(order.environment), processors_of(order.environment))
    engine = msgspec.structs.replace(order.engine, threads=share.threads)
    workload = order.workload
    if workload.idle_s is None or (isinstance(workload, Inference) and workload.prefill_energy_s is None):
        measured = order.telemetry.enabled and await asyncio.to_thread(_measures_power, order.device)
        idle_s = workload.idle_s if workload.idle_s is not None else IDLE_S * measured
        workload = msgspec.structs.replace(workload, idle_s=idle_s)
        if isinstance(workload, Inference) and workload.prefill_energy_s is None:
            workload = msgspec.structs.replace(workload, prefill_energy_s=PREFILL_ENERGY_S * measured)
    return msgspec.structs.replace(order, engine=engine, workload=workload), share


def _threads_asked(environment: EnvironmentOrder | None) -> int:
    """Threads that the client's variables ask for, where the order leaves them open; 0 where they say nothing."""
    said = environment.variables.get("OMP_NUM_THREADS", "") if environment is not None else ""
    first = said.partition(",")[0].strip()  # further numbers are for nested regions
    return int(first) if first.isdigit() else 0


def _measures_power(device: str) -> bool:
    from engines.telemetry.device_sensors import measures_power

    return measures_power(device)


class Starter:
    """Starts one trial's worker. `give_up` ends every waiting."""

    def __init__(
        self,
        state: Path,
        settings: RunnerSettings,
        templates: Templates,
        give_up: asyncio.Event,
        secrets: Mapping[str, str],
    ) -> None:
        """`secrets`: variables that the worker gets and nobody writes down."""
        self._secrets = secrets
        self._state = state
        self._settings = settings
        self._templates = templates
        self._give_up = give_up

    async def start(self, order: TrialOrder, share: Share, folder: Path, on_data: OnData) -> Started | None:
        """None when it was given up before there was a worker. Raises OSError."""
        self._make_ring(order, folder / RING)
        wanted = self._wanted(order, share, folder)
        why = ""
        errors: tuple[Record, ...] = ()
        if order.engine.start_method == "template":
            try:
                worker = await self._from_template(order, wanted, on_data)
            except NoTemplate as problem:
                why, errors = str(problem), problem.errors
                order = with_method(order, "plain")
            else:
                return Started(worker, order) if worker is not None else None
        if self._give_up.is_set():
            return None
        _write_order(order, wanted)
        return Started(start_plainly(self._settings.worker_command, wanted, on_data), order, why, errors)

    def _make_ring(self, order: TrialOrder, path: Path) -> None:
        rings = self._settings.rings
        if rings is not None:
            private_folder(rings)
            path.symlink_to(rings / order.trial)
            path = rings / order.trial
        create_ring(path, capacity_for(order))

    def _wanted(self, order: TrialOrder, share: Share, folder: Path) -> WorkerOrder:
        mark = mark_of(self._state, order.trial)
        return WorkerOrder(
            folder=folder,
            order=folder / ORDER,
            ring=folder / RING,
            share=share,
            address_space_bytes=order.limits.address_space_bytes,
            environment=worker_environment(self._state, order.trial, order.environment, self._secrets),
            changes={**self._secrets, MARK_VARIABLE: mark},
        )

    async def _from_template(self, order: TrialOrder, wanted: WorkerOrder, on_data: OnData) -> WorkerProcess | None:
        """A forked worker that has said its first word; None when given up. Raises `NoTemplate`, OSError."""
        _write_order(order, wanted)
        block = block_of(order, wanted.share)
        making = asyncio.ensure_future(self._templates.get(block))
        asked = asyncio.ensure_future(self._give_up.wait())
        try:
            await asyncio.wait((making, asked), return_when=asyncio.FIRST_COMPLETED)
            if not making.done():
                return None
            template = making.result()
        finally:
            making.cancel()
            asked.cancel()
        try:
            worker = await fork_from(template, wanted, on_data)
        except NoTemplate:
            self._templates.drop()  # the next trial gets a new one
            raise
        if await worker.speaks(self._settings.first_word_s, self._give_up) or self._give_up.is_set():
            return worker
        worker.send(signal.SIGKILL)
        code = await worker.exit_code()
        text = TextPipe("stderr", never_written(self._secrets))
        errors = (*text.feed(worker.discard()), *text.finish())
        why = f"a worker forked from it said nothing within {self._settings.first_word_s:g} s"
        if code != -signal.SIGKILL:
            why = f"a worker forked from it ended with exit code {code} before its first word"
        if last := text.tail.rpartition("\n")[2]:
            why += f": {last.rstrip('.')}"
        self._templates.give_up(block, why)
        raise NoTemplate(why, errors)


def with_method(order: TrialOrder, method: str) -> TrialOrder:
    """The order as it was really started."""
    return msgspec.structs.replace(order, engine=msgspec.structs.replace(order.engine, start_method=method))


def _write_order(order: TrialOrder, wanted: WorkerOrder) -> None:
    write_private(wanted.order, encode_order(order))
