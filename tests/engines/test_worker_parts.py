"""The worker's parts without torch: steadiness, failures, the channel, the stop, and the loops over a fake engine."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.codec import decode_record
from engines.protocol.orders import WorkloadOrder
from engines.protocol.records import (
    Cue,
    Environment,
    Evaluation,
    Log,
    MemoryPeak,
    ModelLoaded,
    PhaseEnded,
    PhaseStarted,
    Progress,
    Record,
    Request,
    Stamps,
)
from engines.ring import RingReader, RingWriter, create_ring
from engines.worker.channel import Channel, RunnerGone
from engines.worker.engine import Finished
from engines.worker.failures import WorkerFailure, explain, is_out_of_memory
from engines.worker.measure import Requests
from engines.worker.phases import AllocatorPeaks, Phases, quiet_collector
from engines.worker.steady import steadiness
from engines.worker.stop import Stop, StopTrial
from engines.worker.trial import run_trial
from tests.engines.runner_harness import ROOT, make_order

WORKLOAD = WorkloadOrder(prompt_tokens=4, new_tokens=5, requests=3, window_s=0.0, warmup_requests=6)


class Pipe:
    """A channel and what came out of it."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self.channel = Channel(write)

    def records(self) -> list[Record]:
        data = b""
        while True:
            try:
                part = os.read(self._read, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            data += part
        return [decode_record(line) for line in data.splitlines()]

    def close_reader(self) -> None:
        os.close(self._read)
        self._read = -1

    def close(self) -> None:
        self.channel.close()
        if self._read >= 0:
            self.close_reader()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[RingWriter]:
    create_ring(tmp_path / "ring", 60)
    writer = RingWriter(tmp_path / "ring")
    yield writer
    writer.close()


@dataclass
class FakeEngine:
    """Stamps the ring as an engine does; `durations_s` are claimed, not spent."""

    ring: RingWriter
    tokens: int = WORKLOAD.new_tokens
    durations_s: list[float] = field(default_factory=list)
    correct_by_ns: int = 0
    on_request: Callable[[int], None] = lambda number: None
    now: int = 1_000_000_000
    stop: Stop | None = None
    prefills: int = 0
    missing: str = ""

    def start(self) -> dict[str, str]:
        return {}

    def allocator(self) -> AllocatorPeaks:
        return AllocatorPeaks()

    def files_missing(self) -> str:
        return self.missing

    def make_files(self, report: Callable[[str, float], None]) -> dict[str, str]:
        report("half", 0.5)
        return {"made": self.missing}

    def reader(self) -> None:
        return None

    def load(self) -> ModelLoaded:
        return ModelLoaded(
            parameters=1, tensor_bytes=4, bytes_by_dtype={"float32": 4}, original_bytes=4, nominal_bits=32
        )

    def prepare(self) -> dict[str, str]:
        return {}

    def request(self, number: int) -> Finished | None:
        self.on_request(number)
        if self.stop is not None and self.stop.requested:
            return None
        duration = int((self.durations_s[number] if number < len(self.durations_s) else 1.0) * 1e9)
        first = self.ring.written
        for _ in range(self.tokens):
            self.ring.stamp()
        start, self.now = self.now, self.now + duration
        times = tuple(start + duration * (i + 1) // self.tokens for i in range(self.tokens))
        return Finished(
            start_ns=start,
            end_ns=self.now,
            first_stamp=first,
            stamps=self.tokens,
            first_token_ns=times[0],
            last_token_ns=times[-1],
            tokens_per_sequence=self.tokens,
            batch_size=2,
            synchronised=not self.correct_by_ns,
            corrected_ns=tuple(t + self.correct_by_ns for t in times) if self.correct_by_ns else (),
        )

    def prefill(self) -> Finished | None:
        self.prefills += 1
        start = time.monotonic_ns()
        time.sleep(0.002)
        end = time.monotonic_ns()
        return Finished(start, end, 0, 1, end, end, 1, 1, True)

    def evaluate(self) -> Evaluation | None:
        return None

    def unload(self) -> dict[str, str]:
        return {}


def loops(engine: FakeEngine, pipe: Pipe, workload: WorkloadOrder = WORKLOAD, stop: Stop | None = None) -> Requests:
    return Requests(engine, workload, pipe.channel, Phases(pipe.channel), engine.ring, stop or Stop())


def cues(records: list[Record]) -> list[str]:
    return [r.code for r in records if isinstance(r, Cue)]


def test_that_what_is_sent_together_is_one_write_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe()
    writes: list[int] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or write(fd, data))
    with pipe.channel.together():
        for text in ("one", "two", "three"):
            pipe.channel.log(text)
        assert not pipe.records()
    assert [r.text for r in pipe.records() if isinstance(r, Log)] == ["one", "two", "three"]
    assert len(writes) == 1
    pipe.channel.log("alone")
    assert len(writes) == 2


def test_that_what_was_sent_before_a_failure_goes_out() -> None:
    pipe = Pipe()

    def send(text: str) -> None:
        with pipe.channel.together():
            pipe.channel.log(text)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send("before")
    assert [r.text for r in pipe.records() if isinstance(r, Log)] == ["before"]
    pipe.close_reader()
    with pytest.raises(RunnerGone):
        send("to nobody")


def test_that_prefills_alone_are_told_as_spans_after_the_loop(pipe: Pipe, ring: RingWriter) -> None:
    engine = FakeEngine(ring)
    begun_ns = time.monotonic_ns()
    loops(engine, pipe).repeat_prefill(0.05)
    records = pipe.records()
    spans = [r for r in records if isinstance(r, PhaseEnded)]
    assert [s.name for s in spans] == ["prefill"] * len(spans)
    assert [s.index for s in spans] == list(range(len(spans)))
    assert len(spans) == engine.prefills - 1, "the first is not counted"
    assert spans[-1].t_ns >= begun_ns + 50_000_000
    over_ns = spans[0].start_ns + 50_000_000
    assert all(s.t_ns < over_ns for s in spans[:-1]), "none begins when the time is over, however slow the machine"
    assert not any(isinstance(r, Request) for r in records)
    assert ring.written == 0


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


def test_that_a_stop_ends_the_idle_phase_at_once(pipe: Pipe, ring: RingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = msgspec.structs.replace(WORKLOAD, idle_s=3600.0)
    monkeypatch.setattr("engines.worker.trial.make_engine", lambda *_: FakeEngine(ring))
    stop = Stop()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    told = pipe.channel.progress

    def progress(text: str, fraction: float) -> None:
        told(text, fraction)
        if text.startswith("Idle"):
            timer.start()

    monkeypatch.setattr(pipe.channel, "progress", progress)
    try:
        stop.install()
        run_trial(make_order("t1", workload=workload), pipe.channel, ring, stop, time.monotonic_ns())
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
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


def test_that_a_stop_while_a_record_is_sent_comes_after_it() -> None:
    stop = Stop()
    told: list[str] = []

    def send() -> None:
        with stop.interruptible():
            with stop.sending():
                stop._asked(signal.SIGTERM, None)
                told.append("whole")
            told.append("never")

    with pytest.raises(StopTrial):
        send()
    assert told == ["whole"]


# --- steadiness -----------------------------------------------------------------------------------


def test_that_three_alike_durations_are_steady() -> None:
    state = steadiness([9.0, 1.0, 1.01, 0.995])
    assert state is not None
    assert state.steady


def test_that_two_durations_say_nothing() -> None:
    assert steadiness([1.0, 1.0]) is None


def test_that_a_drift_of_small_steps_is_not_steady() -> None:
    state = steadiness([1.0, 1.016, 1.032])
    assert state is not None
    assert state.variation < 0.03
    assert state.drift == pytest.approx(0.032 / 1.016)
    assert not state.steady
    assert "drift by +3.1 %" in state.text()


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=8), st.floats(0.1, 10))
def test_that_steadiness_does_not_depend_on_the_unit(durations: list[float], factor: float) -> None:
    one, other = steadiness(durations), steadiness([d * factor for d in durations])
    assert one is not None
    assert other is not None
    assert one.variation == pytest.approx(other.variation, rel=1e-6, abs=1e-9)


# --- warm-up and measuring ------------------------------------------------------------------------


def test_that_warm_up_ends_when_steady(pipe: Pipe, ring: RingWriter) -> None:
    loops(FakeEngine(ring, durations_s=[3.0, 1.5, 1.0, 1.01, 1.0, 1.0]), pipe).warm_up()
    records = pipe.records()
    requests = [r for r in records if isinstance(r, Request)]
    assert [r.index for r in requests] == [0, 1, 2, 3, 4]
    assert all(r.warmup for r in requests)
    assert cues(records) == []


def test_that_warm_up_at_its_cap_says_by_how_much_it_varies(pipe: Pipe, ring: RingWriter) -> None:
    loops(FakeEngine(ring, durations_s=[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]), pipe).warm_up()
    (cue,) = [r for r in pipe.records() if isinstance(r, Cue)]
    assert cue.code == "not_steady"
    assert "after 6 warm-up requests" in cue.text
    assert "34.6 %" in cue.text  # of 2, 1, 2: sample standard deviation 0.577 over the mean 1.667


def test_that_measuring_fills_the_window(pipe: Pipe, ring: RingWriter) -> None:
    workload = msgspec.structs.replace(WORKLOAD, window_s=4.5)
    loops(FakeEngine(ring), pipe, workload).measure()
    records = pipe.records()
    assert len([r for r in records if isinstance(r, Request)]) == 5  # of one second each
    assert cues(records) == []


def test_that_measuring_makes_the_wanted_requests_though_the_window_is_full(pipe: Pipe, ring: RingWriter) -> None:
    workload = msgspec.structs.replace(WORKLOAD, window_s=0.5)
    loops(FakeEngine(ring), pipe, workload).measure()
    assert len([r for r in pipe.records() if isinstance(r, Request)]) == 3


def test_that_a_full_ring_ends_measuring_and_says_so(pipe: Pipe, ring: RingWriter) -> None:
    workload = msgspec.structs.replace(WORKLOAD, window_s=1e6)
    loops(FakeEngine(ring), pipe, workload).measure()
    records = pipe.records()
    assert len([r for r in records if isinstance(r, Request)]) == 12  # 60 stamps of 5 tokens
    assert ring.lost == 0
    (cue,) = [r for r in records if isinstance(r, Cue)]
    assert cue.code == "short_window"
    assert "ring" in cue.text


def test_that_a_stop_keeps_finished_requests_only(pipe: Pipe, ring: RingWriter) -> None:
    stop = Stop()

    def ask(number: int) -> None:
        stop.requested = number == 2

    engine = FakeEngine(ring, on_request=ask, stop=stop)
    loops(engine, pipe, msgspec.structs.replace(WORKLOAD, requests=9), stop).measure()
    records = pipe.records()
    assert [r.index for r in records if isinstance(r, Request)] == [0, 1]
    assert cues(records) == ["short_window"]


def test_that_no_prompt_number_comes_twice_in_warm_up_and_measuring(pipe: Pipe, ring: RingWriter) -> None:
    numbers: list[int] = []
    both = loops(FakeEngine(ring, on_request=numbers.append), pipe)
    both.warm_up()
    both.measure()
    assert numbers == sorted(set(numbers))


def test_that_prefill_and_decode_of_a_measured_request_meet_end_to_end(pipe: Pipe, ring: RingWriter) -> None:
    loops(FakeEngine(ring), pipe).measure()
    records = pipe.records()
    request = next(r for r in records if isinstance(r, Request))
    prefill, decode = [r for r in records if isinstance(r, PhaseEnded) and r.index == 0][:2]
    assert (prefill.name, decode.name) == ("prefill", "decode")
    assert prefill.start_ns == request.start_ns
    assert prefill.t_ns == decode.start_ns
    assert decode.t_ns == request.end_ns
    assert request.generated_tokens == 10  # five tokens in each of two sequences


def test_that_a_wrong_output_length_is_told_once(pipe: Pipe, ring: RingWriter) -> None:
    loops(FakeEngine(ring, tokens=4), pipe).measure()
    assert cues(pipe.records()) == ["output_length"]


def test_that_device_times_replace_the_host_stamps_in_ring_and_records(
    pipe: Pipe, ring: RingWriter, tmp_path: Path
) -> None:
    loops(FakeEngine(ring, correct_by_ns=7), pipe).measure()
    records = pipe.records()
    sent = [r for r in records if isinstance(r, Stamps)]
    assert [s.first for s in sent] == [0, 5, 10]
    reader = RingReader(tmp_path / "ring")
    assert reader.read(0) == [t for s in sent for t in s.times_ns]
    reader.close()
    assert records.index(sent[0]) < next(i for i, r in enumerate(records) if isinstance(r, Request))


# --- phases ---------------------------------------------------------------------------------------


def test_that_a_phase_is_closed_with_its_peak_when_its_body_raises(pipe: Pipe) -> None:
    with pytest.raises(RuntimeError), Phases(pipe.channel).phase("load", 5):
        raise RuntimeError
    started, peak, ended = pipe.records()
    assert isinstance(started, PhaseStarted)
    assert started.t_ns == 5
    assert isinstance(peak, MemoryPeak)
    assert peak.peak_bytes > 1 << 20
    assert isinstance(ended, PhaseEnded)
    assert ended.start_ns == 5


PEAKS = """
from engines.worker.channel import Channel
from engines.worker.phases import Phases
phases = Phases(Channel(1))
with phases.phase("load"):
    block = bytearray(64 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
with phases.phase("measure"):
    pass
"""


def test_that_the_resident_peak_belongs_to_its_phase() -> None:
    """In a process of its own: one that has grown over a thousand tests has memory that comes and goes by itself."""
    told = subprocess.run([sys.executable, "-c", PEAKS], stdout=subprocess.PIPE, check=True, cwd=ROOT).stdout
    records = [decode_record(line) for line in told.splitlines()]
    first, second = [r.peak_bytes for r in records if isinstance(r, MemoryPeak)]
    assert second < first - (32 << 20)


def test_that_the_collector_is_off_in_the_measured_part_and_on_again_after_it() -> None:
    with quiet_collector():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


# --- channel, stop, failures ----------------------------------------------------------------------


def test_that_records_are_whole_lines_with_a_time(pipe: Pipe) -> None:
    before = time.monotonic_ns()
    pipe.channel.log("two\nlines")
    (record,) = pipe.records()
    assert isinstance(record, Log)
    assert record.text == "two\nlines"
    assert before <= record.t_ns <= time.monotonic_ns()


def test_that_a_closed_pipe_means_the_runner_is_gone(pipe: Pipe) -> None:
    assert not pipe.channel.reader_is_gone()
    pipe.close_reader()
    assert pipe.channel.reader_is_gone()
    with pytest.raises(RunnerGone):
        pipe.channel.log("anybody?")


def test_that_sigterm_interrupts_only_what_may_be_interrupted() -> None:
    stop = Stop()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop.install()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
        with pytest.raises(StopTrial), stop.interruptible():
            raise AssertionError("not reached: already asked to stop")
        stop.requested = False
        with pytest.raises(StopTrial), stop.interruptible():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_that_every_way_to_run_out_of_memory_is_known(error: Exception) -> None:
    assert is_out_of_memory(error)
    failure = explain(error, "loading the model")
    assert failure.kind == "out_of_memory"
    assert "while loading the model" in failure.message


def test_that_an_error_caused_by_missing_memory_counts() -> None:
    error = ValueError("cannot load")
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)
    assert not is_out_of_memory(ValueError("cannot load"))


def test_that_a_missing_package_is_named_with_its_command() -> None:
    failure = explain(ModuleNotFoundError("No module named 'torchao.x'", name="torchao.x"), "loading the model")
    assert failure.kind == "package"
    assert "pip install torchao" in failure.advice


def test_that_a_known_failure_is_passed_on_as_it_is() -> None:
    failure = WorkerFailure("model", "m", "a")
    assert explain(failure, "starting") is failure
