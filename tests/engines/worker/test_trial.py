"""A whole trial over an engine without a model: which phases come, and how a stop ends them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from engines.protocol.records import Environment, Log, ModelLoaded, PhaseEnded, Progress
from engines.protocol.ring import RingWriter
from engines.worker.stop import Stop
from engines.worker.trial import run_trial
from tests.engines.runner_harness import make_order
from tests.engines.worker.kit import WORKLOAD, FakeEngine, Pipe


def test_that_files_are_made_in_a_phase_of_their_own_before_the_load(
    pipe: Pipe, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine(ring, missing="tiny as Q4_0")
    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: engine)
    run_trial(make_order("t1", workload=WORKLOAD), pipe.channel, ring, Stop(), time.monotonic_ns())
    records = pipe.records()
    names = [r.name for r in records if isinstance(r, PhaseEnded)]
    assert names[:3] == ["start", "convert", "load"]
    assert "half" in [r.text for r in records if isinstance(r, Progress)]
    assert any(r.facts.get("made") == "tiny as Q4_0" for r in records if isinstance(r, Environment))


def test_that_the_idle_phase_comes_between_load_and_warm_up(
    pipe: Pipe, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = msgspec.structs.replace(WORKLOAD, idle_s=0.05, prefill_energy_s=0.02)
    engine = FakeEngine(ring)
    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: engine)
    run_trial(make_order("t1", workload=workload), pipe.channel, ring, Stop(), time.monotonic_ns(), {"made": "so"})
    records = pipe.records()
    ended = [r for r in records if isinstance(r, PhaseEnded) and r.name not in ("prefill", "decode")]
    assert [r.name for r in ended] == ["start", "load", "idle", "warmup", "measure", "prefill_energy", "unload"]
    idle = ended[2]
    assert (idle.t_ns - idle.start_ns) / 1e9 >= 0.05
    assert any(isinstance(r, Environment) and r.facts.get("made") == "so" for r in records)


def test_that_what_loading_left_is_given_back_before_anything_is_measured(
    pipe: Pipe, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def told() -> Iterator[None]:
        pipe.channel.log("begins")
        yield
        pipe.channel.log("given back")

    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: FakeEngine(ring))
    monkeypatch.setattr("engines.worker.trial.memory_given_back", told)
    run_trial(make_order("t1", workload=WORKLOAD), pipe.channel, ring, Stop(), time.monotonic_ns())
    order = [r.text if isinstance(r, Log) else type(r).__name__ for r in pipe.records()]
    assert order.index("begins") < order.index("ModelLoaded") < order.index("given back") < order.index("Request")


def test_that_a_stop_ends_the_idle_phase_at_once(
    pipe: Pipe, ring: RingWriter, installed_stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = msgspec.structs.replace(WORKLOAD, idle_s=3600.0)
    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: FakeEngine(ring))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    told = pipe.channel.progress

    def progress(text: str, fraction: float) -> None:
        told(text, fraction)
        if text.startswith("Idle"):
            timer.start()

    monkeypatch.setattr(pipe.channel, "progress", progress)
    try:
        run_trial(make_order("t1", workload=workload), pipe.channel, ring, installed_stop, time.monotonic_ns())
    finally:
        timer.join()
    assert [r.name for r in pipe.records() if isinstance(r, PhaseEnded)] == ["start", "load", "idle"]


def test_that_a_library_that_hides_a_stop_in_an_error_of_its_own_is_stopped_not_failed(
    pipe: Pipe, ring: RingWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    class Hiding(FakeEngine):
        def load(self) -> ModelLoaded:
            stop.requested = True
            raise RuntimeError("import of module was interrupted")

    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: Hiding(ring))
    run_trial(make_order("t1", workload=WORKLOAD), pipe.channel, ring, stop, time.monotonic_ns())
    said = [r.text for r in pipe.records() if isinstance(r, Log)]
    assert said == ["Stopped while loading the model: RuntimeError: import of module was interrupted"]
