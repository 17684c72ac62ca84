"""The verdict: every injected fault is found with its code, none is invented on clean streams."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from engines.protocol.records import (
    ClockPair,
    Environment,
    Record,
    Request,
    SensorLost,
    Sensors,
    Stamps,
    Telemetry,
    TelemetryTurn,
    TrialEnded,
)
from tests.workbench.synthetic import GPU, SECOND, FakeTrial, clock_jump, records, with_cue
from workbench.metrics.checks.verdict import judge
from workbench.metrics.trial import arrange

CPU_TRIAL = FakeTrial(seed=3)
GPU_TRIAL = FakeTrial(seed=3, device="gpu")

Stream = tuple[Record, ...]


def test_that_clean_streams_are_valid_without_a_reason() -> None:
    for seed in range(8):
        for device in ("cpu", "gpu"):
            verdict = judge(arrange(records(FakeTrial(seed=seed, device=device, batch_size=1 + seed % 3))))  # type: ignore[arg-type]
            assert (verdict.verdict, verdict.reasons) == ("valid", ())


def column(stream: Stream, source: str, quantity: str, change: Callable[[float, int], float | None]) -> Stream:
    """The stream with one column changed: change(value, time in ns)."""

    def one(record: Record) -> Record:
        if not isinstance(record, Telemetry) or record.source != source:
            return record
        old = record.columns.get(quantity) or [0.0] * len(record.times_ns)
        new = [change(v or 0.0, t) for v, t in zip(old, record.times_ns, strict=True)]
        return msgspec.structs.replace(record, columns=record.columns | {quantity: new})

    return tuple(one(r) for r in stream)


def measured(stream: Stream, change: Callable[[Request], Request]) -> Stream:
    """The stream with its second measured request changed."""
    victim = [r for r in stream if isinstance(r, Request) and not r.warmup][1]
    return tuple(change(victim) if r is victim else r for r in stream)


def without_readings(stream: Stream, seconds: float) -> Stream:
    start = next(r.start_ns for r in stream if isinstance(r, Request) and not r.warmup) + SECOND
    return tuple(
        r
        for r in stream
        if not (isinstance(r, Telemetry) and start <= r.times_ns[0] and r.times_ns[-1] <= start + seconds * SECOND)
    )


def early_return(stream: Stream) -> Stream:
    return measured(stream, lambda r: msgspec.structs.replace(r, end_ns=r.end_ns - SECOND // 1000))


def backwards(stream: Stream) -> Stream:
    return tuple(
        msgspec.structs.replace(r, times_ns=[*reversed(r.times_ns)]) if isinstance(r, Stamps) and r.first >= 128 else r
        for r in stream
    )


def wall(stream: Stream, mono_s: float) -> Stream:
    return tuple(
        msgspec.structs.replace(r, clock=ClockPair(wall_ns=0, mono_ns=round(mono_s * SECOND)))
        if isinstance(r, TrialEnded)
        else r
        for r in stream
    )


CPU_FAULTS: list[tuple[str, str, Callable[[Stream], Stream]]] = [
    ("invalid", "timing_identity", early_return),
    ("invalid", "timing_identity", backwards),
    ("invalid", "timing_identity", lambda s: tuple(r for r in s if not isinstance(r, Stamps))),
    ("invalid", "timing_identity", lambda s: measured(s, lambda r: msgspec.structs.replace(r, end_ns=r.start_ns - 1))),
    (
        "invalid",
        "timing_identity",
        lambda s: measured(s, lambda r: msgspec.structs.replace(r, start_ns=r.end_ns - SECOND // 5)),
    ),
    (
        "invalid",
        "timing_identity",
        lambda s: measured(s, lambda r: msgspec.structs.replace(r, first_stamp=r.first_stamp - 9, stamps=r.stamps + 9)),
    ),
    ("invalid", "token_count", lambda s: measured(s, lambda r: msgspec.structs.replace(r, generated_tokens=63))),
    ("invalid", "output_length", lambda s: measured(s, lambda r: msgspec.structs.replace(r, generated_tokens=63))),
    ("invalid", "output_length", lambda s: with_cue(s, "output_length", "Ended after 12 of 64 tokens.")),
    ("warning", "not_steady", lambda s: with_cue(s, "not_steady", "Warm-up did not get steady in 10 requests.")),
    ("warning", "anything_new", lambda s: with_cue(s, "anything_new", "A cue of a newer worker.")),
    ("invalid", "clock_jump", clock_jump),
    ("invalid", "clock_jump", lambda s: wall(s, 1.0)),
    ("warning", "busy_machine", lambda s: column(s, "proc.host", "steal_ratio", lambda _v, _t: 0.05)),
    ("warning", "busy_machine", lambda s: column(s, "proc.host", "foreign_cpu_ratio", lambda _v, _t: 0.6)),
    ("warning", "busy_machine", lambda s: column(s, "proc.host", "pressure_cpu_ratio", lambda _v, _t: 0.4)),
    (
        "warning",
        "busy_machine",
        lambda s: column(s, "proc.tree", "involuntary_switches_count", lambda _v, t: t / SECOND * 500),
    ),
    ("warning", "swapping", lambda s: column(s, "proc.tree", "swap_bytes", lambda _v, _t: 5e6)),
    ("warning", "sampling_gap", lambda s: without_readings(s, 3.2)),
    ("warning", "sensor_lost", lambda s: (*s, SensorLost(source="proc.host", reason="Gone.", seq=10**6))),
    ("warning", "short_window", lambda s: (*s, Environment(facts={"workload.window_s": "60"}, seq=10**6))),
    (
        "warning",
        "asynchronous",
        lambda s: measured(s, lambda r: msgspec.structs.replace(r, synchronised=False)),
    ),
]

GPU_FAULTS: list[tuple[str, str, Callable[[Stream], Stream]]] = [
    ("warning", "throttled", lambda s: column(s, GPU, "throttle_reasons_bits", lambda _v, _t: float(0x40 | 0x4))),
    ("warning", "temperature_drift", lambda s: column(s, GPU, "temperature_celsius", lambda _v, t: t * 3e-9)),
    ("warning", "counter_against_integral", lambda s: column(s, GPU, "power_watts", lambda v, _t: v * 1.75)),
    ("warning", "counter_still", lambda s: column(s, GPU, "energy_joules", lambda _v, _t: 77.0)),
]


@pytest.mark.parametrize(("severity", "code", "fault"), CPU_FAULTS, ids=[f[1] for f in CPU_FAULTS])
def test_that_an_injected_fault_is_found(severity: str, code: str, fault: Callable[[Stream], Stream]) -> None:
    verdict = judge(arrange(fault(records(CPU_TRIAL))))
    assert code in {r.code for r in verdict.reasons}
    assert verdict.verdict == severity
    assert all(r.message.endswith(".") for r in verdict.reasons)


@pytest.mark.parametrize(("severity", "code", "fault"), GPU_FAULTS, ids=[f[1] for f in GPU_FAULTS])
def test_that_an_injected_fault_of_a_gpu_is_found(severity: str, code: str, fault: Callable[[Stream], Stream]) -> None:
    verdict = judge(arrange(fault(records(GPU_TRIAL))))
    assert {r.code for r in verdict.reasons} == {code}
    assert verdict.verdict == severity


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("4194305", "Another process was on the GPU when the trial began (4194305)"),
        ("12 1034", "Other processes were on the GPU when the trial began (12, 1034)"),
        ("none", ""),
        ("not told by the driver (NVML: Not Supported)", ""),
    ],
)
def test_that_others_on_the_trials_own_gpu_are_a_caution(told: str, said: str) -> None:
    fact = Environment(facts={"gpu.0.processes_foreign": told}, seq=10**6)
    verdict = judge(arrange((*records(GPU_TRIAL), fact)))
    assert [r.code for r in verdict.reasons] == (["foreign_process"] if said else [])
    assert verdict.verdict == ("warning" if said else "valid")
    assert not said or verdict.reasons[0].message.startswith(said)
    assert judge(arrange((*records(CPU_TRIAL), fact))).verdict == "valid", "a GPU that only stands in the machine"


def test_that_a_trial_that_nobody_watched_is_not_simply_valid() -> None:
    blind = tuple(r for r in records(CPU_TRIAL) if not isinstance(r, Telemetry | Sensors))
    verdict = judge(arrange(blind))
    assert [r.code for r in verdict.reasons] == ["unwatched"]
    meter = Telemetry(source="wall_meter", times_ns=[1], columns={"power_watts": [50.0]})
    assert [r.code for r in judge(arrange((*blind, meter))).reasons] == ["unwatched"], "a meter sees no neighbours"


def test_that_throttle_bits_without_a_slowdown_do_not_count() -> None:
    idle_and_clock_setting = column(records(GPU_TRIAL), GPU, "throttle_reasons_bits", lambda _v, _t: float(0x1 | 0x2))
    assert judge(arrange(idle_and_clock_setting)).verdict == "valid"


def test_that_a_throttled_device_is_told_by_reason_and_share() -> None:
    stream = column(records(GPU_TRIAL), GPU, "throttle_reasons_bits", lambda _v, _t: float(0x40))
    assert "hardware thermal slowdown 100 %" in judge(arrange(stream)).reasons[0].message


def test_that_a_bad_warm_up_only_warns() -> None:
    stream = tuple(
        msgspec.structs.replace(r, end_ns=r.start_ns) if isinstance(r, Request) and r.warmup else r
        for r in records(CPU_TRIAL)
    )
    assert judge(arrange(stream)).verdict == "warning"


def ending(stream: Stream, after_last_token: Callable[[Request], int]) -> Stream:
    """The stream with every call's return moved: `after_last_token(request)` ns."""
    last = {r.first + len(r.times_ns): r.times_ns[-1] for r in stream if isinstance(r, Stamps)}
    return tuple(
        msgspec.structs.replace(r, end_ns=last[r.first_stamp + r.stamps] + after_last_token(r))
        if isinstance(r, Request)
        else r
        for r in stream
    )


@pytest.mark.parametrize(
    ("after_ns", "of_call", "on_gpu", "verdict"),
    [
        (0, 0.0, False, "valid"),
        (-1, 0.0, False, "invalid"),
        (0, -1e-4, True, "valid"),
        (0, -1e-4, False, "invalid"),
        (0, -4e-4, True, "invalid"),
    ],
)
def test_that_the_last_token_is_there_when_the_call_returns_as_exactly_as_its_clock_allows(
    after_ns: int, of_call: float, on_gpu: bool, verdict: str
) -> None:
    stream = records(GPU_TRIAL if on_gpu else CPU_TRIAL)
    changed = ending(stream, lambda r: after_ns + round(of_call * (r.end_ns - r.start_ns)))
    assert judge(arrange(changed)).verdict == verdict


SHORT = FakeTrial(seed=3, requests=200, warmups=3, new_tokens=4, prefill_s=0.01, tokens_per_second=200.0)
"""Requests of 25 ms."""


def test_that_time_after_the_last_token_makes_no_trial_of_short_requests_invalid() -> None:
    def way_out(request: Request) -> int:
        return 1_100_000 if request.index % 7 == 0 else 150_000  # a preemption: 4 % of the request

    assert judge(arrange(ending(records(SHORT), way_out))).reasons == ()


@pytest.mark.parametrize(
    ("fake", "tail_ns", "warned"), [(SHORT, 1_000_000, False), (SHORT, 1_100_000, True), (CPU_TRIAL, 1_100_000, False)]
)
def test_that_a_way_out_that_is_always_long_is_a_caution(fake: FakeTrial, tail_ns: int, warned: bool) -> None:
    """Over a millisecond and over 1 % of a request: 25 ms here, 2.7 s in the last case."""
    found = judge(arrange(ending(records(fake), lambda _r: tail_ns))).reasons
    assert [r.code for r in found] == (["long_tail"] if warned else [])


def test_that_a_short_window_warns() -> None:
    verdict = judge(arrange(records(FakeTrial(requests=1, new_tokens=16))))
    assert [r.code for r in verdict.reasons] == ["short_window"]


@pytest.mark.parametrize("outcome", ["stopped", "failed"])
def test_that_a_trial_that_did_not_complete_its_measurement_is_invalid(outcome: str) -> None:
    verdict = judge(arrange(records(FakeTrial(outcome=outcome))))  # type: ignore[arg-type]
    assert verdict.verdict == "invalid"
    assert "not_completed" in {r.code for r in verdict.reasons}


def test_that_a_failure_after_the_evaluation_keeps_the_figures_with_a_warning() -> None:
    stream = tuple(
        msgspec.structs.replace(r, outcome="failed", failure="engine") if isinstance(r, TrialEnded) else r
        for r in records(CPU_TRIAL)
    )
    verdict = judge(arrange(stream))
    assert verdict.verdict == "warning"
    assert verdict.reasons[0].message == "The trial failed after its measurement was complete."


def test_that_the_cue_of_a_failure_is_no_reason_of_its_own() -> None:
    assert judge(arrange(with_cue(records(CPU_TRIAL), "failure:model", "Broken\nTry another"))).verdict == "valid"


def test_that_what_the_worker_says_itself_is_not_said_twice() -> None:
    stream = with_cue(records(FakeTrial(requests=1, new_tokens=16)), "short_window", "Measured 1 of 3 requests.")
    assert [r.message for r in judge(arrange(stream)).reasons] == ["Measured 1 of 3 requests."]


def test_that_a_trial_that_has_not_ended_is_provisional() -> None:
    verdict = judge(arrange(records(CPU_TRIAL)[:-1]))
    assert [r.code for r in verdict.reasons] == ["not_ended"]


def test_that_slow_details_beside_fast_readings_are_no_gap() -> None:
    """PSS is read once a second, and less often on a large process: its rhythm is not the source's."""
    stream = records(FakeTrial(rate_hz=10.0, tokens_per_second=10.0))
    assert judge(arrange(stream)).verdict == "valid"


def test_that_a_turn_without_telemetry_is_no_gap_and_a_hole_beside_it_is_one() -> None:
    stream = without_readings(records(FakeTrial()), 3.2)
    whole = next(r for r in judge(arrange(stream)).reasons if r.code == "sampling_gap")
    assert "3.1 s" in whole.message
    start = next(r.start_ns for r in stream if isinstance(r, Request) and not r.warmup) + SECOND // 2

    def turned(off_s: float, on: bool = False) -> Stream:
        turn = TelemetryTurn(index=0, on=on, start_ns=start, t_ns=start + round(off_s * SECOND), seq=10**6)
        return (*stream, turn)

    def codes(of: Stream) -> set[str]:
        return {r.code for r in judge(arrange(of)).reasons}

    assert "sampling_gap" not in codes(turned(4.5))
    assert "sampling_gap" in codes(turned(2.0)), "the rest of the hole"
    assert "sampling_gap" in codes(turned(4.5, on=True))
