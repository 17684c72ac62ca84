"""One trial from its first phase to its last. Torch-free; main thread of the worker process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from engines.protocol.orders import TrialOrder
from engines.ring import RingWriter
from engines.worker.channel import Channel
from engines.worker.engine import Engine
from engines.worker.failures import WorkerFailure, explain
from engines.worker.measure import Requests
from engines.worker.phases import Phases, quiet_collector
from engines.worker.stop import Stop, StopTrial

EngineFactory = Callable[[TrialOrder, RingWriter, Stop], Engine]

_ENGINES = {"transformers": ("engines.hf.preflight:preflight", "engines.hf.engine:HfEngine")}
"""Engine id -> a check of the order that is made before anything heavy is imported, and the engine's class; both as
"module:name", imported when the order names the engine."""


def make_engine(order: TrialOrder, ring: RingWriter, stop: Stop) -> Engine:
    """The engine an order names. Raises `WorkerFailure`."""
    known = _ENGINES.get(order.engine.id)
    if known is None:
        raise WorkerFailure(
            "order",
            f"This worker has no engine called {order.engine.id}.",
            f"Engines here: {', '.join(_ENGINES)}. A newer client may be talking to an older runner.",
        )
    preflight: Callable[[TrialOrder], None] = _imported(known[0])
    preflight(order)
    factory: EngineFactory = _imported(known[1])
    return factory(order, ring, stop)


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def run_trial(order: TrialOrder, channel: Channel, ring: RingWriter, stop: Stop, started_ns: int) -> None:
    """Run the trial's phases. Returns also when stopped; raises `WorkerFailure` where it cannot go on."""
    phases = Phases(channel)
    doing = "starting"
    try:
        with phases.phase("start", started_ns):
            doing = "starting the engine"
            channel.progress("Starting the engine", 0.0)
            with stop.interruptible():
                engine = make_engine(order, ring, stop)
                facts = engine.start()
            channel.environment(facts)
        phases.allocator = engine.allocator()
        with phases.phase("load"):
            doing = "loading the model"
            channel.progress(f"Loading {order.model.title}", 0.1)
            with stop.interruptible():
                loaded = engine.load()
            channel.send(loaded)
            doing = "making the prompts"
            with stop.interruptible():
                facts = engine.prepare()
            channel.environment(facts)
        doing = "generating"
        _generate(engine, order, channel, phases, ring, stop)
        if order.workload.perplexity_tokens > 0 and not stop.requested:
            doing = "measuring perplexity"
            _evaluate(engine, channel, phases, stop)
        with phases.phase("unload"):
            doing = "unloading"
            channel.environment(engine.unload())
    except StopTrial:
        channel.log("Stopped before anything was measured.")
    except Exception as error:  # an engine's libraries may raise anything: the user gets it in words
        raise explain(error, doing) from error


def _generate(
    engine: Engine, order: TrialOrder, channel: Channel, phases: Phases, ring: RingWriter, stop: Stop
) -> None:
    requests = Requests(engine, order.workload, channel, phases, ring, stop)
    ring.touch()
    with quiet_collector():
        with phases.phase("warmup"):
            requests.warm_up()
        if not stop.requested:
            with phases.phase("measure"):
                requests.measure()
        else:
            channel.cue("short_window", "Stopped in the warm-up: nothing was measured.")


def _evaluate(engine: Engine, channel: Channel, phases: Phases, stop: Stop) -> None:
    with phases.phase("evaluate"):
        channel.progress("Perplexity on held-out text", 0.87)
        result = engine.evaluate()
        if result is not None:
            channel.send(result)
        elif not stop.requested:
            channel.log("Perplexity was not measured.")
