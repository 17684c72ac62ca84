"""Scripted GPUs from the driver's answers to the words of a verdict: real source, real sampler channel, real metrics.

The sampler's thread is left out so that ten seconds of readings take none: its own channel (`_Polled`) and reading
step are driven along the script's clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from unittest.mock import patch

import pytest

from engines.protocol.records import ModelLoaded, Record, Sensors, Telemetry
from engines.telemetry import sampler as sampling
from engines.telemetry.base import Source
from engines.telemetry.nvml import NvmlDevice, NvmlProcesses
from tests.fake_nvml import FakeGpu, FakeNvml, NVMLError_NotSupported
from tests.workbench.synthetic import GPU, SECOND, START_NS, FakeTrial, order, records
from workbench.metrics.checks.verdict import Verdict, judge
from workbench.metrics.model import NotAvailable, Value
from workbench.metrics.registry import metric
from workbench.metrics.trial import TrialRecords, arrange

UUID = GPU.removeprefix("nvml.")
TRIAL = FakeTrial(device="gpu", seed=4)
WORKER = 4711


class Clock:
    """Monotonic time of the script: the sampler and the GPU see the same."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def monotonic_ns(self) -> int:
        return self.now_ns

    def seconds(self) -> float:
        return (self.now_ns - START_NS) / SECOND


def watched(gpu: FakeGpu, happens: Callable[[float], None] = lambda _s: None) -> TrialRecords:
    """The records of a trial on that GPU; `happens(seconds)` runs before every reading."""
    clock = Clock()
    library = FakeNvml(gpu, clock=clock.seconds)
    own = [r for r in records(TRIAL) if not (isinstance(r, Telemetry) and r.source == GPU)]
    told: list[Record] = []
    device = NvmlDevice(library, UUID, 0.1)
    sources: list[Source] = [device, NvmlProcesses(device, library, lambda: (WORKER,))]
    watcher = sampling.Sampler(order(TRIAL), WORKER, told.append, opener=lambda _o, _p: (sources, ()))
    sensors = tuple(sensor for source in sources for sensor in source.sensors())
    with patch.object(sampling, "time", clock):
        available = [s for s in sources if any(sensor.available for sensor in s.sensors())]
        watcher._channels = [sampling._Polled(source, clock.now_ns) for source in available]
        while clock.now_ns < own[-1].t_ns:
            clock.now_ns += SECOND // 10
            happens(clock.seconds())
            for channel in tuple(watcher._channels):
                if channel.next_ns <= clock.now_ns:
                    watcher._read(channel)
                    channel.schedule(clock.now_ns)
        watcher._flush()
    for source in reversed(sources):
        source.close()
    assert library.open == 0
    said = next(r for r in own if isinstance(r, Sensors))
    kept = tuple(s for s in said.sensors if s.source != GPU)
    own = [r for r in own if r is not said]
    model = next(r for r in own if isinstance(r, ModelLoaded))
    assert model.device == f"cuda:{UUID}"
    return arrange([*own, *told, Sensors(sensors=kept + sensors, seq=said.seq)])


def whole(**script: object) -> FakeGpu:
    """A GPU whose counter and power agree, that does not throttle."""
    gpu = FakeGpu(uuid=UUID, throttle=0, processes=[(WORKER, 3 << 30)])
    for name, value in script.items():
        setattr(gpu, name, value)
    return gpu


def value(records: TrialRecords, id: str) -> Value:
    found = metric(id).compute(records)
    assert isinstance(found, Value), found
    return found


def reason(records: TrialRecords, id: str) -> str:
    found = metric(id).compute(records)
    assert isinstance(found, NotAvailable), found
    return found.reason


def told(records: TrialRecords) -> tuple[Verdict, dict[str, str]]:
    verdict = judge(records)
    return verdict, {r.code: " ".join(o.message for o in verdict.reasons if o.code == r.code) for r in verdict.reasons}


def test_that_a_gpu_without_fault_is_valid_and_its_counter_agrees() -> None:
    records = watched(whole())
    verdict, reasons = told(records)
    assert (verdict.verdict, reasons) == ("valid", {})
    assert value(records, "power_mean_watts").value == pytest.approx(300.0, rel=1e-3)
    assert "agrees within 5 %" in value(records, "energy_joules").method
    assert value(records, "device_process_peak_bytes").value == 3 << 30


def test_that_a_counter_standing_still_is_not_measurable_and_said() -> None:
    records = watched(whole(joules=lambda _t: 5_000.0))
    verdict, reasons = told(records)
    assert verdict.verdict == "warning"
    assert reasons == {"counter_still": f"The energy counter of {GPU} did not change in the window."}
    for id in ("energy_joules", "power_mean_watts", "energy_per_token_joules", "cost_per_million_tokens"):
        assert "price" in reason(records, id) or "did not change" in reason(records, id)


def test_that_a_counter_75_percent_off_the_curve_is_flagged_with_both_figures() -> None:
    records = watched(whole(watts=lambda _t: 525.0))
    verdict, reasons = told(records)
    assert verdict.verdict == "warning"
    assert set(reasons) == {"counter_against_integral"}
    assert reasons["counter_against_integral"].endswith("+75 %.")
    assert "gives +75 % against it" in value(records, "energy_joules").method


def test_that_a_gpu_lost_midway_is_said_and_gives_no_energy() -> None:
    gpu = whole()

    def happens(seconds: float) -> None:
        gpu.lost = seconds > 8.0

    records = watched(gpu, happens)
    verdict, reasons = told(records)
    assert verdict.verdict == "warning"
    assert set(reasons) == {"sensor_lost"}
    assert "The GPU no longer answers its driver" in reasons["sensor_lost"]
    assert reason(records, "energy_joules").startswith("Energy was lost during the trial: The GPU no longer answers")
    assert "not read through the measured window" in reason(records, "utilisation_ratio")


def test_that_one_quantity_lost_midway_leaves_the_others() -> None:
    gpu = whole()

    def happens(seconds: float) -> None:
        if seconds > 8.0:
            gpu.refuses["nvmlDeviceGetTotalEnergyConsumption"] = NVMLError_NotSupported

    records = watched(gpu, happens)
    _, reasons = told(records)
    assert "energy_joules stopped answering; the other sensors" in reasons["sensor_lost"]
    found = value(records, "energy_joules")
    assert found.value == pytest.approx(300.0 * _window_s(records), rel=1e-3)
    assert "integral of the NVML power readings" in found.method
    assert "the counter does not reach both ends" in found.method


def _window_s(records: TrialRecords) -> float:
    window = records.window()
    return (window[1] - window[0]) / SECOND


def test_that_memory_per_process_the_driver_does_not_count_is_not_zero() -> None:
    for gpu in (whole(processes=[(WORKER, None)]), whole(processes=[(1, 7 << 30)])):
        records = watched(gpu)
        assert told(records) == (Verdict("valid", ()), {})
        assert "named no memory of the worker's processes" in reason(records, "device_process_peak_bytes")
        assert value(records, "memory_mean_bytes").value == pytest.approx(1 << 30)


def test_that_memory_per_process_the_driver_refuses_has_its_words() -> None:
    gpu = whole(refuses={"nvmlDeviceGetComputeRunningProcesses_v3": NVMLError_NotSupported})
    records = watched(gpu)
    assert told(records)[0].verdict == "valid"
    assert "Not Supported" in reason(records, "device_process_peak_bytes")


def test_that_a_slice_of_a_gpu_has_memory_and_no_power() -> None:
    part = FakeGpu(uuid="MIG-7", memory_used=5 << 30)
    records = _on_slice(FakeGpu(slices=[part], throttle=0), part)
    assert told(records)[0].verdict == "valid"
    assert value(records, "memory_mean_bytes").value == pytest.approx(5 << 30)
    for id in ("energy_joules", "power_mean_watts", "utilisation_ratio"):
        assert "slice of a partitioned GPU (MIG)" in reason(records, id)


def _on_slice(parent: FakeGpu, part: FakeGpu) -> TrialRecords:
    """As `watched`, for a slice: the library is opened on the whole GPU."""
    clock = Clock()
    device = NvmlDevice(FakeNvml(parent, clock=clock.seconds), part.uuid, 0.1)
    own = [r for r in records(TRIAL) if not isinstance(r, Telemetry | Sensors | ModelLoaded)]
    model = next(r for r in records(TRIAL) if isinstance(r, ModelLoaded))
    times, rows = [], []
    for tick in range(round((own[-1].t_ns - START_NS) / SECOND * 10)):
        clock.now_ns = START_NS + tick * SECOND // 10
        times.append(clock.now_ns)
        rows.append(device.read())
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    batch = Telemetry(source=device.name, times_ns=times, columns=columns)
    device.close()
    loaded = model.__class__(
        **{f: getattr(model, f) for f in model.__struct_fields__} | {"device": f"cuda:{part.uuid}", "seq": 0}
    )
    return arrange([*own, loaded, batch, Sensors(sensors=device.sensors())])


def test_that_a_gpu_that_shares_the_machines_memory_says_so() -> None:
    records = watched(whole(refuses={"nvmlDeviceGetMemoryInfo": NVMLError_NotSupported}))
    assert told(records)[0].verdict == "valid"
    for id in ("memory_mean_bytes", "memory_mean_ratio", "device_memory_change_bytes"):
        assert "shares the machine's memory" in reason(records, id)
    assert value(records, "energy_joules").value > 0


def test_that_throttling_is_told_by_reason_and_share_of_the_window() -> None:
    gpu = whole()
    begin, end = watched(gpu).window() or (0, 0)
    half = ((begin + end) / 2 - START_NS) / SECOND

    def happens(seconds: float) -> None:
        gpu.throttle = 0x40 | 0x1 if seconds > half else 0x1

    verdict, reasons = told(watched(gpu, happens))
    assert verdict.verdict == "warning"
    assert set(reasons) == {"throttled"}
    assert re.search(r"hardware thermal slowdown (49|50|51) %", reasons["throttled"])
    assert "idle" not in reasons["throttled"]
