"""A wall meter's file: read in its many spellings, tied to the trial's clock, integrated, refused with a reason."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from engines.protocol.records import ClockPair, Record, Request
from tests.workbench.store_kit import add_experiment, lines
from tests.workbench.synthetic import SECOND, WALL_NS, FakeTrial, clock_jump, records
from workbench.metrics.assumptions import Assumptions
from workbench.running.intake import evaluate
from workbench.running.wall_meter import (
    WallMeterError,
    WallReadings,
    import_wall_meter,
    parse_wall_meter,
    to_trial_clock,
)
from workbench.store.local import LocalStore
from workbench.store.operations import AddSamples, GetExperiment, Ingest, MetricRow, Query, StoreError
from workbench.store.records import load_trial

NOON_NS = 1_772_366_400 * SECOND
"""2026-03-01 12:00:00 UTC."""


@pytest.mark.parametrize(
    "text",
    [
        "time,watts\n2026-03-01T12:00:00Z,50\n2026-03-01T12:00:01Z,60.5\n",
        "timestamp;power (W)\n2026-03-01 12:00:00;50,0\n2026-03-01 12:00:01;60,5\n",
        "Date\tTime\tActive Power [kW]\n2026/03/01\t12:00:00\t0.05\n2026/03/01\t12:00:01\t0.0605\n",
        "epoch,volts,power_w\n1772366400,231,50\n1772366401,231,60.5\n",
        "\ufeff# a meter\nunix time,W\n1772366401.000,60.5\n1772366400.000,50\n",
        "1772366400000,50 W\n1772366401000,60.5 W\n",
        'Time,Value\n"2026-03-01T13:00:00+01:00",50\n"2026-03-01T13:00:01+01:00",60.5\n\n',
        "t,watts,watts_max\n1772366400,50,1\n1772366400.5,,1\n1772366401,60.5,1\n",
        "1772366400,0.05 kW\n1772366401,60500 mW\n",
        'time,power (mW)\n1772366400,"50,000"\n1772366401,"60,500.0"\n',
        "time;power (mW)\n1772366400;50.000,0\n1772366401;60.500,0\n",
    ],
)
def test_that_a_meters_file_is_read_in_its_usual_spellings(text: str) -> None:
    found = parse_wall_meter(text, UTC)
    assert found.times_ns == (NOON_NS, NOON_NS + SECOND)
    assert found.watts == pytest.approx((50.0, 60.5))


def test_that_a_time_without_a_zone_is_in_the_one_named() -> None:
    text = "time,watts\n2026-03-01T14:00:00,50\n2026-03-01T14:00:01,60\n"
    assert parse_wall_meter(text, timezone(timedelta(hours=2))).times_ns[0] == NOON_NS


def test_that_a_time_without_a_zone_is_this_computers_with_its_summer_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        winter = parse_wall_meter("time,watts\n2026-03-01T13:00:00,50\n2026-03-01T13:00:01,60\n")
        summer = parse_wall_meter("time,watts\n2026-07-01T14:00:00,50\n2026-07-01T14:00:01,60\n")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert winter.times_ns[0] == NOON_NS
    assert summer.times_ns[0] == NOON_NS + 122 * 86_400 * SECOND


@pytest.mark.parametrize(
    ("text", "watts"),
    [
        ('time,watts\n1772366400,"1,002"\n1772366401,"998,5"\n', (1.002, 998.5)),
        ('time,watts\n1772366400,"1,002"\n1772366401,998.5\n', (1002.0, 998.5)),
        ('time,watts\n1772366400,"1,002"\n1772366401,"1,002,003"\n', (1002.0, 1_002_003.0)),
        ("time;watts\n1772366400;1,002\n1772366401;998\n", (1.002, 998.0)),
        ("time;watts\n1772366400;1,002\n1772366401;998.5\n", (1002.0, 998.5)),
        ("time;watts\n1772366400;1.002\n1772366401;998\n", (1.002, 998.0)),
    ],
)
def test_that_the_column_decides_what_a_comma_before_three_digits_is(text: str, watts: tuple[float, ...]) -> None:
    assert parse_wall_meter(text).watts == watts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no readings"),
        ("time,volts\n2026-03-01T12:00:00,230\n", "No column of watts"),
        ("when,watts\n2026-03-01T12:00:00,230\n", "No column of times"),
        ("time,watts\n2026-03-01T12:00:00,lots\n", "Line 2: 'lots' is no power"),
        ("time,watts\nyesterday,12\n", "Line 2: 'yesterday' is not a time"),
        ("time,watts\n17,12\n", "Line 2: '17' is not a time of this century"),
        ("time,watts\n2026-03-01T12:00:00,-4\n", "below zero"),
        ("time,watts\n2026-03-01T12:00:00\n", "1 columns; 2 are needed"),
        ("time,watts\n2026-03-01T12:00:00,4\n", "1 readings; energy needs two"),
        ('time,watts\n1772366400,998\n1772366401,"1,002"\n', "Line 3: the power 1,002 may be 1002 or 1.002"),
        ("time\twatts\n1772366400\t1,002 W\n1772366401\t1\n", "Line 2: the power 1,002 W may be 1002 or 1.002"),
        ('time,watts\n1772366400,"998,5"\n1772366401,12.5\n', "Line 2 has a decimal comma .*, line 3 a decimal point"),
        ("time,watts\n1772366400,12\n1772366401,998,5\n", "Line 3 has 3 columns, the first line 2"),
        ("1772366400,12,5\n1772366401,998,5\n", "no headings and 3 columns"),
    ],
)
def test_that_a_file_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(WallMeterError, match=words):
        parse_wall_meter(text)


def test_that_wall_times_become_times_of_the_trials_own_clock() -> None:
    begin, end = ClockPair(NOON_NS, 7 * SECOND), ClockPair(NOON_NS + 10 * SECOND, 17 * SECOND + SECOND // 2)
    inside = WallReadings(tuple(NOON_NS + i * SECOND for i in range(-20, 30)), tuple(float(i) for i in range(-20, 30)))
    found = to_trial_clock(inside, begin, end)
    at = dict(zip(found.watts, found.times_ns, strict=True))
    assert (at[0.0], at[10.0]) == (7 * SECOND, 17 * SECOND + SECOND // 2)
    assert (min(at), max(at)) == (-5.0, 15.0)
    with pytest.raises(WallMeterError, match="not of this trial's time"):
        to_trial_clock(WallReadings((1, 2), (1.0, 1.0)), begin, end)
    with pytest.raises(WallMeterError, match="clock jumped"):
        to_trial_clock(inside, begin, ClockPair(NOON_NS + 10 * SECOND, 90 * SECOND))


def stored_trial(store: LocalStore, stream: tuple[Record, ...]) -> tuple[Record, ...]:
    add_experiment(store, "t-1")
    store.execute(Ingest(trial="t-1", lines=lines(stream)))
    evaluate(store, "t-1")
    return stream


def metric(store: LocalStore, id: str) -> MetricRow:
    return next(m for m in store.execute(GetExperiment()).metrics if m.metric == id)


def meter_file(path: Path, watts: float, seconds: int = 40, behind_s: float = 0.0) -> Path:
    start = datetime.fromtimestamp(WALL_NS / SECOND, UTC) - timedelta(seconds=3 + behind_s)
    rows = [f"{(start + timedelta(seconds=i)).isoformat()},{watts}" for i in range(seconds)]
    path.write_text("time,watts\n" + "\n".join(rows) + "\n")
    return path


def test_that_an_imported_meter_gives_the_energy_of_the_measured_window(store: LocalStore, tmp_path: Path) -> None:
    stream = stored_trial(store, records(FakeTrial()))
    assert "No wall meter" in metric(store, "wall_energy_joules").reason
    assert import_wall_meter(store, "1", meter_file(tmp_path / "plug.csv", 120.0)) > 10
    measured = [r for r in stream if isinstance(r, Request) and not r.warmup]
    window_s = (measured[-1].end_ns - measured[0].start_ns) / SECOND
    found = metric(store, "wall_energy_joules")
    assert found.value == pytest.approx(120.0 * window_s)
    assert found.scope == "whole machine at the wall"
    assert "wall_meter/power_watts" in load_trial(store, "t-1").channels
    # the device's own energy stays what it was: not measured
    assert metric(store, "energy_joules").value is None


def test_that_a_meter_here_is_tied_to_a_machine_whose_clock_is_ahead(store: LocalStore, tmp_path: Path) -> None:
    stored_trial(store, records(FakeTrial()))
    here = meter_file(tmp_path / "plug.csv", 120.0, behind_s=3600.0)
    with pytest.raises(WallMeterError, match="not of this trial's time"):
        import_wall_meter(store, "t-1", here)
    clock = AddSamples(trial="t-1", source="clock", quantity="ahead_s", times_ns=(1,), values=(3600.0,))
    store.execute(clock)
    assert import_wall_meter(store, "t-1", here) > 10
    assert metric(store, "wall_energy_joules").value is not None


def test_that_importing_again_replaces_and_keeps_where_it_came_from(store: LocalStore, tmp_path: Path) -> None:
    stored_trial(store, records(FakeTrial()))
    first = import_wall_meter(store, "t-1", meter_file(tmp_path / "a.csv", 100.0))
    second = import_wall_meter(store, "t-1", meter_file(tmp_path / "b.csv", 200.0), assumptions=Assumptions())
    rows = store.execute(Query(sql="SELECT count(*), min(value) FROM samples WHERE source = 'wall_meter'")).rows
    assert rows == ((second, 200.0),)
    assert first == second
    kept = store.execute(Query(sql="SELECT kind, path, length(sha256) FROM artifacts")).rows
    assert kept == (("wall_meter", "b.csv", 64),)


def test_that_a_meter_that_cannot_be_tied_to_the_trial_stores_nothing(store: LocalStore, tmp_path: Path) -> None:
    stored_trial(store, clock_jump(records(FakeTrial())))
    with pytest.raises(WallMeterError, match="clock jumped"):
        import_wall_meter(store, "t-1", meter_file(tmp_path / "a.csv", 100.0))
    with pytest.raises(StoreError):
        import_wall_meter(store, "t-none", tmp_path / "a.csv")
    with pytest.raises(WallMeterError, match="cannot be read"):
        import_wall_meter(store, "t-1", tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WallMeterError, match="is not text"):
        import_wall_meter(store, "t-1", tmp_path / "binary.csv")
    assert store.execute(Query(sql="SELECT count(*) FROM samples WHERE seq = 0")).rows == ((0,),)


def test_that_too_few_readings_in_the_window_are_not_measurable(store: LocalStore, tmp_path: Path) -> None:
    stored_trial(store, records(FakeTrial()))
    start = datetime.fromtimestamp(WALL_NS / SECOND, UTC)
    rows = [f"{(start + timedelta(seconds=10 * i)).isoformat()},90" for i in range(4)]
    (tmp_path / "slow.csv").write_text("time,watts\n" + "\n".join(rows))
    import_wall_meter(store, "t-1", tmp_path / "slow.csv")
    assert "readings of the wall meter fell into the measured window" in metric(store, "wall_energy_joules").reason
