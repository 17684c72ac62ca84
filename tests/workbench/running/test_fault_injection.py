"""Faults put into record streams at seeded random places: every one is caught, none is seen on clean streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import msgspec
import numpy as np
import pytest

from engines.protocol.records import (
    ClockPair,
    Environment,
    PhaseEnded,
    Record,
    Request,
    SensorLost,
    Sensors,
    Stamps,
    Step,
    Telemetry,
    TrialEnded,
)
from tests.workbench.synthetic import GPU, SECOND, FakeTrial, records
from workbench.metrics.checks.verdict import judge
from workbench.metrics.trial import arrange

Stream = tuple[Record, ...]
Rng = np.random.Generator
Fault = Callable[[Stream, Rng], Stream]
SEEDS = range(12)
MILLISECOND = 1_000_000


@cache
def clean(seed: int, device: str) -> Stream:
    tokens = 16 + 8 * (seed % 5)
    return records(
        FakeTrial(
            seed=seed,
            device=device,  # type: ignore[arg-type]
            requests=3 + seed % 3,
            new_tokens=tokens,
            tokens_per_second=tokens / 1.5,
            batch_size=1,
            idle_s=2.5 if device == "gpu" else 0.0,
            prefills_s=2.5 if device == "gpu" else 0.0,
        )
    )


def measured(stream: Stream, rng: Rng) -> Request:
    found = [r for r in stream if isinstance(r, Request) and not r.warmup]
    return found[int(rng.integers(len(found)))]


def changed(stream: Stream, victim: Record, **fields: object) -> Stream:
    return tuple(msgspec.structs.replace(r, **fields) if r is victim else r for r in stream)


def stamps_of(stream: Stream, request: Request, rng: Rng) -> Stamps:
    last = request.first_stamp + request.stamps
    found = [r for r in stream if isinstance(r, Stamps) and request.first_stamp <= r.first < last]
    return found[int(rng.integers(len(found)))]


def early_end(stream: Stream, rng: Rng) -> Stream:
    """By more than the clock of a GPU may be ahead."""
    victim = measured(stream, rng)
    last = max(t for r in stream if isinstance(r, Stamps) for t in r.times_ns if t <= victim.end_ns)
    return changed(stream, victim, end_ns=last - round(10 ** rng.uniform(6, 8)))


def moved(stream: Stream, victim: Request, by: Callable[[int, list[int]], list[int]]) -> Stream:
    """The stream with the stamps of one request changed: by(number of the first, times) -> times."""
    last = victim.first_stamp + victim.stamps

    def one(record: Record) -> Record:
        if isinstance(record, Stamps) and victim.first_stamp <= record.first < last:
            return msgspec.structs.replace(record, times_ns=by(record.first - victim.first_stamp, record.times_ns))
        return record

    return tuple(one(r) for r in stream)


def stamps_shifted(stream: Stream, rng: Rng) -> Stream:
    """Earlier or later, by less than the old tolerance of a millisecond."""
    by = int(rng.choice((-1, 1)) * rng.integers(1, MILLISECOND))
    return moved(stream, measured(stream, rng), lambda _first, times: [t + by for t in times])


def token_stamped_before_it_was_made(stream: Stream, rng: Rng) -> Stream:
    """Every stamp one token early: that of the first at the call."""
    victim = measured(stream, rng)
    whole = [t for r in stream if isinstance(r, Stamps) for t in r.times_ns if victim.start_ns <= t <= victim.end_ns]
    early = [victim.start_ns, *whole[:-1]]
    return moved(stream, victim, lambda first, times: early[first : first + len(times)])


def stamp_before_the_call(stream: Stream, rng: Rng) -> Stream:
    victim = measured(stream, rng)
    at = victim.start_ns - int(rng.integers(1, SECOND))
    return moved(stream, victim, lambda first, times: times if first else [at, *times[1:]])


def first_token_twice(stream: Stream, rng: Rng) -> Stream:
    """And the last one not at all, so that the number is right."""
    victim = measured(stream, rng)
    apart = int(rng.integers(0, 100_000))
    whole = [t for r in stream if isinstance(r, Stamps) for t in r.times_ns if victim.start_ns <= t <= victim.end_ns]
    twice = [whole[0], whole[0] + apart, *whole[1:-1]]
    return moved(stream, victim, lambda first, times: twice[first : first + len(times)])


def tokens_of_another_request(stream: Stream, rng: Rng) -> Stream:
    """The times of the request before it, under its own numbers."""
    later = [r for r in stream if isinstance(r, Request) and not r.warmup][1:]
    victim = later[int(rng.integers(len(later)))]
    before = victim.first_stamp - victim.stamps
    other = next(r for r in stream if isinstance(r, Request) and r.first_stamp == before)
    whole = [t for r in stream if isinstance(r, Stamps) for t in r.times_ns if other.start_ns <= t <= other.end_ns]
    return moved(stream, victim, lambda first, times: whole[first : first + len(times)])


def a_stamp_too_many(stream: Stream, rng: Rng) -> Stream:
    """In the ring between two requests: all later numbers are one higher."""
    later = [r for r in stream if isinstance(r, Request) and not r.warmup][1:]
    victim = later[int(rng.integers(len(later)))]

    def one(record: Record) -> Record:
        if isinstance(record, Stamps) and record.first >= victim.first_stamp:
            return msgspec.structs.replace(record, first=record.first + 1)
        if isinstance(record, Request) and record.first_stamp >= victim.first_stamp:
            return msgspec.structs.replace(record, first_stamp=record.first_stamp + 1)
        return record

    extra = Stamps(first=victim.first_stamp, times_ns=[victim.start_ns - 1], seq=10**6)
    return (*(one(r) for r in stream), extra)


def overlaps_the_warm_up(stream: Stream, rng: Rng) -> Stream:
    last = [r for r in stream if isinstance(r, Request) and r.warmup][-1]
    first = next(r for r in stream if isinstance(r, Request) and not r.warmup)
    return changed(stream, last, end_ns=first.start_ns + int(rng.integers(1, SECOND)))


def ends_before_it_starts(stream: Stream, rng: Rng) -> Stream:
    victim = measured(stream, rng)
    return changed(stream, victim, end_ns=victim.start_ns - int(rng.integers(0, SECOND)))


def late_start(stream: Stream, rng: Rng) -> Stream:
    """After the first token."""
    victim = measured(stream, rng)
    first = next(r for r in stream if isinstance(r, Stamps) and r.first == victim.first_stamp).times_ns[0]
    return changed(stream, victim, start_ns=first + int(rng.integers(1, SECOND // 2)))


def overlap(stream: Stream, rng: Rng) -> Stream:
    found = sorted((r for r in stream if isinstance(r, Request) and not r.warmup), key=lambda r: r.start_ns)
    place = int(rng.integers(1, len(found)))
    return changed(stream, found[place], start_ns=found[place - 1].end_ns - int(rng.integers(5, 500)) * MILLISECOND)


def two_tokens_swapped(stream: Stream, rng: Rng) -> Stream:
    victim = stamps_of(stream, measured(stream, rng), rng)
    times = [*victim.times_ns]
    place = int(rng.integers(len(times) - 1))
    times[place], times[place + 1] = times[place + 1], times[place]
    return changed(stream, victim, times_ns=times)


def a_stamp_from_elsewhere(stream: Stream, rng: Rng) -> Stream:
    victim = stamps_of(stream, measured(stream, rng), rng)
    times = [*victim.times_ns]
    times[int(rng.integers(len(times)))] -= int(rng.integers(4, 90)) * SECOND
    return changed(stream, victim, times_ns=times)


def stamps_lost(stream: Stream, rng: Rng) -> Stream:
    victim = stamps_of(stream, measured(stream, rng), rng)
    return tuple(r for r in stream if r is not victim)


def one_stamp_lost(stream: Stream, rng: Rng) -> Stream:
    """The last one a batch had, so that a hole is left."""
    victim = stamps_of(stream, measured(stream, rng), rng)
    return changed(stream, victim, times_ns=victim.times_ns[:-1])


def stamps_of_a_neighbour(stream: Stream, rng: Rng) -> Stream:
    victim = measured(stream, rng)
    return changed(stream, victim, first_stamp=victim.first_stamp - int(rng.integers(1, victim.stamps)))


def no_stamps(stream: Stream, rng: Rng) -> Stream:
    return changed(stream, measured(stream, rng), stamps=0, generated_tokens=0)


def request_lost(stream: Stream, rng: Rng) -> Stream:
    """Not the last one: a trial that ends one request earlier is a shorter trial, not a broken one."""
    found = [r for r in stream if isinstance(r, Request) and not r.warmup][:-1]
    victim = found[int(rng.integers(len(found)))]
    return tuple(r for r in stream if r is not victim)


def request_told_twice(stream: Stream, rng: Rng) -> Stream:
    return (*stream, msgspec.structs.replace(measured(stream, rng), seq=10**6))


def phases_too_long(stream: Stream, rng: Rng) -> Stream:
    begin = next(r for r in stream if isinstance(r, PhaseEnded) and r.name == "measure")
    found = [
        r
        for r in stream
        if isinstance(r, PhaseEnded) and r.name == "decode" and begin.start_ns <= r.start_ns and r.t_ns <= begin.t_ns
    ]
    victim = found[int(rng.integers(len(found)))]
    return changed(stream, victim, start_ns=victim.start_ns - int(rng.integers(20, 100)) * MILLISECOND)


def token_missing(stream: Stream, rng: Rng) -> Stream:
    victim = measured(stream, rng)
    return changed(stream, victim, generated_tokens=victim.generated_tokens - int(rng.integers(1, 9)))


def batch_miscounted(stream: Stream, rng: Rng) -> Stream:
    return changed(stream, measured(stream, rng), batch_size=int(rng.integers(2, 9)))


def shorter_output(stream: Stream, rng: Rng) -> Stream:
    """One sequence ended early, honestly told."""
    victim = measured(stream, rng)
    kept = victim.stamps - int(rng.integers(1, victim.stamps // 2))
    return changed(stream, victim, stamps=kept, generated_tokens=kept)


def clock(stream: Stream, rng: Rng) -> Stream:
    jump = int(rng.choice((-1, 1)) * rng.uniform(1.1, 4000) * SECOND)
    end = next(r for r in stream if isinstance(r, TrialEnded))
    return changed(stream, end, clock=ClockPair(end.clock.wall_ns + jump, end.clock.mono_ns))


def unfinished(stream: Stream, rng: Rng) -> Stream:
    return tuple(r for r in stream if not isinstance(r, TrialEnded))


_NOT_MADE = ("involuntary_switches_count", "pressure_memory_ratio")
"""Columns that a clean stream lacks and a fault adds."""


def column(source: str, quantity: str, change: Callable[[float, int, float], float]) -> Fault:
    """A fault of one column of readings: change(value, time in ns, how badly 0..1)."""

    def fault(stream: Stream, rng: Rng) -> Stream:
        bad = float(rng.uniform())

        def one(record: Record) -> Record:
            if not isinstance(record, Telemetry) or record.source != source:
                return record
            if quantity not in record.columns and quantity not in _NOT_MADE:
                return record
            old = record.columns.get(quantity, [0.0] * len(record.times_ns))
            new = [change(v or 0.0, t, bad) for v, t in zip(old, record.times_ns, strict=True)]
            return msgspec.structs.replace(record, columns=record.columns | {quantity: new})

        return tuple(one(r) for r in stream)

    return fault


def readings_lost(stream: Stream, rng: Rng) -> Stream:
    start = next(r.start_ns for r in stream if isinstance(r, Request) and not r.warmup)
    hole = start, start + round(rng.uniform(2.2, 3.5) * SECOND)
    return tuple(
        r for r in stream if not (isinstance(r, Telemetry) and hole[0] <= r.times_ns[0] and r.times_ns[-1] <= hole[1])
    )


def sensor_gone(stream: Stream, rng: Rng) -> Stream:
    source = str(rng.choice(("proc.tree", "proc.host")))
    return (*stream, SensorLost(source=source, reason="It vanished.", seq=10**6))


def not_synchronised(stream: Stream, rng: Rng) -> Stream:
    return changed(stream, measured(stream, rng), synchronised=False)


def stranger_on_the_device(stream: Stream, rng: Rng) -> Stream:
    numbers = " ".join(str(n) for n in rng.integers(2, 4_194_304, int(rng.integers(1, 4))))
    return (*stream, Environment(facts={"gpu.0.processes_foreign": numbers}, seq=10**6))


def long_way_out(stream: Stream, rng: Rng) -> Stream:
    """Every request takes another 2 to 20 % until it returns, and begins so much later than the one before it."""
    share, later = rng.uniform(0.02, 0.2), 0
    change: dict[int, tuple[int, int]] = {}
    for request in sorted((r for r in stream if isinstance(r, Request)), key=lambda r: r.start_ns):
        tail = 0 if request.warmup else round(share * (request.end_ns - request.start_ns))
        change[request.first_stamp] = (later, tail)
        later += tail
    ends = {r.end_ns: r.first_stamp for r in stream if isinstance(r, Request)}

    def shift(time_ns: int) -> int:
        """What was said at a time comes as much later as the request that ends next."""
        following = [stamp for end, stamp in sorted(ends.items()) if time_ns <= end]
        return time_ns + (change[following[0]][0] if following else later)

    def one(record: Record) -> Record:
        if isinstance(record, Request):
            by, tail = change[record.first_stamp]
            return msgspec.structs.replace(record, start_ns=record.start_ns + by, end_ns=record.end_ns + by + tail)
        if isinstance(record, Stamps):
            return msgspec.structs.replace(record, times_ns=[shift(t) for t in record.times_ns])
        if isinstance(record, PhaseEnded):
            return msgspec.structs.replace(record, start_ns=shift(record.start_ns), t_ns=shift(record.t_ns))
        return record

    return tuple(one(r) for r in stream)


def nobody_watched(stream: Stream, _rng: Rng) -> Stream:
    return tuple(r for r in stream if not isinstance(r, Telemetry | Sensors))


INVALID: dict[str, tuple[str, Fault]] = {
    f.__name__: (code, f)
    for code, f in (
        ("timing_identity", stamp_before_the_call),
        ("timing_identity", first_token_twice),
        ("timing_identity", tokens_of_another_request),
        ("timing_identity", a_stamp_too_many),
        ("timing_identity", overlaps_the_warm_up),
        ("phase_totals", stamps_shifted),
        ("phase_totals", token_stamped_before_it_was_made),
        ("timing_identity", early_end),
        ("timing_identity", ends_before_it_starts),
        ("timing_identity", late_start),
        ("timing_identity", overlap),
        ("timing_identity", two_tokens_swapped),
        ("timing_identity", a_stamp_from_elsewhere),
        ("timing_identity", stamps_lost),
        ("timing_identity", one_stamp_lost),
        ("timing_identity", stamps_of_a_neighbour),
        ("timing_identity", no_stamps),
        ("missing_request", request_lost),
        ("missing_request", request_told_twice),
        ("phase_totals", phases_too_long),
        ("token_count", token_missing),
        ("token_count", batch_miscounted),
        ("output_length", shorter_output),
        ("clock_jump", clock),
        ("not_ended", unfinished),
    )
}
WARNING: dict[str, tuple[str, str, Fault]] = {
    "steal": ("busy_machine", "cpu", column("proc.host", "steal_ratio", lambda _v, _t, bad: 0.021 + bad)),
    "others": ("busy_machine", "cpu", column("proc.host", "foreign_cpu_ratio", lambda _v, _t, bad: 0.26 + bad)),
    "pressure": ("busy_machine", "cpu", column("proc.host", "pressure_cpu_ratio", lambda _v, _t, bad: 0.11 + bad)),
    "memory": ("busy_machine", "cpu", column("proc.host", "pressure_memory_ratio", lambda _v, _t, bad: 0.06 + bad / 2)),
    "switches": (
        "busy_machine",
        "cpu",
        column("proc.tree", "involuntary_switches_count", lambda _v, t, bad: t / SECOND * (110 + 1000 * bad)),
    ),
    "swap": ("swapping", "cpu", column("proc.tree", "swap_bytes", lambda _v, _t, bad: (1.1 + 1000 * bad) * 2**20)),
    "hole": ("sampling_gap", "cpu", readings_lost),
    "sensor": ("sensor_lost", "cpu", sensor_gone),
    "asynchronous": ("asynchronous", "cpu", not_synchronised),
    "tail": ("long_tail", "cpu", long_way_out),
    "stranger": ("foreign_process", "gpu", stranger_on_the_device),
    "nobody": ("unwatched", "cpu", nobody_watched),
    "counter_still": ("counter_still", "gpu", column(GPU, "energy_joules", lambda _v, _t, bad: 100 * bad)),
    "curve_high": (
        "counter_against_integral",
        "gpu",
        column(GPU, "power_watts", lambda v, _t, bad: v * (1.065 + bad)),
    ),
    "curve_low": (
        "counter_against_integral",
        "gpu",
        column(GPU, "power_watts", lambda v, _t, bad: v * (0.935 - 0.9 * bad)),
    ),
    "heat": (
        "temperature_drift",
        "gpu",
        column(GPU, "temperature_celsius", lambda _v, t, bad: 40 + (3.5 + 10 * bad) * (t - 7_200 * SECOND) / SECOND),
    ),
    "throttle": (
        "throttled",
        "gpu",
        column(GPU, "throttle_reasons_bits", lambda _v, _t, bad: float((0x04, 0x08, 0x20, 0x40, 0x80)[int(bad * 5)])),
    ),
}


def codes(stream: Stream) -> dict[str, str]:
    return {r.code: r.severity for r in judge(arrange(stream)).reasons}


def test_that_a_lost_record_of_the_warm_up_costs_no_trial() -> None:
    stream = clean(0, "cpu")
    for victim in [r for r in stream if isinstance(r, Request) and r.warmup]:
        assert codes(tuple(r for r in stream if r is not victim)) == {}


def test_that_clean_streams_have_no_reason_at_all() -> None:
    found = [judge(arrange(clean(seed, device))) for seed in range(40) for device in ("cpu", "gpu")]
    assert Counter(v.verdict for v in found) == {"valid": 80}
    assert not [r for v in found for r in v.reasons]


@pytest.mark.parametrize("name", INVALID)
def test_that_every_violation_makes_the_trial_invalid(name: str) -> None:
    code, fault = INVALID[name]
    for seed in SEEDS:
        device = ("cpu", "gpu")[seed % 2]
        found = codes(fault(clean(seed, device), np.random.default_rng(seed)))
        assert found.get(code) == "invalid", (seed, found)


@pytest.mark.parametrize("name", WARNING)
def test_that_every_disturbance_is_told_and_no_other(name: str) -> None:
    code, device, fault = WARNING[name]
    for seed in SEEDS:
        found = codes(fault(clean(seed, device), np.random.default_rng(seed)))
        assert found == {code: "warning"}, (seed, found)


def steps(*changes: dict[str, int]) -> Stream:
    ended = clean(0, "cpu")[-1]
    watched = Telemetry(source="proc.host", times_ns=[0], columns={"steal_ratio": [0.0]})
    made = [
        {"index": i, "start_ns": i * SECOND, "end_ns": i * SECOND + SECOND // 2, "tokens": 8, "samples": 1}
        for i in range(4)
    ]
    for place, change in enumerate(changes):
        made[place] |= change
    return (*(Step(warmup=False, **fields) for fields in made), watched, ended)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("timing_identity", {"end_ns": -1}),
        ("timing_identity", {"end_ns": 2 * SECOND}),
        ("timing_identity", {"tokens": -8}),
        ("missing_request", {"index": 7}),
        ("missing_request", {"index": 1}),
    ],
)
def test_that_faults_of_training_steps_are_found(code: str, change: dict[str, int]) -> None:
    assert codes(steps()) == {}
    assert codes(steps(change))[code] == "invalid"
