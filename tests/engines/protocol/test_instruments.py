"""How fine the clock is and how fast the sensors are: scripted sensors, a scripted GPU, and this machine's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engines.host.instruments import clock_figures, smallest_step_ns
from engines.protocol.instruments import Instruments
from engines.protocol.records import Sensor
from engines.telemetry import rates
from engines.telemetry.base import Reading, SourceFailure
from engines.telemetry.rates import rate_of, sensor_rates, watch
from tests.fake_nvml import FakeGpu, FakeNvml

ROOT = Path(__file__).resolve().parents[3]
MILLISECOND = 1_000_000


class Clock:
    """Time that passes only when somebody sleeps or reads a sensor."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class Scripted:
    """A sensor whose value is renewed every `update_ms`; a reading takes `cost_us`."""

    name = "scripted"
    period_s = 0.1
    disturbs = False

    def __init__(self, clock: Clock, update_ms: float, cost_us: float = 100.0, fails_after: int | None = None) -> None:
        self._clock, self._update_ms, self._cost_us, self._left = clock, update_ms, cost_us, fails_after

    def sensors(self) -> tuple[Sensor, ...]:
        return (
            Sensor(source=self.name, quantity="power_watts", title="Power", method="script"),
            Sensor(source=self.name, quantity="clock_hertz", title="Clock", method="script"),
            Sensor(source=self.name, quantity="gone_ratio", title="Gone", method="script", available=False),
        )

    def read(self) -> Reading:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise SourceFailure("it stopped")
        self._clock.sleep(self._cost_us / 1e6)
        return {"power_watts": float(self._clock.ns // round(self._update_ms * MILLISECOND)), "clock_hertz": 1e9}

    def close(self) -> None: ...


def test_that_a_sensor_renewed_every_50_ms_is_found_to_be_one_of_20_hz() -> None:
    clock = Clock()
    rate = watch(Scripted(clock, update_ms=50), 3.0, {}, now_ns=clock.now_ns, sleep=clock.sleep)
    power, still = rate.quantities
    assert power.updates_hz == pytest.approx(20.0, rel=0.02)
    assert not power.at_least
    assert still.updates_hz is None, "a value that never changes tells no rate"
    assert still.changes == 0
    assert rate.read_us == pytest.approx(100.0)
    assert rate.share == pytest.approx(0.001), "100 us ten times a second"
    assert {q.quantity for q in rate.quantities} == {"power_watts", "clock_hertz"}, "what cannot be read has no rate"


def test_that_a_sensor_faster_than_it_is_read_is_said_to_be_at_least_that_fast() -> None:
    clock = Clock()
    rate = watch(Scripted(clock, update_ms=0.2), 1.0, {}, now_ns=clock.now_ns, sleep=clock.sleep)
    assert rate.quantities[0].at_least
    assert rate.quantities[0].updates_hz == pytest.approx(1000.0, rel=0.1), "as often as it was read"


def test_that_a_slow_sensor_is_read_no_more_than_half_of_the_time() -> None:
    clock = Clock()
    rate = watch(Scripted(clock, update_ms=1, cost_us=50_000), 2.0, {}, now_ns=clock.now_ns, sleep=clock.sleep)
    assert rate.reads * rate.read_us / 1e6 <= 0.55 * rate.span_s


def test_that_a_sensor_that_stops_keeps_what_was_seen_and_one_that_never_answers_has_no_rate() -> None:
    clock = Clock()
    seen = watch(Scripted(clock, 10, fails_after=40), 5.0, {}, now_ns=clock.now_ns, sleep=clock.sleep)
    assert seen.reads == 40
    assert watch(Scripted(clock, 10, fails_after=0), 5.0, {}, now_ns=clock.now_ns, sleep=clock.sleep) is None


def test_that_the_wait_before_the_first_change_does_not_count() -> None:
    times = [i * 100 * MILLISECOND for i in range(100)]
    values = [0.0] * 60 + [float(i) for i in range(40)]
    assert rate_of("q", "Q", times, values, reads=100).updates_hz == pytest.approx(10.0)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 2.0, 2.0, 3.0]])
def test_that_fewer_than_three_changes_tell_no_rate(values: list[float]) -> None:
    found = rate_of("q", "Q", [i * MILLISECOND for i in range(len(values))], values, reads=len(values))
    assert found.updates_hz is None
    assert not found.at_least


def test_that_every_call_to_a_gpu_is_timed_alone() -> None:
    found = sensor_rates(0.05, nvml_loader=lambda: FakeNvml(FakeGpu()))
    gpu = [source for source in found if source.source.startswith("nvml.")]
    calls = {q.quantity: q.call_us for q in gpu[0].quantities}
    assert {"power_watts", "energy_joules", "temperature_celsius", "utilisation_ratio"} <= set(calls)
    assert all(value is not None and value > 0 for value in calls.values())


def test_that_without_a_gpu_the_other_sensors_are_still_measured() -> None:
    found = sensor_rates(0.05, nvml_loader=lambda: FakeNvml())
    assert {"proc.tree", "proc.host"} <= {source.source for source in found}
    assert not [source for source in found if source.source.startswith("nvml.")]


def test_that_the_watched_process_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    real = subprocess.Popen

    def noted(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = real(*arguments, **options)  # type: ignore[call-overload]
        started.append(process.pid)
        return process

    monkeypatch.setattr(rates.subprocess, "Popen", noted)
    sensor_rates(0.02, nvml_loader=lambda: FakeNvml())
    assert started
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_that_the_clock_and_a_stamp_have_a_cost_and_a_step() -> None:
    figures = clock_figures()
    assert 0 < figures.resolution_ns <= 1e6
    assert figures.step_ns > 0
    assert 0 < figures.read_ns < figures.stamp_ns, "a stamp reads the clock and stores it"
    assert smallest_step_ns(1000) > 0


def test_that_the_command_prints_what_the_workbench_reads() -> None:
    # two seconds of each source: changes are seen in them though the machine stands still for one
    command = [sys.executable, "-m", "engines", "instruments", "--seconds", "2", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=240)
    found = msgspec.json.decode(done.stdout, type=Instruments)
    assert found.clock.stamp_ns > 0
    rss = next(q for s in found.sources for q in s.quantities if q.quantity == "rss_bytes")
    assert rss.updates_hz is not None, "the watched process's memory moves"
