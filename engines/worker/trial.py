"""One trial from its first phase to its last. Torch-free; main thread of the worker process."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from engines.catalogue import EngineInfo, broken, engines, find
from engines.protocol.orders import TrialOrder
from engines.protocol.ring import RingWriter
from engines.worker.engine import Engine
from engines.worker.evaluate import Evaluator, is_asked_for
from engines.worker.failures import WorkerFailure, explain, first_line
from engines.worker.measure import Requests
from engines.worker.phases import Phases, memory_given_back, quiet_collector
from engines.worker.record_writer import RecordWriter
from engines.worker.stop import Stop, StopTrial

EngineFactory = Callable[[TrialOrder, RingWriter, Stop], Engine]


def make_engine(order: TrialOrder, ring: RingWriter, stop: Stop) -> Engine:
    """The engine an order names. Raises `WorkerFailure`."""
    factory: EngineFactory = _imported(check_order(order).factory)
    return factory(order, ring, stop)


def check_order(order: TrialOrder) -> EngineInfo:
    """The engine an order names, which has nothing against it as far as is known before its libraries are imported.
    Raises `WorkerFailure`."""
    engine = find(order.engine.id)
    if engine is None:
        failed = "".join(f" {b.name} failed to load ({b.error})." for b in broken())
        raise WorkerFailure(
            "order",
            f"This worker has no engine called {order.engine.id}.",
            f"Engines here: {', '.join(e.id for e in engines())}.{failed} Install the package the engine comes from "
            "where the runner runs; a newer client may be talking to an older runner.",
        )
    for obstacle in engine.obstacles(order, None):
        if obstacle.severity == "error":
            raise WorkerFailure(obstacle.kind, obstacle.message, obstacle.hint)
    if engine.preflight:
        preflight: Callable[[TrialOrder], None] = _imported(engine.preflight)
        preflight(order)
    return engine


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def run_trial(
    order: TrialOrder,
    channel: RecordWriter,
    ring: RingWriter,
    stop: Stop,
    started_ns: int,
    process_facts: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run the trial's phases. Returns also when stopped; raises `WorkerFailure` where it cannot go on. `process_facts`
    say how this process was made."""
    phases = Phases(channel)
    doing = "starting"
    try:
        with phases.phase("start", started_ns):
            doing = "starting the engine"
            channel.progress("Starting the engine", 0.0)
            with stop.interruptible():
                engine = make_engine(order, ring, stop)
                facts = engine.start()
            channel.environment({**facts, **process_facts})
        phases.allocator = engine.allocator()
        missing = engine.files_missing()
        if missing:
            doing = f"making {missing}"
            with phases.phase("convert"):
                channel.progress(f"Making {missing}", 0.02)
                with stop.interruptible():
                    facts = engine.make_files(_making(channel, stop))
                channel.environment(facts)
        with phases.phase("load"), memory_given_back():
            doing = "loading the model"
            channel.progress(f"Loading {order.model.title}", 0.1)
            with stop.interruptible():
                loaded = engine.load()
            channel.send(loaded)
            doing = "making the prompts"
            with stop.interruptible():
                facts = engine.prepare()
            channel.environment(facts)
        # None where no runner has chosen: only it knows whether a sensor measures power
        _idle(order.workload.idle_s or 0.0, channel, phases, stop)
        doing = "generating"
        _generate(engine, order, channel, phases, ring, stop)
        if is_asked_for(order.inference) and not stop.requested:
            doing = "evaluating"
            with phases.phase("evaluate"):
                Evaluator(engine, order, channel, stop).run()
        with phases.phase("unload"):
            doing = "unloading"
            channel.environment(engine.unload())
    except StopTrial:
        channel.log("Stopped before anything was measured.")
    except Exception as error:  # an engine's libraries may raise anything: the user gets it in words
        if not stop.requested:
            raise explain(error, doing) from error
        # a library that was interrupted may say so in an exception of its own
        channel.log(f"Stopped while {doing}: {first_line(error)}")


def _making(channel: RecordWriter, stop: Stop) -> Callable[[str, float], None]:
    """Tells how far the files are, from within the part that a stop interrupts."""

    def report(text: str, share: float) -> None:
        with stop.sending():
            channel.progress(text, 0.02 + 0.08 * share)

    return report


def _generate(
    engine: Engine, order: TrialOrder, channel: RecordWriter, phases: Phases, ring: RingWriter, stop: Stop
) -> None:
    requests = Requests(engine, order.inference, channel, phases, ring, stop)
    prefill_s = order.inference.prefill_energy_s or 0.0
    ring.touch()
    with quiet_collector():
        with phases.phase("warmup"):
            requests.warm_up()
        if not stop.requested:
            with phases.phase("measure"):
                requests.measure()
            if prefill_s > 0 and requests.measured and not stop.requested:
                with phases.phase("prefill_energy"):
                    requests.repeat_prefill(prefill_s)
        else:
            channel.cue("short_window", "Stopped in the warm-up: nothing was measured.")


def _idle(seconds: float, channel: RecordWriter, phases: Phases, stop: Stop) -> None:
    """Stand still with the model loaded and the device's context alive: the level that net energy is counted from."""
    if seconds > 0:
        with phases.phase("idle"):
            channel.progress(f"Idle level, {seconds:g} s", 0.24)
            with stop.interruptible():
                time.sleep(seconds)
