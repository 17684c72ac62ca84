"""A trial arranged for charts: channels, phases, log; the same live and stored."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.protocol.records import (
    ClockPair,
    Cue,
    Environment,
    Log,
    PhaseEnded,
    PhaseStarted,
    Record,
    Request,
    Sensor,
    SensorLost,
    Sensors,
    Stamps,
    Step,
    Telemetry,
    TrialEnded,
    TrialStarted,
    UnknownRecord,
)
from tests import builders
from workbench.charts.curves import charts_of
from workbench.charts.series import Phase, TrialData

SECOND = 1_000_000_000
START = 100 * SECOND


def at(seconds: float) -> int:
    return START + round(seconds * SECOND)


def taken(records: Iterable[Record], **fields: int) -> TrialData:
    data = TrialData(trial="t-1", title="tiny", **fields)  # type: ignore[arg-type]
    data.take(TrialStarted(t_ns=START, clock=ClockPair(0, START), worker_pid=1))
    for record in records:
        data.take(record)
    return data


def stamps(first: int, *seconds: float) -> Stamps:
    return Stamps(first=first, times_ns=[at(s) for s in seconds])


def request(first: int, count: int, batch: int = 1) -> Request:
    return builders.request(0, 0, 0, first, count, generated_tokens=count * batch, batch_size=batch)


def prefill(seconds: float) -> PhaseStarted:
    return PhaseStarted(t_ns=at(seconds), name="prefill")


def points(data: TrialData, key: str) -> list[tuple[float, float]]:
    channel = data.channels[key]
    return [(round(float(t), 6), round(float(v), 6)) for t, v in zip(channel.times, channel.values, strict=True)]


def even(first: float, count: int, step: float) -> list[float]:
    return [first + i * step for i in range(count)]


# --- telemetry, phases, log -----------------------------------------------------------------------


def test_that_telemetry_becomes_one_channel_a_quantity_with_title_and_unit() -> None:
    sensor = Sensor(source="proc.tree", quantity="pss_bytes", title="Proportional memory", method="/proc")
    columns = {"pss_bytes": [1.0, None], "cpu_utilisation_ratio": [0.5, 0.75]}
    data = taken([Sensors(sensors=(sensor,)), Telemetry(source="proc.tree", times_ns=[at(1), at(2)], columns=columns)])
    memory, use = data.channels["proc.tree/pss_bytes"], data.channels["proc.tree/cpu_utilisation_ratio"]
    assert (memory.title, memory.unit) == ("Proportional memory", "B")
    assert (use.title, use.unit) == ("Cpu utilisation", "ratio")
    np.testing.assert_array_equal(memory.times, [1.0, 2.0])
    np.testing.assert_array_equal(memory.values, [1.0, np.nan])
    np.testing.assert_array_equal(use.values, [0.5, 0.75])


def test_that_telemetry_goes_on_over_batches_and_never_back_in_time() -> None:
    batches = [Telemetry(source="s", times_ns=[at(t), at(t + 0.5)], columns={"a_watts": [t, t]}) for t in (1, 3, 2)]
    channel = taken(batches).channels["s/a_watts"]
    np.testing.assert_array_equal(channel.times, [1.0, 1.5, 3.0, 3.5, 3.5, 3.5])
    np.testing.assert_array_equal(channel.values, [1, 1, 3, 3, 2, 2])


def test_that_phases_are_open_until_they_end_and_stand_in_order_of_their_starts() -> None:
    data = taken(
        [
            PhaseStarted(t_ns=at(1), name="measure"),
            PhaseEnded(t_ns=at(3), name="decode", index=0, start_ns=at(2)),
            PhaseStarted(t_ns=at(1.5), name="prefill"),
            PhaseEnded(t_ns=at(2), name="prefill", start_ns=at(1.5)),
        ]
    )
    whole = [Phase("prefill", 0, 1.5, 2.0), Phase("decode", 0, 2.0, 3.0)]
    assert data.phases == [Phase("measure", 0, 1.0, None), *whole]
    data.take(PhaseEnded(t_ns=at(4), name="measure", start_ns=at(1)))
    assert data.phases == [Phase("measure", 0, 1.0, 4.0), *whole]


def test_that_a_trial_that_ends_closes_its_phases() -> None:
    data = taken([PhaseStarted(t_ns=at(1), name="load")])
    ended = TrialEnded(t_ns=at(5), outcome="failed", failure="killed", clock=ClockPair(0, at(5)))
    data.take(ended)
    assert data.phases == [Phase("load", 0, 1.0, 5.0)]
    assert data.ended == ended


def test_that_a_machine_started_again_does_not_end_a_phase_before_its_data() -> None:
    readings = Telemetry(source="s", times_ns=[at(7)], columns={"a_watts": [1.0]})
    data = taken([PhaseStarted(t_ns=at(1), name="load"), readings])
    data.take(TrialEnded(t_ns=5, outcome="lost", clock=ClockPair(0, 5)))
    assert data.phases == [Phase("load", 0, 1.0, 7.0)]


def test_that_log_environment_cues_and_lost_sensors_are_kept() -> None:
    line, cue = Log(level="info", source="worker", text="x"), Cue(code="not_steady", text="y")
    data = taken(
        [line, cue, Environment(facts={"a": "1"}), Environment(facts={"b": "2"}), SensorLost(source="s", reason="r")]
    )
    assert (data.log, data.cues, data.environment, data.lost_sensors) == (
        [line],
        [cue],
        {"a": "1", "b": "2"},
        {"s": "r"},
    )


def test_that_a_record_taken_twice_counts_once_and_unknown_kinds_not_at_all() -> None:
    data = taken([])
    line = Log(seq=5, level="info", source="worker", text="x")
    data.take(line)
    revision = data.revision
    data.take(line)
    data.take(UnknownRecord(kind="new", seq=6, t_ns=0, raw=b"{}"))
    assert (len(data.log), data.revision, data.last_seq) == (1, revision, 6)


def test_that_time_begins_with_the_first_reading_where_the_start_was_never_said() -> None:
    data = TrialData(trial="t", title="x")
    data.take(Telemetry(source="s", times_ns=[at(3), at(4)], columns={"a_watts": [1.0, 2.0]}))
    np.testing.assert_array_equal(data.channels["s/a_watts"].times, [0.0, 1.0])


# --- tokens ---------------------------------------------------------------------------------------


def test_that_the_gap_before_a_requests_first_token_is_no_gap() -> None:
    data = taken([stamps(0, 1.0, 1.1, 1.3), request(0, 3), stamps(3, 2.0, 2.2), request(3, 2)])
    assert points(data, "gap") == [(1.1, 0.1), (1.3, 0.2), (2.2, 0.2)]


def test_that_a_prefill_that_is_told_marks_a_boundary_before_the_request_does() -> None:
    data = taken([stamps(0, 1.0, 1.1), prefill(1.2), stamps(2, 2.0, 2.2)])
    assert points(data, "gap") == [(1.1, 0.1), (2.2, 0.2)]
    assert data.channels["gap"].rewrites == 0


def test_that_a_boundary_told_late_takes_the_false_gap_back() -> None:
    data = taken([stamps(0, 1.0, 1.1, 2.0, 2.2)])
    assert len(data.channels["gap"]) == 3
    data.take(prefill(1.2))
    assert points(data, "gap") == [(1.1, 0.1), (2.2, 0.2)]
    assert data.channels["gap"].rewrites == 1


def test_that_a_prefill_inside_a_finished_request_does_not_split_it() -> None:
    for order in ([prefill(1.15), request(0, 3)], [request(0, 3), prefill(1.15)]):
        data = taken([stamps(0, 1.0, 1.1, 1.3), *order])
        assert points(data, "gap") == [(1.1, 0.1), (1.3, 0.2)]


def test_that_corrected_times_replace_those_told_first() -> None:
    data = taken([stamps(0, 1.0, 1.01, 1.02), stamps(0, 1.0, 1.2, 1.3), request(0, 3)], batch_size=1)
    assert points(data, "gap") == [(1.2, 0.2), (1.3, 0.1)]
    assert points(data, "throughput")[-1] == (1.3, round(2 / 0.3, 6))


def test_that_a_request_with_stamps_missing_has_no_points() -> None:
    data = taken([stamps(0, 1.0, 1.1), stamps(5, 1.6, 1.7), request(0, 7), stamps(7, 3.0, 3.5), request(7, 2)])
    assert points(data, "gap") == [(3.5, 0.5)]


def test_that_throughput_counts_the_whole_batch_and_is_silent_between_requests() -> None:
    data = taken([stamps(0, *even(1.0, 10, 0.06)), request(0, 10, batch=3)])
    for record in (stamps(10, *even(3.0, 3, 0.06)), request(10, 3, batch=3)):
        data.take(record)
    seen = points(data, "throughput")
    good = [(t, v) for t, v in seen if not np.isnan(v)]
    assert all(v == pytest.approx(50.0) for _, v in good)
    assert [t for t, _ in good] == [1.0, 1.12, 1.24, 1.36, 1.48, 1.54, 3.0, 3.12]
    assert [t for t, v in seen if np.isnan(v)] == [1.54], "the line is broken between requests"


def test_that_throughput_is_a_rolling_figure_over_half_a_second() -> None:
    times = [*even(1.0, 11, 0.1), *even(2.2, 10, 0.2)]
    data = taken([stamps(0, *times)], batch_size=1)
    seen = dict(points(data, "throughput"))
    assert seen[1.8] == pytest.approx(10.0)
    assert seen[2.6] == pytest.approx(2 / 0.4)
    assert seen[3.4] == pytest.approx(2 / 0.4)


def test_that_a_token_slower_than_the_window_still_has_a_rate() -> None:
    data = taken([stamps(0, 1.0, 3.0, 5.0)], batch_size=2)
    assert points(data, "throughput") == [(1.0, 1.0), (3.0, 1.0), (5.0, 1.0)]


def test_that_throughput_waits_until_the_batch_is_known() -> None:
    data = taken([stamps(0, *even(1.0, 11, 0.1))])
    assert len(data.channels["throughput"]) == 0
    data.take(request(0, 11, batch=3))
    assert points(data, "throughput")[-1] == (2.0, pytest.approx(30.0))


def test_that_an_unfinished_request_shows_its_last_token_when_the_trial_ends() -> None:
    data = taken([stamps(0, 1.0, 1.02, 1.04)], batch_size=1)
    assert len(data.channels["throughput"]) == 0
    data.take(TrialEnded(t_ns=at(2), outcome="failed", clock=ClockPair(0, at(2))))
    assert points(data, "throughput") == [(1.0, 50.0), (1.04, 50.0)]


@st.composite
def _runs(draw: st.DrawFn) -> tuple[list[float], list[Request], list[PhaseStarted], int]:
    times: list[float] = []
    requests, prefills = [], []
    clock, batch = 1.0, draw(st.integers(1, 4))
    for length in draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)):
        prefills.append(prefill(clock))
        clock += draw(st.floats(0.01, 1.0))
        requests.append(request(len(times), length, batch))
        for _ in range(length):
            times.append(clock)
            clock += draw(st.floats(0.001, 0.4))
    return times, requests, prefills, batch


@settings(max_examples=80, deadline=None)
@given(run=_runs(), data=st.data())
def test_that_live_and_stored_give_the_same_channels(
    run: tuple[list[float], list[Request], list[PhaseStarted], int], data: st.DataObject
) -> None:
    """However stamps are batched and whatever order boundaries become known in."""
    times, requests, prefills, batch = run
    end = TrialEnded(t_ns=at(99), outcome="completed", clock=ClockPair(0, at(99)))
    whole = taken([*requests, *prefills, stamps(0, *times), end], batch_size=batch)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(times)), max_size=5)))
    edges = [0, *cuts, len(times)]
    batches: list[Record] = [stamps(a, *times[a:b]) for a, b in itertools.pairwise(edges) if a < b]
    others: list[Record] = data.draw(st.permutations([*requests, *prefills]))
    mixed: list[Record] = []
    for batch_of_stamps in batches:
        before = data.draw(st.integers(0, len(others)))
        mixed += [*others[:before], batch_of_stamps]
        others = others[before:]
    mixed += others
    live = taken(
        [msgspec.structs.replace(record, seq=i) for i, record in enumerate([*mixed, end], start=1)], batch_size=batch
    )
    for key in ("gap", "throughput"):
        np.testing.assert_array_equal(live.channels[key].times, whole.channels[key].times)
        np.testing.assert_array_equal(live.channels[key].values, whole.channels[key].values)
    expected = sum(r.stamps - 1 for r in requests)
    assert len(whole.channels["gap"]) == expected


def test_that_a_long_trial_is_taken_quickly() -> None:
    """A million tokens in a thousand batches: linear, not quadratic. The last quarter costs about what the first did;
    quadratic it would be seven times as much. Of processor time, for a machine may stand still."""
    times = START + np.arange(1_000_000, dtype=np.int64) * 1_000_000
    batches = [Stamps(first=i, times_ns=times[i : i + 1000].tolist()) for i in range(0, 1_000_000, 1000)]
    data = taken([], batch_size=1)
    spent = []
    for quarter in range(4):
        begun = time.process_time()
        for i in range(quarter * 250, quarter * 250 + 250):
            data.take(batches[i])
            data.take(request(i * 1000, 1000))
        spent.append(time.process_time() - begun)
    assert spent[3] < 4 * max(spent[0], 0.02), spent
    assert len(data.channels["gap"]) == 999_000


def steps(count: int, **more: object) -> list[Step]:
    """Steps of 100 ms, one after the other, of 512 tokens."""
    return [
        Step(
            index=i,
            warmup=i < 1,
            start_ns=i * 200_000_000,
            end_ns=i * 200_000_000 + 100_000_000,
            tokens=512,
            samples=4,
            loss=5.0 - i,
            learning_rate=1e-4,
            **more,  # type: ignore[arg-type]
        )
        for i in range(count)
    ]


def test_that_training_steps_draw_their_loss_against_time_and_step() -> None:
    data = TrialData("t", "LoRA")
    for step in steps(3):
        data.take(step)
    drawn = {c.kind.id: c.curves[0] for c in charts_of(data) if c.curves}
    by_step = {c.kind.id: c.curves[0] for c in charts_of(data, "step") if c.curves}
    assert drawn["loss"].y.tolist() == by_step["loss"].y.tolist() == [5.0, 4.0, 3.0]
    assert by_step["loss"].x.tolist() == [1.0, 2.0, 3.0]
    assert drawn["loss"].x.tolist() == pytest.approx([0.1, 0.3, 0.5])
    assert drawn["throughput"].y.tolist() == pytest.approx([5120.0] * 3)
    assert [c.title for c in next(c for c in charts_of(data) if c.kind.id == "gradient_norm").curves] == ["Rate"]


def test_that_a_trial_that_does_not_train_has_no_chart_of_losses() -> None:
    assert not {"loss", "gradient_norm"} & {c.kind.id for c in charts_of(TrialData("t", "int8"))}
