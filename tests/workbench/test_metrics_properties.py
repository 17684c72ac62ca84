"""For any stream of records: metrics and verdict never raise, identities hold or the trial is invalid."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.records import PhaseEnded, Record, Request, Stamps, Telemetry
from tests.workbench.synthetic import FakeTrial, records
from workbench.metrics.evaluate import evaluate_trial
from workbench.metrics.trial import arrange
from workbench.metrics.window import integral

CLEAN = records(FakeTrial(requests=2, warmups=1, new_tokens=8, seed=2))

small = st.integers(-5, 60)
nanoseconds = st.integers(0, 40).map(lambda n: n * 250_000_000)
requests = st.builds(
    Request,
    index=small,
    warmup=st.booleans(),
    start_ns=nanoseconds,
    end_ns=nanoseconds,
    first_stamp=small,
    stamps=small,
    prompt_tokens=st.integers(0, 100),
    generated_tokens=small,
    batch_size=st.integers(0, 4),
)
stamps = st.builds(Stamps, first=small, times_ns=st.lists(nanoseconds, max_size=8))
readings = st.builds(
    lambda source, quantity, rows: Telemetry(
        source=source, times_ns=[t for t, _ in rows], columns={quantity: [v for _, v in rows]}
    ),
    st.sampled_from(("proc.tree", "proc.host", "rapl", "nvml.GPU-1")),
    st.sampled_from(
        ("rss_bytes", "pss_bytes", "energy_joules", "power_watts", "steal_ratio", "cpu_seconds", "swap_bytes")
    ),
    st.lists(st.tuples(nanoseconds, st.none() | st.floats(0, 1e6)), max_size=6),
)
anything = st.lists(st.one_of(requests, stamps, readings, st.sampled_from(CLEAN)), max_size=12)


@settings(max_examples=100, deadline=None)
@given(anything)
def test_that_no_stream_of_records_raises_and_no_figure_is_infinite(stream: list[Record]) -> None:
    rows, reasons, verdict = evaluate_trial("t", stream)
    for row in rows:
        assert (row.value is None) == bool(row.reason), row
        assert row.value is None or math.isfinite(row.value), row
    assert verdict == ("invalid" if any(r.severity == "invalid" for r in reasons) else verdict)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, len(CLEAN) - 1),
    st.integers(-3_000_000_000, 3_000_000_000),
    st.sampled_from(("start", "end", "stamp")),
)
def test_that_a_moved_time_keeps_the_identity_or_makes_the_trial_invalid(where: int, by: int, what: str) -> None:
    measured = [r for r in CLEAN if isinstance(r, Request) and not r.warmup]
    victim = measured[where % len(measured)]

    def change(record: Record) -> Record:
        if what == "start" and record is victim:
            return msgspec.structs.replace(victim, start_ns=victim.start_ns + by)
        if what == "end" and record is victim:
            return msgspec.structs.replace(victim, end_ns=victim.end_ns + by)
        if what == "stamp" and isinstance(record, Stamps) and record.first == victim.first_stamp:
            moved = [*record.times_ns]
            moved[where % len(moved)] += by
            return msgspec.structs.replace(record, times_ns=moved)
        return record

    stream = [change(r) for r in CLEAN]
    _, _, verdict = evaluate_trial("t", stream)
    if verdict == "invalid":
        return
    arranged = arrange(stream)
    for request in arranged.measured:
        own = arranged.token_times(request)
        whole = request.end_ns - request.start_ns
        parts = int(own[0]) - request.start_ns + int(np.diff(own).sum())
        assert abs(whole - parts) <= max(1_000_000, 0.005 * whole)
        assert (np.diff(own) >= 0).all()
        assert own[0] >= request.start_ns


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e3), min_size=2, max_size=20), st.floats(0.01, 0.99))
def test_that_the_integral_of_two_halves_is_the_whole(values: list[float], cut: float) -> None:
    times = np.arange(len(values), dtype=np.int64) * 1_000_000_000
    end = int(times[-1])
    middle = int(end * cut)
    array = np.array(values)
    whole = integral(times, array, 0, end)
    assert integral(times, array, 0, middle) + integral(times, array, middle, end) == whole or math.isclose(
        integral(times, array, 0, middle) + integral(times, array, middle, end), whole, rel_tol=1e-6, abs_tol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(2, 20), st.integers(1, 3))
def test_that_totals_are_the_sums_over_phases(count: int, tokens: int, batch: int) -> None:
    stream = records(FakeTrial(requests=count, warmups=1, new_tokens=tokens, batch_size=batch, seed=count))
    rows = {r.metric: r for r in evaluate_trial("t", stream)[0]}
    measured = [r for r in stream if isinstance(r, Request) and not r.warmup]
    inside = measured[0].start_ns
    spans = [r for r in stream if isinstance(r, PhaseEnded) and r.start_ns >= inside]
    phases = sum(r.t_ns - r.start_ns for r in spans if r.name in ("prefill", "decode")) / 1e9
    whole = (rows["latency_s"].value or 0) * count
    assert math.isclose(phases, whole, abs_tol=0.001 * count)
    assert rows["throughput_tokens_per_second"].n == count * tokens * batch
