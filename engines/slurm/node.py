"""On the node: the runner of one job takes the orders that the front leaves in the job's folder. In that runner's
process, beside it on its loop; files are read on a thread, for a shared file system can be slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from engines.host.probe import probe
from engines.protocol.messages import ProbeResult
from engines.protocol.orders import TrialOrder
from engines.runner.runner import Refused, Runner
from engines.runner.settings import RunnerSettings
from engines.slurm.folder import JobFolder, NodeFile, read_order

_log = logging.getLogger(__name__)
ANY_GPU = "cuda:allocated"
"""The device of an order that goes to whatever GPU Slurm gives."""
IDLE_S = 60.0
"""Seconds without a trial after which the job gives its node back."""
_CUDA = "cuda:"


async def serve_share(runner: Runner, folder: JobFolder, look_s: float) -> None:
    """Say where this is, then take in what comes. Ends the process where nothing can start here: what is wrong with a
    machine is wrong for every trial, and a job that starts nothing must not hold its node."""
    found = await asyncio.to_thread(probe)
    devices = allocated(found, os.environ)
    await asyncio.to_thread(folder.write_node, _node_file(found, devices))
    problem = await take_in(runner, folder, Share(devices), look_s)
    _log.error("the job ends: %s", problem)
    with contextlib.suppress(OSError):
        await asyncio.to_thread(folder.write_problem, problem)
    os.kill(os.getpid(), signal.SIGTERM)


async def take_in(runner: Runner, folder: JobFolder, share: Share, look_s: float) -> str:
    """Orders and stops, as they come. -> why nothing starts any more."""
    while True:
        state = runner.queue_state()
        if state.paused:
            return state.pause_reason
        with contextlib.suppress(OSError):  # a shared file system may be away for a moment
            handed, stops = await asyncio.to_thread(lambda: (folder.handed(), folder.stops()))
            new = [path for trial, path in handed.items() if not runner.knows(trial)]
            orders = [await asyncio.to_thread(read_order, path) for path in new]
            try:
                if orders:
                    runner.submit([share.placed(order) for order in orders if order is not None], {})
            except Refused as refused:
                return f"{refused} {refused.advice}"
            for trial, how in stops.items():
                if runner.knows(trial) and share.is_news(trial, how):
                    with contextlib.suppress(Refused):  # it has ended meanwhile
                        runner.stop(trial, kill=how == "kill")
        await asyncio.sleep(look_s)


def job_settings(settings: RunnerSettings, folder: JobFolder) -> RunnerSettings:
    """Those of a job's runner. Its rings are in memory, where the system has such a place, and go with the node."""
    memory = Path("/dev/shm")
    near = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    return replace(settings, idle_s=IDLE_S, rings=near / folder.path.name)


def allocated(found: ProbeResult, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the GPUs of this job, as `CUDA_VISIBLE_DEVICES` names them: numbers in the driver's order, or beginnings
    of their own ids. A number that the driver says nothing of stays one. () for a job without GPUs."""
    gpus = [device.id for device in found.devices if device.id.startswith(_CUDA)]
    ids = []
    for word in filter(None, map(str.strip, variables.get("CUDA_VISIBLE_DEVICES", "").split(","))):
        if word.isdecimal():
            ids.append(gpus[int(word)] if int(word) < len(gpus) else _CUDA + word)
        else:
            ids.append(next((gpu for gpu in gpus if gpu.startswith(_CUDA + word)), _CUDA + word))
    return tuple(ids)


class Share:
    """Which device each block has here, and which stops were passed on."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._devices = devices
        self._blocks: dict[tuple[str, int], int] = {}
        self._stopped: dict[str, str] = {}

    def placed(self, order: TrialOrder) -> TrialOrder:
        """With a device of this job, the same for a whole block, and without what only counted on the client."""
        environment = order.environment
        if environment is not None:
            kept = {n: v for n, v in environment.variables.items() if n != "CUDA_VISIBLE_DEVICES"}
            environment = msgspec.structs.replace(environment, variables=kept, processors="")
        devices = order.devices
        if order.device == ANY_GPU and self._devices:
            number = self._blocks.setdefault((order.experiment, order.block), len(self._blocks))
            given = [self._devices[(number + place) % len(self._devices)] for place in range(len(devices))]
            devices = tuple(dict.fromkeys(given))  # never more than the job has
        return msgspec.structs.replace(order, device=devices[0], more_devices=devices[1:], environment=environment)

    def is_news(self, trial: str, how: str) -> bool:
        before, self._stopped[trial] = self._stopped.get(trial), how
        return how != before


def _node_file(found: ProbeResult, devices: tuple[str, ...]) -> NodeFile:
    return NodeFile(
        node=os.environ.get("SLURMD_NODENAME") or platform.node(),
        job=os.environ.get("SLURM_JOB_ID", ""),
        devices=devices,
        started_wall_ns=time.time_ns(),
        probe=found,
    )
