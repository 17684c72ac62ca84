"""Metrics of one trial against worked examples and an independent recomputation."""

from __future__ import annotations

import itertools
import math
import statistics as standard
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from engines.protocol.records import (
    Environment,
    Evaluation,
    ModelLoaded,
    PhaseEnded,
    Record,
    Request,
    Sensor,
    SensorLost,
    Sensors,
    Stamps,
    Step,
    Telemetry,
    TrialStarted,
    UnknownRecord,
)
from tests import builders
from tests.workbench.synthetic import GPU, NO_POWER, SECOND, FakeTrial, records
from workbench.metrics.evaluate import evaluate_trial
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.registry import METRICS, PER_TRIAL, find, metric
from workbench.metrics.trial import MISSING, TrialRecords, arrange
from workbench.store.operations import MetricRow


def request(index: int, start: float, first: int, stamps: int, end: float, **more: object) -> Request:
    asked = {"prompt_tokens": 100} | more
    return builders.request(index, round(start * SECOND), round(end * SECOND), first, stamps, **asked)


def times(first: int, *seconds: float) -> Stamps:
    return Stamps(first=first, times_ns=[round(s * SECOND) for s in seconds])


def value(id: str, stream: list[Record]) -> float:
    found = metric(id).compute(arrange(stream))
    assert isinstance(found, Value), found
    return found.value


def reason(id: str, stream: list[Record]) -> str:
    found = metric(id).compute(arrange(stream))
    assert isinstance(found, NotAvailable), found
    return found.reason


TWO_REQUESTS: list[Record] = [
    request(0, 10.0, 0, 5, 10.9),
    request(1, 11.0, 5, 5, 12.0),
    times(0, 10.5, 10.6, 10.7, 10.8, 10.9),
    times(5, 11.2, 11.4, 11.6, 11.8, 12.0),
]


def test_a_worked_example_of_speed_and_latency() -> None:
    assert value("decode_tokens_per_second", TWO_REQUESTS) == pytest.approx(8 / 1.2)
    assert value("prefill_tokens_per_second", TWO_REQUESTS) == pytest.approx(200 / 0.7)
    assert value("throughput_tokens_per_second", TWO_REQUESTS) == pytest.approx(10 / 1.9)
    assert value("time_to_first_token_s", TWO_REQUESTS) == pytest.approx(0.35)
    assert value("inter_token_latency_s", TWO_REQUESTS) == pytest.approx(0.15)
    assert value("time_per_output_token_s", TWO_REQUESTS) == pytest.approx((0.4 / 4 + 0.8 / 4) / 2)
    assert value("latency_s", TWO_REQUESTS) == pytest.approx(0.95)
    assert value("tail_s", TWO_REQUESTS) == pytest.approx(0.0)
    returning_late = [request(0, 10.0, 0, 5, 10.95), request(1, 11.0, 5, 5, 12.01), *TWO_REQUESTS[2:]]
    assert value("tail_s", returning_late) == pytest.approx(0.03)
    assert value("decode_tokens_per_second", returning_late) == value("decode_tokens_per_second", TWO_REQUESTS)


def test_that_a_batch_counts_the_tokens_of_all_its_sequences() -> None:
    stream: list[Record] = [
        request(0, 0.0, 0, 3, 1.0, generated_tokens=12, batch_size=4, prompt_tokens=100),
        times(0, 0.5, 0.75, 1.0),
    ]
    assert value("decode_tokens_per_second", stream) == pytest.approx(8 / 0.5)
    assert value("throughput_tokens_per_second", stream) == pytest.approx(12.0)
    assert value("prefill_tokens_per_second", stream) == pytest.approx(800.0)


def test_that_warm_up_requests_count_in_no_figure() -> None:
    slow_warmup: list[Record] = [request(9, 0.0, 10, 2, 9.0, warmup=True), times(10, 4.0, 9.0)]
    for m in METRICS:
        if m.group in ("speed", "latency") and m.id not in ("load_s", "first_call_s"):
            alone, beside = m.compute(arrange(TWO_REQUESTS)), m.compute(arrange([*slow_warmup, *TWO_REQUESTS]))
            assert alone == beside, m.id


@pytest.mark.parametrize(("tokens", "carried"), [(20, {50}), (100, {50, 90}), (1000, {50, 90, 99}), (19, set())])
def test_that_a_percentile_is_blank_where_the_sample_cannot_carry_it(tokens: int, carried: set[int]) -> None:
    stream: list[Record] = [
        request(0, 0.0, 0, tokens + 1, 0.01 * (tokens + 1)),
        times(0, *(0.01 * (i + 1) for i in range(tokens + 1))),
    ]
    for q in (50, 90, 99):
        found = metric(f"inter_token_latency_p{q}_s").compute(arrange(stream))
        assert isinstance(found, Value) == (q in carried), q
        if isinstance(found, NotAvailable):
            assert "cannot carry" in found.reason


def gpu_trial(power: list[float], energy: list[float] | None, utilisation: float = 0.5) -> list[Record]:
    """Readings once a second from 0 s; one measured request from 1 s to 4 s."""
    columns: dict[str, list[float | None]] = {
        "power_watts": list(power),
        "memory_used_bytes": [100.0, *(300.0 for _ in power[1:])],
        "utilisation_ratio": [utilisation] * len(power),
    }
    if energy is not None:
        columns["energy_joules"] = list(energy)
    loaded = next(r for r in records(FakeTrial(device="gpu")) if r.__class__.__name__ == "ModelLoaded")
    return [
        loaded,
        request(0, 1.0, 0, 3, 4.0, generated_tokens=300),
        times(0, 2.0, 3.0, 4.0),
        Telemetry(source=GPU, times_ns=[i * SECOND for i in range(len(power))], columns=columns),
    ]


def test_a_worked_example_of_energy_and_device_memory() -> None:
    stream = gpu_trial([50, 100, 200, 300, 400, 500], [0, 70, 230, 480, 820, 1300])
    assert value("energy_joules", stream) == pytest.approx(750.0)
    assert value("power_mean_watts", stream) == pytest.approx(250.0)
    assert value("energy_per_token_joules", stream) == pytest.approx(2.5)
    assert value("memory_mean_bytes", stream) == pytest.approx(300.0)
    assert value("device_memory_change_bytes", stream) == pytest.approx(200.0)
    assert value("utilisation_ratio", stream) == pytest.approx(0.5)


def test_that_what_the_trial_added_to_the_device_is_counted_from_before_the_load() -> None:
    """4 GB were in use, the model brought 16 GB, requests 1 GB more; in the idle phase the model is there already."""

    def stream(first_reading: float) -> list[Record]:
        used = {0.1: 4e9, 2.0: 12e9, 4.0: 20e9, 5.0: 20e9, 7.0: 21e9, 9.0: 21e9}
        read = {t: v for t, v in used.items() if t >= first_reading}
        return [
            next(r for r in records(FakeTrial(device="gpu")) if isinstance(r, ModelLoaded)),
            PhaseEnded(name="load", start_ns=SECOND, t_ns=3 * SECOND),
            PhaseEnded(name="idle", start_ns=4 * SECOND, t_ns=5 * SECOND),
            request(0, 6.0, 0, 3, 8.0),
            times(0, 7.0, 7.5, 8.0),
            Telemetry(
                source=GPU,
                times_ns=[round(t * SECOND) for t in read],
                columns={"memory_used_bytes": [*read.values()]},
            ),
        ]

    assert value("device_memory_change_bytes", stream(0.0)) == pytest.approx(17e9)
    assert "before the model was loaded" in reason("device_memory_change_bytes", stream(2.0))


def test_that_without_a_counter_energy_is_the_integral_of_the_power_curve() -> None:
    stream = gpu_trial([50, 100, 200, 300, 400, 500], None)
    assert value("energy_joules", stream) == pytest.approx(750.0)
    found = metric("energy_joules").compute(arrange(stream))
    assert "integral" in found.method


def test_that_a_counter_standing_still_is_not_zero_joules() -> None:
    assert "did not change" in reason("energy_joules", gpu_trial([100.0] * 6, [5.0] * 6))


def test_that_energy_of_a_short_window_is_not_measurable() -> None:
    stream = gpu_trial([100.0] * 6, [float(i) * 100 for i in range(6)])
    short = [msgspec.structs.replace(r, end_ns=r.start_ns + SECOND) if isinstance(r, Request) else r for r in stream]
    assert "shorter than 2 s" in reason("energy_joules", short)


def test_that_a_missing_sensor_is_a_reason_and_never_zero() -> None:
    stream = list(records(FakeTrial()))
    for id in ("energy_joules", "power_mean_watts", "energy_per_token_joules"):
        assert reason(id, stream) == NO_POWER


def test_that_a_gpu_beside_a_trial_on_the_processor_does_not_lend_its_power() -> None:
    stream = list(records(FakeTrial()))
    beside = Telemetry(
        source=GPU, times_ns=[r.t_ns for r in stream], columns={"power_watts": [300.0] * len(stream)}, seq=100_000
    )
    assert reason("power_mean_watts", [*stream, beside]) == NO_POWER


def test_that_a_lost_sensor_is_named_as_the_reason() -> None:
    stream = [r for r in records(FakeTrial()) if not isinstance(r, Sensors | Telemetry)]
    lost = SensorLost(source="proc.tree", reason="The file vanished.")
    assert reason("memory_pss_peak_bytes", [*stream, lost]) == (
        "Proportional set size was lost during the trial: The file vanished."
    )


def test_that_a_worker_from_a_template_has_no_cold_start() -> None:
    plain = records(FakeTrial())
    forked = [msgspec.structs.replace(r, start_method="template") if isinstance(r, TrialStarted) else r for r in plain]
    assert value("load_s", list(plain)) == 0.9
    assert "no cold start" in reason("load_s", forked)
    first = next(r for r in plain if isinstance(r, Request))
    assert first.warmup
    assert value("first_call_s", list(plain)) == pytest.approx((first.end_ns - first.start_ns) / 1e9)
    assert "no cold start" in reason("first_call_s", forked)
    assert "was not finished" in reason("first_call_s", [r for r in plain if r is not first])
    assert "was not finished" in reason("first_call_s", [r for r in plain if not (isinstance(r, Request) and r.warmup)])
    found = metric("memory_mean_bytes").compute(arrange(forked))
    assert "shared with the template" in found.method
    assert found.value == value("memory_mean_bytes", list(plain))


def test_that_polled_peaks_say_that_they_are_lower_bounds_or_estimates() -> None:
    arranged = arrange(records(FakeTrial()))
    for id, bound in (("memory_pss_peak_bytes", "an estimate"), ("memory_rss_peak_bytes", "a lower bound")):
        found = metric(id).compute(arranged)
        assert bound in found.method


def test_that_the_memory_of_other_phases_is_not_that_of_the_window() -> None:
    """Read every 2 s; 300 in the window from 10 s to 14.4 s, 900 in the evaluation after it, 700 in the loading."""
    read = {8.0: 700.0, 10.2: 300.0, 12.2: 300.0, 14.6: 900.0, 16.6: 900.0}
    stream: list[Record] = [
        request(0, 10.0, 0, 2, 14.4),
        times(0, 11.0, 14.4),
        Telemetry(
            source="proc.tree", times_ns=[round(t * SECOND) for t in read], columns={"pss_bytes": [*read.values()]}
        ),
    ]
    assert value("memory_mean_bytes", stream) == value("memory_pss_peak_bytes", stream) == 300.0
    between = [request(0, 12.5, 0, 2, 14.4), times(0, 13.0, 14.4), stream[-1]]
    assert "was not read through the measured window" in reason("memory_mean_bytes", between)


def test_that_mean_memory_weighs_by_time() -> None:
    """Three of four seconds at 100, one at 500, read at uneven times: 200, not the mean of the readings."""
    stream: list[Record] = [
        request(0, 0.0, 0, 2, 4.0),
        times(0, 1.0, 4.0),
        Telemetry(
            source="proc.tree",
            times_ns=[0, 3 * SECOND - 1, 3 * SECOND, 3 * SECOND + SECOND // 2, 4 * SECOND],
            columns={"pss_bytes": [100.0, 100.0, 500.0, 500.0, 500.0]},
        ),
    ]
    assert value("memory_mean_bytes", stream) == pytest.approx(200.0, rel=1e-6)


def tree(period_s: float, count: int, **columns: Callable[[float], float]) -> Telemetry:
    """Readings of the process tree from 0 s on: each column by its value at a time (s)."""
    at = [i * period_s for i in range(count)]
    return Telemetry(
        source="proc.tree",
        times_ns=[round(t * SECOND) for t in at],
        columns={name: [value(t) for t in at] for name, value in columns.items()},
    )


def test_that_memory_between_two_slow_readings_is_that_of_the_resident_set() -> None:
    """PSS every 4 s, RSS ten times a second: weights of 1000 and a buffer of 400 for 0.2 s of every 0.5 s; 60 of them
    counted for other users of the same pages."""

    def resident(t: float) -> float:
        return 1400.0 if t % 0.5 < 0.19 else 1000.0

    stream: list[Record] = [request(0, 2.0, 0, 2, 12.0), times(0, 11.0, 12.0)]
    stream.append(tree(0.1, 150, rss_bytes=resident))
    stream.append(tree(4.0, 4, pss_bytes=lambda t: resident(t) - 60))
    found = metric("memory_mean_bytes").compute(arrange(stream))
    assert found.value == pytest.approx(0.4 * 1400 + 0.6 * 1000 - 60, rel=0.01)
    assert found.n == 101
    assert "the median of 3 readings (read every 4 s)" in found.method
    assert "resident memory (read every 0.1 s) less" in found.method
    assert value("memory_pss_peak_bytes", stream) == 1340.0


def test_that_a_peak_is_no_less_than_any_reading_of_the_window_and_says_where_it_is_an_estimate() -> None:
    """For one of three slow readings nobody else shares the pages: they all count for the worker."""
    stream: list[Record] = [request(0, 2.0, 0, 2, 12.0), times(0, 11.0, 12.0), tree(0.1, 150, rss_bytes=lambda _: 1000)]
    stream.append(tree(4.0, 4, pss_bytes=lambda t: 1000.0 if t == 8.0 else 700.0))
    found = metric("memory_pss_peak_bytes").compute(arrange(stream))
    assert found.value == 1000.0
    assert "lower bound" not in found.method
    assert "estimate" in found.method
    assert value("memory_mean_bytes", stream) == pytest.approx(700.0)


def test_that_a_short_window_between_two_slow_readings_has_a_memory_and_one_far_from_them_has_none() -> None:
    slow, fast = tree(4.0, 3, pss_bytes=lambda _t: 940.0), tree(0.1, 200, rss_bytes=lambda _t: 1000.0)
    assert value("memory_mean_bytes", [request(0, 5.0, 0, 2, 7.0), times(0, 6.0, 7.0), slow, fast]) == pytest.approx(
        940.0
    )
    far: list[Record] = [request(0, 15.0, 0, 2, 17.0), times(0, 16.0, 17.0), slow, fast]
    assert "was not read through the measured window" in reason("memory_mean_bytes", far)


def test_that_a_mean_is_made_of_the_readings_of_the_window_and_says_what_read_them() -> None:
    sensor = Sensor(source="proc.tree", quantity="pss_bytes", title="", method="/proc/PID/smaps_rollup")
    stream: list[Record] = [
        Sensors(sensors=(sensor,)),
        request(0, 10.0, 0, 2, 14.5),
        times(0, 11.0, 14.5),
        Telemetry(source="proc.tree", times_ns=[s * SECOND for s in range(20)], columns={"pss_bytes": [100.0] * 20}),
    ]
    for id in ("memory_mean_bytes", "memory_pss_peak_bytes"):
        found = metric(id).compute(arrange(stream))
        assert isinstance(found, Value)
        assert found.n == 5, id
        assert "(/proc/PID/smaps_rollup; read every 1 s)" in found.method
    used = metric("utilisation_ratio").compute(arrange(gpu_trial([50.0] * 6, None)))
    assert isinstance(used, Value)
    assert used.n == 4, "from 1 s to 4 s of 6 readings"


def test_that_energy_names_the_power_reading_it_was_made_from() -> None:
    field = "NVML_FI_DEV_POWER_INSTANT, instantaneous"
    told = Sensors(sensors=(Sensor(source=GPU, quantity="power_watts", title="", method=field),))
    for counter in (None, [0.0, 70, 230, 480, 820, 1300]):
        found = metric("energy_joules").compute(arrange([told, *gpu_trial([50, 100, 200, 300, 400, 500], counter)]))
        assert f"({field}; read every 1 s)" in found.method


def test_that_figures_made_of_stamps_say_whether_the_loop_waited() -> None:
    queued = [msgspec.structs.replace(r, synchronised=False) if isinstance(r, Request) else r for r in TWO_REQUESTS]
    for id in ("decode_tokens_per_second", "inter_token_latency_s"):
        for stream, said in ((TWO_REQUESTS, "waited for each token"), (queued, "did not wait for each token")):
            found = metric(id).compute(arrange(stream))
            assert said in found.method


def test_that_failed_readings_are_skipped_not_zero() -> None:
    stream: list[Record] = [
        request(0, 0.0, 0, 2, 2.0),
        times(0, 1.0, 2.0),
        Telemetry(
            source="proc.tree",
            times_ns=[0, SECOND, 2 * SECOND],
            columns={"pss_bytes": [100.0, None, 100.0]},
        ),
    ]
    assert value("memory_mean_bytes", stream) == pytest.approx(100.0)


def test_that_memory_says_where_weights_are_pages_of_a_mapped_file() -> None:
    stream = list(records())
    mapped = [*stream, Environment(facts={"llama.load.memory_map": "yes"})]
    for id in ("memory_mean_bytes", "memory_pss_peak_bytes", "memory_rss_peak_bytes"):
        plain, told = (metric(id).compute(arrange(s)) for s in (stream, mapped))
        assert (told.value, told.n) == (plain.value, plain.n)
        assert "mapped file" in told.method
        assert "mapped file" not in plain.method


def test_perplexity_and_bits_per_byte_of_a_known_loss() -> None:
    loss = Evaluation(nll_sum=100 * math.log(8), tokens=100, text_bytes=300, data_name="text", data_hash="0123456789")
    assert value("perplexity", [loss]) == pytest.approx(8.0)
    assert value("bits_per_byte", [loss]) == pytest.approx(1.0)
    assert "no evaluation" in reason("perplexity", [])


def test_that_the_scope_of_quality_tells_texts_windows_and_stretches_apart() -> None:
    def scopes(id: str, **changes: object) -> str:
        told = {
            "data_name": "text",
            "data_hash": "sha256:0123456789abcdef",
            "context_tokens": 512,
            "begin": "",
            **changes,
        }
        found = metric(id).compute(arrange([Evaluation(nll_sum=9.0, tokens=2_048, text_bytes=8_100, **told)]))  # type: ignore[arg-type]
        return found.scope

    assert scopes("perplexity") == "2,048 tokens, 8,100 bytes of text (01234567), windows of 512 tokens"
    # another patch release of Python: the same lengths, another text
    assert scopes("perplexity", data_hash="sha256:0f23456789abcdef") != scopes("perplexity")
    assert scopes("perplexity", context_tokens=256) != scopes("perplexity")
    assert scopes("bits_per_byte") == scopes("bits_per_byte", context_tokens=256) == "text (01234567)"
    assert scopes("bits_per_byte", data_hash="sha256:0f") == "text (0f)"
    assert metric("bits_per_byte").same_scope
    # the same tokens after another beginning are another question; each model by its own rule is not
    assert scopes("perplexity", begin="<bos> (2)").endswith("windows of 512 tokens, each after <bos> (2)")
    assert scopes("bits_per_byte", begin="<bos> (2)") == scopes("bits_per_byte")
    # a version that followed no rule: compared with nothing that does
    for id in ("perplexity", "bits_per_byte"):
        assert "begin token not recorded" in scopes(id, begin=None)


def test_that_quality_says_which_begin_token_its_windows_had() -> None:
    def method(id: str, begin: str | None) -> str:
        loss = Evaluation(nll_sum=9.0, tokens=64, text_bytes=300, data_name="text", data_hash="0", begin=begin)
        found = metric(id).compute(arrange([loss]))
        return found.method

    for id in ("perplexity", "bits_per_byte"):
        assert method(id, "<bos> (2)").endswith("begin token <bos> (2) in every window")
        assert method(id, "").endswith("no begin token")
        assert method(id, None).endswith("begin token not recorded")


def test_every_metric_recomputed_independently_from_the_raw_records() -> None:
    for fake in (FakeTrial(seed=4), FakeTrial(seed=5, device="gpu", batch_size=2)):
        stream = records(fake)
        rows = {r.metric: r for r in evaluate_trial("t", stream)[0]}
        expected = _by_hand(stream, fake)
        for id, number in expected.items():
            assert rows[id].value == pytest.approx(number, rel=1e-6), id
            assert rows[id].method
            assert not rows[id].reason


def _by_hand(stream: tuple[Record, ...], fake: FakeTrial) -> dict[str, float]:
    """Loops over plain lists, nothing shared with the product."""
    stamps: dict[int, int] = {}
    for record in stream:
        if isinstance(record, Stamps):
            for i, t in enumerate(record.times_ns):
                stamps[record.first + i] = t
    measured = [r for r in stream if isinstance(r, Request) and not r.warmup]
    own = [[stamps[r.first_stamp + i] / 1e9 for i in range(r.stamps)] for r in measured]
    firsts = [t[0] - r.start_ns / 1e9 for t, r in zip(own, measured, strict=True)]
    gaps = [b - a for t in own for a, b in itertools.pairwise(t)]
    spent = [(r.end_ns - r.start_ns) / 1e9 for r in measured]
    tokens = sum(r.generated_tokens for r in measured)
    start, end = measured[0].start_ns / 1e9, measured[-1].end_ns / 1e9

    def readings(source: str, quantity: str) -> list[tuple[float, float]]:
        found = [
            (t / 1e9, v)
            for r in stream
            if isinstance(r, Telemetry) and r.source == source and quantity in r.columns
            for t, v in zip(r.times_ns, r.columns[quantity], strict=True)
            if v is not None
        ]
        return sorted(found)

    def at(points: list[tuple[float, float]], t: float) -> float:
        before = [p for p in points if p[0] <= t] or [points[0]]
        after = [p for p in points if p[0] >= t] or [points[-1]]
        (t0, v0), (t1, v1) = before[-1], after[0]
        return v0 if t1 == t0 else v0 + (v1 - v0) * (t - t0) / (t1 - t0)

    def area(points: list[tuple[float, float]]) -> float:
        own = [p for p in points if start <= p[0] <= end]
        inner = [(start, own[0][1]), *own, (end, own[-1][1])]
        return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(inner))

    expected = {
        "decode_tokens_per_second": fake.batch_size * len(gaps) / sum(gaps),
        "prefill_tokens_per_second": fake.batch_size * fake.prompt_tokens * len(firsts) / sum(firsts),
        "throughput_tokens_per_second": tokens / sum(spent),
        "time_to_first_token_s": standard.fmean(firsts),
        "time_to_first_token_median_s": standard.median(firsts),
        "inter_token_latency_s": standard.fmean(gaps),
        "inter_token_latency_p50_s": standard.median(gaps),
        "latency_s": standard.fmean(spent),
        "perplexity": fake.perplexity,
        "tensor_bytes": float(fake.tensor_bytes),
        "memory_rss_peak_bytes": max(v for t, v in readings("proc.tree", "rss_bytes") if start <= t <= end),
    }
    if fake.device == "cpu":
        busy = readings("proc.tree", "cpu_seconds")
        expected["utilisation_ratio"] = (at(busy, end) - at(busy, start)) / (end - start) / fake.threads
        pss, rss = readings("proc.tree", "pss_bytes"), readings("proc.tree", "rss_bytes")
        beside = standard.median(at(rss, t) - v for t, v in pss if start <= t <= end)
        expected["memory_mean_bytes"] = area([(t, v - beside) for t, v in rss]) / (end - start)
    else:
        counter = readings(GPU, "energy_joules")
        energy = at(counter, end) - at(counter, start)
        expected["energy_joules"] = energy
        expected["power_mean_watts"] = energy / (end - start)
        expected["energy_per_token_joules"] = energy / tokens
        expected["utilisation_ratio"] = area(readings(GPU, "utilisation_ratio")) / (end - start)
        expected["memory_mean_bytes"] = area(readings(GPU, "memory_used_bytes")) / (end - start)
    return expected


def test_that_order_of_arrival_and_repetition_do_not_matter() -> None:
    stream = list(records(FakeTrial()))
    assert evaluate_trial("t", [*reversed(stream), *stream]) == evaluate_trial("t", stream)


def test_that_unknown_and_missing_records_are_no_exception() -> None:
    odd = UnknownRecord(kind="later", seq=3, t_ns=1, raw=b"{}")
    rows, _, verdict = evaluate_trial("t", [odd])
    assert verdict == "invalid"
    assert {r.metric for r in rows} == {m.id for m in PER_TRIAL}
    assert all(r.value is None and r.reason.endswith(".") for r in rows)


def test_that_stamps_never_read_are_marked_missing() -> None:
    arranged = arrange([times(2, 1.0, 2.0)])
    assert list(arranged.stamps_ns[:2]) == [MISSING, MISSING]


def test_that_an_absurd_stamp_number_reserves_no_memory() -> None:
    assert len(arrange([Stamps(first=10**15, times_ns=[1]), times(0, 1.0)]).stamps_ns) == 1


def test_that_a_quantity_one_source_can_read_is_not_missing() -> None:
    def sensor(source: str, available: bool) -> Sensor:
        return Sensor(source=source, quantity="power_watts", title="", method="", available=available, reason="No.")

    assert arrange([Sensors(sensors=(sensor("a", False), sensor("b", True)))]).sensors_missing == {}
    assert arrange([Sensors(sensors=(sensor("a", False),))]).sensors_missing == {"power_watts": "No."}


def test_that_spans_come_from_phase_ends() -> None:
    spans = arrange([PhaseEnded(name="load", start_ns=5, t_ns=9)]).spans
    assert [(s.name, s.start_ns, s.end_ns) for s in spans] == [("load", 5, 9)]


def test_that_the_registry_is_complete_and_its_ids_are_unique() -> None:
    ids = [m.id for m in METRICS]
    assert len(set(ids)) == len(ids)
    for m in METRICS:
        assert m.title
        assert m.definition.endswith(".")
        assert m.version >= 1
        assert metric(m.id) is find(m.id) is m
    assert find("unheard_of") is None
    with pytest.raises(KeyError):
        metric("unheard_of")


def test_that_rows_carry_unit_scope_and_version() -> None:
    rows: tuple[MetricRow, ...] = evaluate_trial("t-1", records(replace(FakeTrial(), seed=9)))[0]
    by_id = {r.metric: r for r in rows}
    assert by_id["latency_s"].unit == "s/request"
    assert "512 tokens, 2,210 bytes" in by_id["perplexity"].scope
    assert {r.trial for r in rows} == {"t-1"}


# --- training ---------------------------------------------------------------------------------------


def trained() -> TrialRecords:
    """A warm-up step and three measured ones of 2, 1 and 4 s, with the held-out loss of 10 tokens around them."""
    ends = (1, 3, 4, 8)
    steps = [
        Step(
            index=i, warmup=i == 0, start_ns=before * SECOND, end_ns=end * SECOND, tokens=8, samples=2,
            loss=4.0 - i, data_s=0.5,
        )
        for i, (before, end) in enumerate(zip((0, *ends), ends, strict=False))
    ]  # fmt: skip
    told = [
        Evaluation(name=name, nll_sum=loss, tokens=10, text_bytes=40, data_name="text", data_hash="0")
        for name, loss in (("held_out_before", 50.0), ("held_out_after", 30.0))
    ]
    return arrange([*steps, *told])


def test_that_figures_of_training_count_its_measured_steps_alone() -> None:
    records = trained()
    found = {id: metric(id).compute(records) for id in ("training_step_s", "training_loss", "training_data_ratio")}
    assert {id: v.value for id, v in found.items() if isinstance(v, Value)} == {
        "training_step_s": 2.0,
        "training_loss": pytest.approx((3.0 + 2.0 + 1.0) / 3),
        "training_data_ratio": pytest.approx(1.5 / (1.5 + 7.0)),
    }


def test_that_held_out_losses_are_told_apart_and_are_no_perplexity_of_the_trial() -> None:
    records = trained()
    before, after = (metric(id).compute(records) for id in ("held_out_loss_before", "held_out_loss"))
    assert (before.value, after.value) == (5.0, 3.0)
    rows, reasons, _ = evaluate_trial("t", [*records.steps, *records.evaluations])
    by_id = {row.metric: row for row in rows}
    assert by_id["perplexity"].value is None
    for id in ("perplexity", "decode_tokens_per_second", "time_to_first_token_s"):
        assert by_id[id].reason == "This is a training trial: it generates no text.", id
    assert by_id["held_out_loss"].value == 3.0
    assert "missing_request" not in {reason.code for reason in reasons}


def test_that_a_step_whose_record_is_missing_makes_a_trial_invalid() -> None:
    steps = [s for s in trained().steps if s.index != 2]
    _, reasons, verdict = evaluate_trial("t", steps)
    assert "missing_request" in {reason.code for reason in reasons}
    assert verdict == "invalid"
