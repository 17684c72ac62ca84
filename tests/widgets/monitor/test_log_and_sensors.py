"""Log, sensors and facts of a trial: filters, models, units, and what is missing."""

from __future__ import annotations

import pytest
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from engines.protocol.records import Cue, Log, Sensor, SensorLost, Sensors, Telemetry
from tests.widgets.monitor.kit import arrive, full_queue, stream
from widgets.monitor.log_model import LogModel
from widgets.monitor.page import MonitorPage
from widgets.monitor.sensor_panel import EnvironmentModel, SensorModel
from widgets.monitor.sensor_rows import quantity_text, sensor_rows
from widgets.theme.theme import Theme
from workbench.charts.series import TrialData


def test_that_the_log_shows_cues_as_warnings_and_filters(page: MonitorPage, qtbot: QtBot) -> None:
    arrive(page, full_queue())
    records = stream(part=0.5)
    extra = (
        Log(level="debug", source="torch", text="details", t_ns=records[-1].t_ns),
        Cue(code="clocks", text="the clock fell", t_ns=records[-1].t_ns),
    )
    page.services.bridge.records_arrived.emit("t-1", records + extra)
    qtbot.waitUntil(lambda: "the clock fell" in page.log.model.text_of(range(page.log.model.rowCount())))
    assert "details" not in page.log.model.text_of(range(page.log.model.rowCount()))
    page.log.filter.setText("cl.cks")
    qtbot.waitUntil(lambda: page.log.model.rowCount() == 1)
    page.log.filter.setText("[")
    qtbot.waitUntil(lambda: bool(page.log.filter.toolTip()))
    path = page.log.write_file()
    assert path.exists()


def test_that_the_log_and_sensor_models_are_good_item_models(
    qtbot: QtBot, theme: Theme, qtmodeltester: ModelTester
) -> None:
    log = LogModel(theme)
    lines = [Log(level="info", source="runner", text=f"line {i}", t_ns=i) for i in range(5)]
    log.set_log(lines, [], str)
    qtmodeltester.check(log)
    lines.append(Log(level="error", source="stderr", text="broken\nin two lines", t_ns=9))
    assert log.update()
    assert log.rowCount() == 6
    sensors, facts = SensorModel(), EnvironmentModel()
    data = TrialData(trial="t", title="t")
    for record in stream():
        data.take(record)
    sensors.show_rows(sensor_rows(data))
    facts.show_facts({"gpu.driver": "580", "python": "3.11"})
    for model in (sensors, facts):
        qtmodeltester.check(model)


def test_that_missing_and_lost_sensors_say_why_and_never_zero() -> None:
    data = TrialData(trial="t", title="t")
    made = {"method": "NVML", "rate_hz": 10.0}
    data.take(
        Sensors(
            sensors=(
                Sensor(source="nvml.0", quantity="power_watts", title="Power", **made),
                Sensor(source="proc.tree", quantity="rss_bytes", title="Memory", **made),
                Sensor(
                    source="rapl",
                    quantity="power_watts",
                    title="CPU power",
                    available=False,
                    reason="Root only.",
                    **made,
                ),
            )
        )
    )
    data.take(SensorLost(source="nvml.0", reason="The driver went away."))
    rows = {r.title: r for r in sensor_rows(data)}
    assert rows["Memory"].value == "no reading yet"
    assert not rows["Power"].available
    assert "The driver went away." in rows["Power"].reason
    assert (rows["CPU power"].value, rows["CPU power"].reason) == ("not available", "Root only.")


def test_that_the_rate_is_the_one_at_which_readings_really_come() -> None:
    data = TrialData(trial="t", title="t")
    announced = [
        Sensor(source="proc.tree", quantity=q, title=q, method="/proc", rate_hz=hertz)
        for q, hertz in (("pss_bytes", 1.0), ("rss_bytes", 10.0), ("threads_count", 10.0), ("cpu_seconds", 0.0))
    ]
    data.take(Sensors(sensors=tuple(announced)))
    every_4_s, fast = [i * 4_040_000_000 for i in range(5)], [i * 104_000_000 for i in range(20)]
    data.take(Telemetry(source="proc.tree", times_ns=every_4_s, columns={"pss_bytes": [1.0] * 5}))
    data.take(Telemetry(source="proc.tree", times_ns=fast, columns={"rss_bytes": [1.0] * 20}))
    rates = {row.title: row.rate for row in sensor_rows(data)}
    assert rates == {
        "pss_bytes": "0.25 Hz",
        "rss_bytes": "10 Hz",
        "threads_count": "10 Hz",
        "cpu_seconds": "at ends",
    }


@pytest.mark.parametrize(
    ("quantity", "value", "text"),
    [
        ("rss_bytes", 2.11 * 1024**3, "2.11 GiB"),
        ("utilisation_ratio", 0.93, "93.0 %"),
        ("power_watts", 404.2, "404 W"),
        ("energy_joules", 2410.0, "2.41 kJ"),
        ("sm_clock_hertz", 1.965e9, "1,965 MHz"),
        ("temperature_celsius", 47.0, "47 °C"),
        ("swap_bytes", 0.0, "0 B"),
    ],
)
def test_that_readings_carry_units_people_use(quantity: str, value: float, text: str) -> None:
    assert quantity_text(quantity, value) == text
