"""Trials as benchmarks run them: an order, a process that works through it, an engine loaded by it. A library of
benchmarks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.protocol import messages
from engines.protocol.client import RunnerClient, connect_local
from engines.protocol.codec import decode_record, encode_order
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder, Workload
from engines.protocol.places import HOME_VARIABLE, places
from engines.protocol.records import Record
from engines.protocol.ring import RingWriter, capacity_for, create_ring
from engines.worker.engine import Engine
from engines.worker.process import prepare_process
from engines.worker.stop import Stop
from engines.worker.trial import make_engine
from tests import builders


def trial_order(
    model: ModelOrder,
    *techniques: str,
    workload: Workload,
    engine: EngineOrder,
    trial: str = "bench",
    block: int = 0,
    device: str = "cpu",
) -> TrialOrder:
    """A trial that belongs to nobody's experiment."""
    return builders.trial_order(
        trial,
        title=model.title,
        block=block,
        seed=0,
        model=model,
        techniques=tuple(TechniqueOrder(id=technique) for technique in techniques),
        workload=workload,
        engine=engine,
        device=device,
    )


@contextmanager
def own_runner() -> Iterator[RunnerClient]:
    """A runner with a home of its own, both gone at the end. This process's home is that one from now on."""
    home = Path(tempfile.mkdtemp(prefix="lw-bench-"))
    os.environ[HOME_VARIABLE] = str(home)
    try:
        with connect_local(places(), timeout=30.0) as client:
            yield client
            client.call(messages.Shutdown())
    finally:
        time.sleep(1.0)
        shutil.rmtree(home, ignore_errors=True)


def records_of(client: RunnerClient, order: TrialOrder) -> Iterator[tuple[str, Record]]:
    """Submit a trial and follow it to its end: each record as its line and as a value."""
    client.call(messages.Submit(orders=(order,)))
    for reply in client.stream(messages.Attach(trial=order.trial)):
        if isinstance(reply, messages.RecordLine):
            yield reply.line, decode_record(reply.line)


def in_own_process(module: str, order: TrialOrder, *options: str) -> dict[str, Any]:
    """What `python -m MODULE --order FILE OPTIONS` says in its last line, as JSON. Raises `RuntimeError` with its last
    words where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "order.json"
        file.write_bytes(encode_order(order))
        command = [sys.executable, "-m", module, "--order", str(file), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{order.techniques[0].id} ended with {done.returncode}: {done.stderr[-1000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@contextmanager
def loaded_engine(order: TrialOrder) -> Iterator[tuple[Engine, dict[str, str]]]:
    """The order's engine in this process, which is for it alone, made ready as a worker does it, and the facts
    it told when the prompts were made. Raises `WorkerFailure`."""
    prepare_process(order.engine.threads, order.device, allow_network=False)
    with tempfile.TemporaryDirectory() as folder:
        create_ring(Path(folder) / "ring", capacity_for(order))
        ring = RingWriter(Path(folder) / "ring")
        engine = make_engine(order, ring, Stop())
        engine.start()
        if engine.files_missing():
            engine.make_files(lambda text, share: None)
        engine.load()
        facts = engine.prepare()
        ring.touch()
        yield engine, facts
        engine.unload()
        ring.close()
