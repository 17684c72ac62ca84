"""The sampler's thread: its grid of deadlines, batches, lost sensors, and a whole trial's telemetry."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import pytest

from engines.protocol.orders import TelemetryOrder
from engines.protocol.records import Log, Record, Sensor, SensorLost, Sensors, Telemetry
from engines.telemetry import sampler as sampler_module
from engines.telemetry.base import Reading, Source, SourceEnded, SourceFailure
from engines.telemetry.sampler import Sampler, _Polled
from engines.telemetry.sources import available_sensors, open_sources, period_of
from tests.builders import trial_order
from tests.engines.runner_harness import until
from tests.fake_nvml import FakeGpu, FakeNvml, NVMLError, NVMLError_LibraryNotFound

ORDER = trial_order(telemetry=TelemetryOrder(rate_hz=20))


class Scripted:
    """A source that answers from a function of how often it was asked."""

    def __init__(
        self,
        name: str,
        answer: Callable[[int], Reading],
        *,
        period_s: float = 0.02,
        quantities: tuple[str, ...] = ("value_ratio",),
        disturbs: bool = False,
    ) -> None:
        self.name = name
        self.period_s = period_s
        self.disturbs = disturbs
        self.asked = 0
        self.closed = 0
        self._answer = answer
        self._quantities = quantities

    def sensors(self) -> tuple[Sensor, ...]:
        return tuple(Sensor(source=self.name, quantity=q, title=q, method="scripted") for q in self._quantities)

    def read(self) -> Reading:
        self.asked += 1
        return self._answer(self.asked)

    def close(self) -> None:
        self.closed += 1


class Trial:
    """A sampler with what it said."""

    def __init__(self, *sources: Source, missing: tuple[Sensor, ...] = ()) -> None:
        self.records: list[Record] = []
        self.sampler = Sampler(ORDER, 1, self.records.append, opener=lambda _order, _pid: (list(sources), missing))

    def run(self, seen: Callable[[], object]) -> list[Record]:
        """Sample until something is seen."""
        self.sampler.start()
        try:
            until(seen, what="what the trial waits for")
        finally:
            self.sampler.stop()
        return self.records

    def values(self, source: str, quantity: str = "value_ratio") -> list[float | None]:
        return [v for b in self.batches(source) for v in b.columns.get(quantity, [None] * len(b.times_ns))]

    def batches(self, source: str) -> list[Telemetry]:
        return [r for r in self.records if isinstance(r, Telemetry) and r.source == source]

    def of(self, kind: type) -> list[Record]:
        return [r for r in self.records if isinstance(r, kind)]


@pytest.fixture(autouse=True)
def no_thread_outlives_its_test() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "telemetry"]


def test_that_sensors_come_first_and_every_reading_follows_in_order() -> None:
    source = Scripted("a", lambda n: {"value_ratio": float(n)})
    missing = Sensor(source="b", quantity="x_watts", title="x", method="", available=False, reason="There is none.")
    trial = Trial(source, missing=(missing,))
    trial.run(lambda: source.asked >= 10)
    first = trial.records[0]
    assert isinstance(first, Sensors)
    assert [s.source for s in first.sensors] == ["a", "b"]
    assert trial.values("a") == [float(n) for n in range(1, source.asked + 1)]
    assert source.closed == 1


@pytest.mark.parametrize("late_ns", [0, 1, 19_999_999, 20_000_000, 20_000_001, 1_310_000_000])
def test_that_a_deadline_stays_on_the_grid_of_the_first_however_late_a_reading_was(late_ns: int) -> None:
    start_ns, period_ns = 1_000, 20_000_000
    channel = _Polled(Scripted("a", lambda n: {"value_ratio": 1.0}, period_s=0.02), start_ns)
    for n in range(1, 6):
        now_ns = channel.next_ns + late_ns
        channel.schedule(now_ns)
        assert channel.next_ns == start_ns + period_ns * (n + channel.missed)
        assert now_ns < channel.next_ns <= now_ns + period_ns


def test_that_deadlines_do_not_drift() -> None:
    """Readings and those left out together are as many as there were periods, on a machine that stands still too."""
    source = Scripted("a", lambda n: {"value_ratio": 1.0}, period_s=0.02)
    trial = Trial(source)
    before_ns = time.monotonic_ns()
    trial.run(lambda: source.asked >= 25)
    after_ns = time.monotonic_ns()
    times = [t for batch in trial.batches("a") for t in batch.times_ns]
    periods = len(times) - 1 + trial.sampler.missed  # the last reading, at the end, has no deadline
    assert times == sorted(times)
    assert all(t >= before_ns + n * 20_000_000 for n, t in enumerate(times[:-1])), "none before its deadline"
    assert times[-2] - times[0] < periods * 20_000_000 < after_ns - before_ns + 20_000_000


def test_that_a_slow_source_misses_readings_keeps_the_grid_and_says_so() -> None:
    def slow(n: int) -> Reading:
        time.sleep(0.05)
        return {"value_ratio": 1.0}

    source = Scripted("a", slow, period_s=0.02)
    trial = Trial(source)
    trial.run(lambda: source.asked >= 6)
    assert trial.sampler.missed >= 8, "two at least of every reading"
    (note,) = [r for r in trial.records if isinstance(r, Log) and r.level == "info"]
    assert "left out" in note.text


def test_that_a_hole_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "GAP_S", 0.25)

    def stuck(n: int) -> Reading:
        time.sleep(0.3 if n == 2 else 0)
        return {"value_ratio": 1.0}

    source = Scripted("a", stuck)
    trial = Trial(source)
    trial.run(lambda: source.asked >= 4)
    warnings = [r.text for r in trial.records if isinstance(r, Log) and r.level == "warning"]
    holes = [float(hole[1]) for text in warnings if (hole := re.search(r"gap of (\d+\.\d) s", text))]
    assert len(holes) == len(warnings) >= 1, "more than one where the machine itself stood still, too"
    assert max(holes) >= 0.3


def test_that_batches_go_out_at_every_flush_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sampler_module.FLUSH_NS == 1e9, "about once a second"
    monkeypatch.setattr(sampler_module, "FLUSH_NS", 200_000_000)
    source = Scripted("a", lambda n: {"value_ratio": float(n)})
    trial = Trial(source)
    begun = time.monotonic()
    trial.run(lambda: len(trial.batches("a")) >= 2)
    batches, elapsed = trial.batches("a"), time.monotonic() - begun
    assert 3 <= len(batches) <= elapsed / 0.2 + 1, (
        "two while it ran and one at the end; no more than there were flushes"
    )
    assert [v for b in batches for v in b.columns["value_ratio"]] == [float(n) for n in range(1, source.asked + 1)]


@pytest.mark.parametrize("error", [SourceFailure("gone"), OSError(5, "gone"), ValueError("gone")])
def test_that_a_sensor_is_lost_after_three_failures_and_others_go_on(error: Exception) -> None:
    def answer(n: int) -> Reading:
        if n > 3:
            raise error
        return {"value_ratio": 1.0}

    failing, healthy = Scripted("a", answer), Scripted("b", lambda n: {"value_ratio": 2.0})
    trial = Trial(failing, healthy)
    trial.run(lambda: trial.of(SensorLost) and healthy.asked > 9)
    (lost,) = trial.of(SensorLost)
    assert isinstance(lost, SensorLost)
    assert (lost.source, lost.quantity) == ("a", "")
    assert "gone" in lost.reason
    assert failing.asked == 6
    assert trial.values("a") == [1.0, 1.0, 1.0, None, None, None]
    assert healthy.asked > 7
    assert failing.closed == healthy.closed == 1


def test_that_two_failures_in_a_row_are_forgiven() -> None:
    def answer(n: int) -> Reading:
        if n % 3:
            raise SourceFailure("hiccup")
        return {"value_ratio": 1.0}

    source = Scripted("a", answer)
    trial = Trial(source)
    trial.run(lambda: source.asked >= 9)
    assert not trial.of(SensorLost)
    assert trial.values("a")[:6] == [None, None, 1.0, None, None, 1.0]


def test_that_one_vanished_quantity_is_said_while_its_source_goes_on() -> None:
    source = Scripted(
        "a",
        lambda n: {"value_ratio": 1.0, "power_watts": 5.0 if n < 3 else None},
        quantities=("value_ratio", "power_watts"),
    )
    trial = Trial(source)
    trial.run(lambda: source.asked >= 9)
    (lost,) = trial.of(SensorLost)
    assert isinstance(lost, SensorLost)
    assert (lost.source, lost.quantity) == ("a", "power_watts")
    assert trial.values("a").count(1.0) == source.asked
    assert [v for v in trial.values("a", "power_watts") if v is not None] == [5.0, 5.0]


def test_that_the_end_of_the_worker_is_not_a_lost_sensor() -> None:
    def answer(n: int) -> Reading:
        if n > 2:
            raise SourceEnded
        return {"value_ratio": 1.0}

    others = Scripted("b", lambda n: {"value_ratio": 2.0})
    trial = Trial(Scripted("a", answer), others)
    trial.run(lambda: others.asked > 6)
    assert not trial.of(SensorLost)
    assert trial.values("a") == [1.0, 1.0]
    assert len(trial.values("b")) > 5


def test_that_a_quantity_without_a_value_yet_is_neither_zero_nor_lost() -> None:
    source = Scripted("a", lambda n: {"value_ratio": 1.0} if n > 4 else {}, period_s=0.02)
    trial = Trial(source)
    trial.run(lambda: source.asked >= 9)
    assert set(trial.values("a")) == {1.0}
    assert not trial.of(SensorLost)


def test_that_disturbing_queries_wait_while_a_request_is_measured() -> None:
    heavy = Scripted("a", lambda n: {"value_ratio": 1.0}, disturbs=True)
    light = Scripted("b", lambda n: {"value_ratio": 1.0})
    trial = Trial(heavy, light)
    trial.sampler.set_measuring(True)
    asked_early: list[int] = []

    def seen() -> bool:
        if light.asked > 5 and not asked_early:
            asked_early.append(heavy.asked)
            trial.sampler.set_measuring(False)
        return heavy.asked >= 1

    trial.run(seen)
    assert asked_early == [0]


def test_that_in_a_pause_nothing_is_read_and_what_was_read_is_not_lost() -> None:
    source = Scripted("a", lambda n: {"value_ratio": float(n)})
    trial = Trial(source)
    trial.sampler.start()
    until(lambda: source.asked > 3)
    trial.sampler.set_paused(True)
    asked = source.asked
    time.sleep(0.3)
    assert source.asked <= asked + 1, "at most the reading that was under way"
    trial.sampler.set_paused(False)
    until(lambda: source.asked > asked + 3)
    trial.sampler.stop()
    assert trial.values("a") == [float(n) for n in range(1, source.asked + 1)]


def test_that_after_a_pause_readings_go_on_where_their_grid_was_and_none_is_missed() -> None:
    channel = _Polled(Scripted("a", lambda n: {}, period_s=0.1), 0)
    channel.append(0, 0, {"value_ratio": 1.0})
    for now_ns, expected_ns in ((350_000_000, 400_000_000), (400_000_000, 400_000_000), (900_000_001, 1_000_000_000)):
        channel.pass_over(now_ns)
        assert channel.next_ns == expected_ns
    channel.append(1_000_000_000, 1_000_000_000, {"value_ratio": 1.0})
    channel.append(1_100_000_000, 1_100_000_000, {"value_ratio": 1.0})
    assert (channel.missed, channel.longest_gap_ns) == (0, 100_000_000)


def test_that_a_paused_sampler_can_be_stopped_and_reads_once_more() -> None:
    source = Scripted("a", lambda n: {"value_ratio": float(n)})
    trial = Trial(source)
    trial.sampler.set_paused(True)
    trial.sampler.start()
    until(lambda: trial.records)
    trial.sampler.stop()
    assert trial.values("a") == [1.0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_that_an_unforeseen_error_is_in_the_trials_record_and_sources_are_closed() -> None:
    def answer(n: int) -> Reading:
        raise RuntimeError("driver bug")

    source = Scripted("a", answer)
    trial = Trial(source)
    trial.run(lambda: trial.records[1:])
    (said,) = trial.of(Log)
    assert isinstance(said, Log)
    assert (said.level, "driver bug" in said.text) == ("error", True)
    assert source.closed == 1


def test_that_switched_off_telemetry_starts_nothing() -> None:
    records: list[Record] = []
    order = msgspec.structs.replace(ORDER, telemetry=TelemetryOrder(enabled=False))
    sampler = Sampler(order, 1, records.append)
    sampler.start()
    sampler.stop()
    sampler.stop()
    assert [type(r) for r in records] == [Sensors]


@pytest.mark.parametrize(("rate_hz", "period_s"), [(10, 0.1), (20, 0.05), (1000, 0.05), (0, 10.0)])
def test_that_the_rate_stays_within_what_does_not_disturb(rate_hz: float, period_s: float) -> None:
    order = msgspec.structs.replace(ORDER, telemetry=TelemetryOrder(rate_hz=rate_hz))
    assert period_of(order) == pytest.approx(period_s)


# --- with the real sources ---


@pytest.fixture
def worker() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process.pid
    process.kill()
    process.wait()


def test_that_a_processor_trial_is_watched_without_touching_a_gpu(worker: int) -> None:
    records: list[Record] = []

    def forbidden() -> FakeNvml:
        raise AssertionError("a processor trial opened NVML")

    sampler = Sampler(ORDER, worker, records.append, opener=partial(open_sources, nvml_loader=forbidden))
    begun = time.monotonic()
    sampler.start()
    until(lambda: _read(records, "rss_bytes") >= 20 and _read(records, "pss_bytes") >= 2)
    sampler.stop()
    elapsed = time.monotonic() - begun
    columns: dict[tuple[str, str], list[float | None]] = {}
    for record in records:
        if isinstance(record, Telemetry):
            assert all(len(values) == len(record.times_ns) for values in record.columns.values())
            for quantity, values in record.columns.items():
                columns.setdefault((record.source, quantity), []).extend(values)
    assert 20 < len(columns["proc.tree", "rss_bytes"]) <= 20 * elapsed + 2
    assert 3 <= len(columns["proc.tree", "pss_bytes"]) <= elapsed + 2, "at once, after every second, at the end"
    assert max(v for v in columns["proc.tree", "cpu_utilisation_ratio"] if v is not None) > 0.2
    sensors = records[0]
    assert isinstance(sensors, Sensors)
    announced = {(s.source, s.quantity) for s in sensors.sensors if s.available}
    assert announced == set(columns)
    assert all(s.reason for s in sensors.sensors if not s.available)


def _read(records: list[Record], quantity: str) -> int:
    """How many readings of a quantity were told so far."""
    return sum(len(r.times_ns) for r in tuple(records) if isinstance(r, Telemetry) and quantity in r.columns)


def test_that_a_gpu_lost_midway_leaves_the_rest_of_the_trial(worker: int) -> None:
    gpu = FakeGpu(processes=[(worker, 2 << 30)])
    library = FakeNvml(gpu, clock=time.monotonic)
    records: list[Record] = []
    order = msgspec.structs.replace(ORDER, device=f"cuda:{gpu.uuid}")
    sampler = Sampler(order, worker, records.append, opener=partial(open_sources, nvml_loader=lambda: library))
    sampler.start()
    until(lambda: _read(records, "power_watts") >= 3)
    gpu.lost = True
    until(lambda: any(isinstance(r, SensorLost) for r in tuple(records)))
    sampler.stop()
    name = f"nvml.{gpu.uuid}"
    lost = [r for r in records if isinstance(r, SensorLost)]
    assert [r.source for r in lost] == [name]
    assert "GPU is lost" in lost[0].reason
    batches = [r for r in records if isinstance(r, Telemetry)]
    powers = [v for b in batches if b.source == name for v in b.columns.get("power_watts", [])]
    assert powers[:3] == [300.0] * 3
    assert powers[-3:] == [None] * 3
    held = [v for b in batches if b.source == name for v in b.columns.get("process_memory_bytes", [])]
    assert {v for v in held if v is not None} == {2 << 30}
    lost_ns = lost[0].t_ns
    assert [t for b in batches if b.source == "proc.host" for t in b.times_ns if t > lost_ns], "the rest goes on"
    assert library.open == 0


@pytest.mark.parametrize("uuid", ["GPU-other", "GPU-0a1b2c3d-0000-1111-2222-333344445555"])
def test_that_a_gpu_that_cannot_be_opened_is_a_reason_not_a_crash(worker: int, uuid: str) -> None:
    error: type[NVMLError] | None = None if uuid == "GPU-other" else NVMLError_LibraryNotFound
    library = FakeNvml(FakeGpu(), init_error=error)
    order = msgspec.structs.replace(ORDER, device=f"cuda:{uuid}")
    sources, missing = open_sources(order, worker, nvml_loader=lambda: library)
    for source in sources:
        source.close()
    power = next(s for s in missing if s.quantity == "power_watts")
    assert power.source == f"nvml.{uuid}"
    assert power.reason
    assert power.hint


def test_that_a_worker_gone_before_the_start_leaves_reasons() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    sources, missing = open_sources(ORDER, process.pid)
    for source in sources:
        source.close()
    assert {s.quantity for s in missing} >= {"rss_bytes", "pss_bytes"}
    assert all("ended" in s.reason for s in missing)


def test_that_available_sensors_lists_a_gpu_or_the_reason_for_none() -> None:
    absent = available_sensors(nvml_loader=lambda: FakeNvml(init_error=NVMLError_LibraryNotFound))
    assert "No NVIDIA driver" in next(s for s in absent if s.source == "nvml" and s.quantity == "power_watts").reason
    library = FakeNvml(FakeGpu())
    present = available_sensors(nvml_loader=lambda: library)
    power = next(s for s in present if s.source.startswith("nvml.GPU-") and s.quantity == "power_watts")
    assert power.available
    assert library.open == 0
    assert all(s.available or s.reason for s in (*absent, *present))
    empty = available_sensors(nvml_loader=lambda: FakeNvml())
    assert "no GPU" in next(s for s in empty if s.source == "nvml").reason
