"""For any stream of records: metrics and verdict never raise, identities hold or the trial is invalid."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.records import PhaseEnded, Record, Request, Stamps, Step, Telemetry
from tests.builders import model_loaded
from tests.workbench.synthetic import FakeTrial, records
from workbench.metrics.assumptions import Assumptions
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
        parts = int(own[0]) - request.start_ns + int(np.diff(own).sum())
        told = [s for s in arranged.spans if s.index == request.index and s.name in ("prefill", "decode")][-2:]
        assert parts == sum(s.end_ns - s.start_ns for s in told)
        assert (np.diff(own) > 0).all()
        assert request.start_ns <= own[0]
        assert own[-1] <= request.end_ns


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


fakes = st.builds(
    FakeTrial,
    seed=st.integers(0, 10_000),
    device=st.sampled_from(("cpu", "gpu")),
    requests=st.integers(1, 4),
    warmups=st.integers(0, 2),
    new_tokens=st.integers(2, 40),
    batch_size=st.integers(1, 4),
    prompt_tokens=st.integers(1, 500),
    tokens_per_second=st.floats(2.0, 60.0),
    threads=st.integers(1, 3),
    idle_s=st.sampled_from((0.0, 0.7, 3.0)),
    prefills_s=st.sampled_from((0.0, 0.7, 3.0)),
    power_watts=st.floats(100.0, 600.0),
)
ASSUMED = Assumptions(watts_per_core=9.0, price_per_kwh=0.3, carbon_grams_per_kwh=300.0, peak_flops=1e13)
POSITIVE_UNITS = {
    "s", "s/request", "J", "J/token", "J/request", "J·s", "tokens/J", "W", "tokens/s", "bit", "bit/B", "B/token",
    "FLOP/s", "currency/Mtoken", "g/Mtoken",
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(fakes)
def test_that_units_signs_and_the_identities_between_figures_hold(fake: FakeTrial) -> None:
    stream = records(fake)
    rows, reasons, verdict = evaluate_trial("t", stream, ASSUMED)
    assert verdict != "invalid", reasons
    known = {r.metric: r.value for r in rows if r.value is not None}
    for row in rows:
        if row.value is not None and row.unit in POSITIVE_UNITS:
            assert row.value > 0, row
        if row.value is not None and row.unit == "ratio" and row.metric != "perplexity":
            assert -0.2 <= row.value <= 1.2, row
    window = arrange(stream).window()
    length, count = (window[1] - window[0]) / 1e9, fake.requests
    tokens = count * fake.new_tokens * fake.batch_size

    def same(left: float, right: float, tolerance: float = 1e-9) -> None:
        assert math.isclose(left, right, rel_tol=tolerance), (left, right)

    same(known["throughput_tokens_per_second"] * known["latency_s"] * count, tokens)
    same(known["inter_token_latency_s"] * known["decode_tokens_per_second"], fake.batch_size)
    whole = known["time_to_first_token_s"] + known["time_per_output_token_s"] * (fake.new_tokens - 1)
    same(whole, known["latency_s"], 1e-6)
    if fake.device == "cpu" and "memory_mean_bytes" in known:
        assert known["memory_mean_bytes"] <= known["memory_pss_peak_bytes"] * (1 + 1e-9)
    if "energy_joules" in known:
        same(known["power_mean_watts"] * length, known["energy_joules"])
        same(known["energy_per_token_joules"] * tokens, known["energy_joules"])
        same(known["energy_per_request_joules"] * count, known["energy_joules"])
        same(known["tokens_per_joule"] * known["energy_per_token_joules"], 1.0)
        same(known["energy_delay_product"], known["energy_per_request_joules"] * known["latency_s"])
    if "energy_net_joules" in known:
        same(known["energy_net_joules"] + known["idle_power_watts"] * length, known["energy_joules"])
    if "decode_energy_per_token_joules" in known:
        after_first = count * (fake.new_tokens - 1) * fake.batch_size
        decode, prefill = known["decode_energy_per_token_joules"], known["prefill_energy_joules"]
        same(decode * after_first + prefill * count, known["energy_joules"])


training_steps = st.lists(
    st.tuples(st.integers(1, 10**10), st.integers(0, 10**9), st.integers(1, 10**6), st.integers(1, 512)), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(training_steps, st.integers(1, 10**12))
def test_that_totals_and_durations_of_training_cover_the_same_steps(
    made: list[tuple[int, int, int, int]], parameters: int
) -> None:
    loaded = model_loaded(parameters=parameters, load_s=1.0)
    stream: list[Record] = [loaded, CLEAN[-1]]
    now = 0
    for index, (length, pause, tokens, samples) in enumerate(made):
        stream.append(
            Step(index=index, warmup=False, start_ns=now, end_ns=now + length, tokens=tokens, samples=samples)
        )
        now += length + pause
    rows, reasons, _ = evaluate_trial("t", stream)
    assert not [r for r in reasons if r.code in ("timing_identity", "missing_request", "no_measurement")]
    value = {r.metric: r.value for r in rows}
    spent = sum(length for length, *_ in made) / 1e9
    for name, total in (("tokens", sum(m[2] for m in made)), ("samples", sum(m[3] for m in made))):
        assert math.isclose((value[f"training_{name}_per_second"] or 0) * spent, total, rel_tol=1e-9)
        per_parameter = value[f"training_{name}_per_parameter_second"] or 0
        assert math.isclose(per_parameter * spent * parameters, total, rel_tol=1e-9)
