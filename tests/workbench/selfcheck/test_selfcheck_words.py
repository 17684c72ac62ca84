"""What the self-check says of its figures: value, interval, bar, meaning, cautions."""

from __future__ import annotations

import msgspec

from engines.protocol.instruments import ClockFigures, Instruments, QuantityRate, SourceRate
from tests.workbench.selfcheck.selfcheck_kit import ratio, result
from workbench.selfcheck.words import NOT_MEASURED, cautions, headline, rows, update_rate


def test_that_every_figure_is_said_with_its_interval_its_bar_and_what_it_means() -> None:
    said = {row.title: row for row in rows(result())}
    assert said["Telemetry, throughput"].value == "−0.20 % (−0.60 to +0.20)"
    assert "in turns within trials" in said["Telemetry, throughput"].meaning
    assert "opening the sensors at the start is not in it" in said["Telemetry, throughput"].meaning
    assert said["Telemetry, throughput"].verdict == "passed"
    assert "at most 0.60 %" in said["Telemetry, throughput"].meaning
    assert said["Runner and sampler"].value == "0.92 % (0.69 to 1.15)"
    assert "0.50 %" in said["The same twice (A/A)"].meaning
    assert all(row.meaning.endswith(".") for row in said.values())
    assert headline(result()).endswith("18 min, 31 blocks, 124 trials")


def test_that_what_was_not_measured_has_no_number() -> None:
    bare = result(telemetry=None, again=None, runner=None, blocks=0, trials=0)
    said = rows(bare)
    assert {row.value for row in said} == {NOT_MEASURED}
    assert all(row.verdict is None for row in said)


def test_that_a_loss_that_shows_and_a_gain_are_said_as_such() -> None:
    slower = rows(result(telemetry=ratio(0.97, 0.98)))[0]
    assert "costs 2.0 to 3.0 %" in slower.meaning
    assert slower.verdict == "missed"
    assert "nothing that shows" in rows(result(telemetry=ratio(1.001, 1.02)))[0].meaning
    assert "cannot give 10 to 12 % more" in rows(result(telemetry=ratio(1.10, 1.12)))[0].meaning


def test_that_a_busy_computer_a_second_window_and_an_early_end_are_cautions() -> None:
    said = " ".join(cautions(result(foreign_cores=0.9, other_window=True, ended="time", window_shown="offscreen")))
    for word in ("busy", "0.9 cores", "Another window", "Time ran out", "offscreen"):
        assert word in said
    assert cautions(result(foreign_cores=0.02)) == ()


def test_that_rates_are_said_with_what_is_known_of_them() -> None:
    rate = QuantityRate(quantity="power_watts", title="Power", changes=9, updates_hz=19.96)
    assert update_rate(rate) == "20 Hz"
    assert update_rate(msgspec.structs.replace(rate, at_least=True, updates_hz=873.0)) == "≥ 873 Hz"
    assert update_rate(msgspec.structs.replace(rate, updates_hz=None)) == "seldom"


def test_that_clock_and_sensors_are_rows() -> None:
    clock = ClockFigures(name="tsc", resolution_ns=1.0, step_ns=30, read_ns=51.0, stamp_ns=157.0)
    source = SourceRate(source="nvml.GPU-1", period_s=0.1, reads=9, span_s=1.0, read_us=500.0, read_us_most=900.0,
                        quantities=())  # fmt: skip
    said = {row.title: row for row in rows(result(instruments=Instruments(clock=clock, sources=(source,))))}
    assert said["Stamp of a token"].value == "157 ns"
    assert said["Reading all sensors"].value == "0.50 %", "half a millisecond ten times a second"
