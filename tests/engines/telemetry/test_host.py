"""The machine's own figures: processors, pressure, energy, temperature, on made-up /proc and /sys."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engines.telemetry import proc_host
from engines.telemetry.hwmon import CpuTemperature
from engines.telemetry.proc_host import ProcHost, ProcHostDetails
from engines.telemetry.rapl import Rapl


class FakeHost:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "pressure").mkdir()
        self.busy(0)
        self.pressure(0)
        (root / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 640 kB\n")

    def busy(self, ticks: int, idle: int = 0, steal: int = 0) -> None:
        (self.root / "stat").write_text(f"cpu  {ticks} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 2\n")

    def pressure(self, microseconds: int) -> None:
        for name in ("cpu", "memory"):
            text = f"some avg10=0 avg60=0 avg300=0 total={microseconds}\nfull avg10=0 avg60=0 avg300=0 total=0\n"
            (self.root / "pressure" / name).write_text(text)


class FakeTime:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ns = 1_000_000_000
        monkeypatch.setattr(proc_host.time, "monotonic_ns", lambda: self.ns)

    def pass_by(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def test_that_shares_are_of_the_time_between_two_readings(fake: FakeHost, clock: FakeTime) -> None:
    host, details = ProcHost(0.1, proc=fake.root), ProcHostDetails(proc=fake.root)
    assert not host.read()
    assert set(details.read()) == {"memory_available_bytes"}
    clock.pass_by(1.0)
    fake.busy(100, idle=60, steal=40)
    fake.pressure(250_000)
    reading = host.read() | details.read()
    details.close()
    assert reading["cpu_utilisation_ratio"] == pytest.approx(0.5)
    assert reading["steal_ratio"] == pytest.approx(0.2)
    assert reading["memory_available_bytes"] == 640 * 1024
    assert reading["pressure_cpu_ratio"] == pytest.approx(0.25)
    assert reading["pressure_memory_ratio"] == pytest.approx(0.25)
    host.close()


def test_that_neither_the_worker_nor_the_runner_is_foreign(fake: FakeHost, clock: FakeTime) -> None:
    tree, own = [0.0], [0.0]
    host = ProcHost(0.1, tree_seconds=lambda: tree[0], own_seconds=lambda: own[0], proc=fake.root)
    host.read()
    clock.pass_by(1.0)
    tree[0], own[0] = 1.5, 0.1
    fake.busy(200)
    assert host.read()["foreign_cpu_ratio"] == pytest.approx(0.4)
    clock.pass_by(1.0)
    tree[0] = 3.6
    fake.busy(400)
    assert host.read()["foreign_cpu_ratio"] == 0.0
    host.close()


def test_that_foreign_use_waits_for_some_history(fake: FakeHost, clock: FakeTime) -> None:
    host = ProcHost(0.1, own_seconds=lambda: 0.0, proc=fake.root)
    seen = []
    for step in range(8):
        fake.busy(step * 10)
        seen.append(host.read().get("foreign_cpu_ratio"))
        clock.pass_by(0.1)
    assert seen[:4] == [None] * 4
    assert seen[4:] == [pytest.approx(1.0)] * 4
    host.close()


@pytest.mark.parametrize(("rate_hz", "own_hz"), [(20.0, 2.0), (10.0, 2.0), (3.0, 1.5), (1.0, 1.0), (0.1, 0.1)])
def test_that_it_is_read_at_most_twice_a_second_and_never_alone(rate_hz: float, own_hz: float) -> None:
    host = ProcHost(1 / rate_hz)
    assert 1 / host.period_s == pytest.approx(own_hz)
    assert [sensor.rate_hz for sensor in host.sensors()] == pytest.approx([own_hz] * 3)
    multiple = host.period_s * rate_hz
    assert multiple == pytest.approx(round(multiple)), "a deadline of the fastest source is due as well"
    host.close()


def test_that_two_readings_within_one_tick_claim_nothing(fake: FakeHost, clock: FakeTime) -> None:
    host = ProcHost(0.1, proc=fake.root)
    host.read()
    clock.pass_by(0.001)
    assert "cpu_utilisation_ratio" not in host.read()
    host.close()


def test_that_a_kernel_without_pressure_is_explained_and_the_rest_goes_on(fake: FakeHost) -> None:
    (fake.root / "pressure" / "cpu").unlink()
    host = ProcHostDetails(proc=fake.root)
    sensors = {s.quantity: s for s in host.sensors()}
    assert "pressure" in sensors["pressure_cpu_ratio"].reason
    assert sensors["pressure_cpu_ratio"].hint
    assert sensors["pressure_memory_ratio"].available
    host.read()
    reading = host.read()
    assert "pressure_cpu_ratio" not in reading
    assert reading["pressure_memory_ratio"] == 0.0
    host.close()


def test_that_this_machine_is_read_within_bounds() -> None:
    host, details = ProcHost(0.1), ProcHostDetails()
    host.read()
    details.read()
    time.sleep(0.1)
    reading = host.read() | details.read()
    host.close()
    details.close()
    assert {"cpu_utilisation_ratio", "steal_ratio", "memory_available_bytes"} <= set(reading)
    assert all(value is not None and 0 <= value <= 1 for key, value in reading.items() if key.endswith("_ratio"))


# --- energy and temperature ---


def rapl_zone(sys: Path, name: str, kind: str, microjoules: int, span: int = 1_000_000) -> Path:
    zone = sys / "class" / "powercap" / name
    zone.mkdir(parents=True, exist_ok=True)
    (zone / "name").write_text(f"{kind}\n")
    (zone / "energy_uj").write_text(f"{microjoules}\n")
    (zone / "max_energy_range_uj").write_text(f"{span}\n")
    return zone


def test_that_rapl_counts_packages_only_and_survives_wrap_around(tmp_path: Path) -> None:
    first = rapl_zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    second = rapl_zone(tmp_path, "intel-rapl:1", "package-1", 100_000)
    rapl_zone(tmp_path, "intel-rapl:0:0", "core", 5)
    rapl_zone(tmp_path, "intel-rapl:2", "psys", 5)
    rapl_zone(tmp_path, "intel-rapl-mmio:0", "package-0", 900_000)
    rapl = Rapl(0.1, sys=tmp_path)
    assert rapl.read() == {"energy_joules": 0.0}
    (first / "energy_uj").write_text("200000\n")
    (second / "energy_uj").write_text("300000\n")
    reading = rapl.read()
    assert reading["energy_joules"] == pytest.approx(0.3 + 0.2)
    assert reading["power_watts"] is not None
    assert reading["power_watts"] > 0
    assert "2 processor packages" in rapl.sensors()[0].method
    rapl.close()


def test_that_missing_rapl_says_what_is_missing(tmp_path: Path) -> None:
    assert "no /sys/class/powercap" in Rapl(0.1, sys=tmp_path).sensors()[0].reason
    rapl_zone(tmp_path, "intel-rapl:2", "psys", 5)
    assert "no RAPL package" in Rapl(0.1, sys=tmp_path).sensors()[0].reason


def test_that_a_counter_only_root_may_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = rapl_zone(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj"
    plain = Path.read_bytes

    def denied(path: Path) -> bytes:  # tests may run as root, whom no mode keeps out
        if path == counter:
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    energy, power = Rapl(0.1, sys=tmp_path).sensors()
    assert energy.reason == power.reason == "energy_uj is readable by root only."
    assert "chmod" in energy.hint


def hwmon_chip(sys: Path, number: int, name: str, **values: str) -> None:
    chip = sys / "class" / "hwmon" / f"hwmon{number}"
    chip.mkdir(parents=True)
    (chip / "name").write_text(f"{name}\n")
    for key, value in values.items():
        (chip / key).write_text(f"{value}\n")


def test_that_the_hottest_package_is_the_processors_temperature(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 0, "nvme", temp1_input="90000")
    hwmon_chip(
        tmp_path,
        1,
        "coretemp",
        temp1_input="40000",
        temp1_label="Core 0",
        temp2_input="51500",
        temp2_label="Package id 0",
    )
    hwmon_chip(tmp_path, 2, "k10temp", temp1_input="47000")
    source = CpuTemperature(sys=tmp_path)
    assert source.read() == {"temperature_celsius": 51.5}
    assert source.sensors()[0].available
    source.close()


def test_that_a_machine_without_a_thermometer_says_so(tmp_path: Path) -> None:
    hwmon_chip(tmp_path, 0, "nvme", temp1_input="90000")
    (only,) = CpuTemperature(sys=tmp_path).sensors()
    assert not only.available
    assert "temperature" in only.reason
    assert only.hint
