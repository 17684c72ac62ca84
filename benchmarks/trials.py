"""Trials as benchmarks run them: an order, a process that works through it, an engine loaded by it. A library of
benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.protocol.codec import encode_order
from engines.protocol.orders import EngineOrder, ModelOrder, TechniqueOrder, TrialOrder, WorkloadOrder
from engines.ring import RingWriter, capacity_for, create_ring
from engines.worker.engine import Engine
from engines.worker.process import prepare_process
from engines.worker.stop import Stop
from engines.worker.trial import make_engine


def trial_order(
    model: ModelOrder,
    *techniques: str,
    workload: WorkloadOrder,
    engine: EngineOrder,
    trial: str = "bench",
    block: int = 0,
) -> TrialOrder:
    """A trial on the processor that belongs to nobody's experiment."""
    return TrialOrder(
        trial=trial,
        experiment="bench",
        store="bench",
        configuration="bench",
        title=model.title,
        block=block,
        position=0,
        total=1,
        seed=0,
        experiment_title="bench",
        model=model,
        techniques=tuple(TechniqueOrder(id=technique) for technique in techniques),
        workload=workload,
        engine=engine,
    )


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
