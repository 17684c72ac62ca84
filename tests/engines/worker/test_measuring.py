"""Warm-up and measured requests over an engine without a model: when they end, and what is told of them."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from engines.protocol.records import Cue, PhaseEnded, Request, Stamps
from engines.protocol.ring import RingReader, RingWriter
from engines.worker.stop import Stop
from tests.engines.worker.kit import WORKLOAD, FakeEngine, Pipe, cues, loops


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
