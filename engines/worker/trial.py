"""One trial from its first phase to its last. Torch-free; main thread of the worker process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from engines.catalogue import EngineInfo, broken, engines, find, refusal
from engines.catalogue.model import Obstacle
from engines.protocol.orders import TrialOrder
from engines.protocol.plugins import imported
from engines.protocol.ring import RingWriter
from engines.protocol.work import tag_of
from engines.techniques import find as find_technique
from engines.worker.engine import Engine
from engines.worker.failures import WorkerFailure, explain, first_line
from engines.worker.phases import Phases, memory_given_back
from engines.worker.progress import Progress
from engines.worker.record_writer import RecordWriter
from engines.worker.stop import Stop, StopTrial
from engines.worker.works.work import Trial, tell_effects, work_of

EngineFactory = Callable[[TrialOrder, RingWriter, Stop], Engine]


def make_engine(order: TrialOrder, ring: RingWriter, stop: Stop) -> Engine:
    """The engine an order names. Raises `WorkerFailure`."""
    factory: EngineFactory = imported(check_order(order).factory)
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
    for obstacle in (*_refusals(engine, order), *engine.obstacles(order, None)):
        if obstacle.severity == "error":
            raise WorkerFailure(obstacle.kind, obstacle.message, obstacle.hint)
    if engine.preflight:
        preflight: Callable[[TrialOrder], None] = imported(engine.preflight)
        preflight(order)
    return engine


def _refusals(engine: EngineInfo, order: TrialOrder) -> Iterator[Obstacle]:
    """Techniques that it does not apply."""
    for named in order.techniques:
        technique = find_technique(named.id)
        if technique is None:
            yield Obstacle(
                f"This worker does not know the technique {named.id}.",
                "Install the package it comes from where the runner runs, or leave it out.",
                kind="technique",
            )
        elif (why := refusal(engine, technique, tag_of(type(order.workload)))) is not None:
            yield why


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
    make_work = work_of(order)
    phases, progress = Phases(channel), Progress(channel, make_work.WEIGHTS)
    trial = Trial(order, channel, phases, ring, stop, progress)
    try:
        with phases.phase("start", started_ns):
            trial.doing = "starting the engine"
            progress.tell("start", "Starting the engine")
            with stop.interruptible():
                engine = make_engine(order, ring, stop)
                facts = engine.start()
            channel.environment({**facts, **process_facts})
        phases.allocator = engine.allocator()
        work = make_work(engine, trial)
        if missing := engine.files_missing():
            trial.doing = f"making {missing}"
            with phases.phase("convert"):
                progress.tell("convert", f"Making {missing}")
                with stop.interruptible():
                    facts = engine.make_files(_making(trial))
                channel.environment(facts)
        with phases.phase("load"), memory_given_back():
            trial.doing = "loading the model"
            progress.tell("load", f"Loading {order.model.title}")
            with stop.interruptible():
                loaded = engine.load()
            channel.send(loaded)
            tell_effects(trial, engine.took_effect())
            with stop.interruptible():
                facts = work.prepare()
            channel.environment(facts)
        # None where no runner has chosen: only it knows whether a sensor measures power
        _idle(order.workload.idle_s or 0.0, trial)
        work.run()
        with phases.phase("unload"):
            trial.doing = "unloading"
            channel.environment(engine.unload())
    except StopTrial:
        channel.log("Stopped before anything was measured.")
    except Exception as error:  # an engine's libraries may raise anything: the user gets it in words
        if not stop.requested:
            raise explain(error, trial.doing) from error
        # a library that was interrupted may say so in an exception of its own
        channel.log(f"Stopped while {trial.doing}: {first_line(error)}")


def _making(trial: Trial) -> Callable[[str, float], None]:
    """Tells how far the files are, from within the part that a stop interrupts."""

    def report(text: str, share: float) -> None:
        with trial.stop.sending():
            trial.progress.tell("convert", text, share)

    return report


def _idle(seconds: float, trial: Trial) -> None:
    """Stand still with the model loaded and the device's context alive: the level that net energy is counted from."""
    if seconds > 0:
        with trial.phases.phase("idle"):
            trial.progress.tell("idle", f"Idle level, {seconds:g} s")
            with trial.stop.interruptible():
                time.sleep(seconds)
