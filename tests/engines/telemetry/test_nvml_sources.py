"""Readings of a GPU through the scripted NVML."""

from __future__ import annotations

import pytest

from engines.protocol.records import Sensor
from engines.telemetry.base import SourceFailure
from engines.telemetry.nvml import NvmlDevice, NvmlProcesses
from engines.telemetry.nvml_devices import gpus
from engines.telemetry.nvml_library import NvmlUnavailable, opened
from tests.fake_nvml import (
    FakeGpu,
    FakeNvml,
    NVMLError,
    NVMLError_DriverNotLoaded,
    NVMLError_FunctionNotFound,
    NVMLError_LibraryNotFound,
    NVMLError_NoPermission,
    NVMLError_NotSupported,
)

COLUMNS = [
    "memory_used_bytes",
    "utilisation_ratio",
    "memory_utilisation_ratio",
    "power_watts",
    "energy_joules",
    "temperature_celsius",
    "sm_clock_hertz",
    "memory_clock_hertz",
    "throttle_reasons_bits",
    "power_limit_watts",
]


def opened_device(gpu: FakeGpu, **script: object) -> tuple[FakeNvml, NvmlDevice]:
    library = FakeNvml(gpu, **script)  # type: ignore[arg-type]
    return library, NvmlDevice(library, gpu.uuid, 0.1)


def sensor(device: NvmlDevice, quantity: str) -> Sensor:
    return next(s for s in device.sensors() if s.quantity == quantity)


def test_that_every_column_is_read_in_base_units() -> None:
    gpu = FakeGpu()
    library, device = opened_device(gpu, clock=lambda: 2.0)
    assert [s.quantity for s in device.sensors()] == COLUMNS
    assert all(s.available and s.source == f"nvml.{gpu.uuid}" and s.method for s in device.sensors())
    assert device.read() == {
        "memory_used_bytes": 1 << 30,
        "utilisation_ratio": 0.97,
        "memory_utilisation_ratio": 0.41,
        "power_watts": 300.0,
        "energy_joules": 600.0,
        "temperature_celsius": 61,
        "sm_clock_hertz": 1.41e9,
        "memory_clock_hertz": 1.593e9,
        "throttle_reasons_bits": 4,
        "power_limit_watts": 400.0,
    }
    device.close()
    device.close()
    assert library.open == 0


def test_that_power_and_counter_follow_the_script_in_time() -> None:
    now = [0.0]
    gpu = FakeGpu(watts=lambda t: 100 + 10 * t, joules=lambda t: 100 * t + 5 * t * t)
    _, device = opened_device(gpu, clock=lambda: now[0])
    first = device.read()
    now[0] = 10.0
    last = device.read()
    assert (first["power_watts"], last["power_watts"]) == (100.0, 200.0)
    assert last["energy_joules"] == pytest.approx(1500.0)


def test_that_the_power_field_in_use_is_named() -> None:
    _, device = opened_device(FakeGpu())
    assert "instantaneous" in sensor(device, "power_watts").method
    _, device = opened_device(FakeGpu(refuses={"POWER_INSTANT": NVMLError_NotSupported}))
    assert "1 s average" in sensor(device, "power_watts").method
    assert device.read()["power_watts"] == 300.0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NVMLError_NotSupported, "does not report it"),
        (NVMLError_NoPermission, "keeps it from this user"),
        (NVMLError_FunctionNotFound, "too old"),
    ],
)
def test_that_a_refused_quantity_carries_the_reason_and_the_others_go_on(error: type[NVMLError], words: str) -> None:
    refuses = {"nvmlDeviceGetTotalEnergyConsumption": error, "nvmlDeviceGetUtilizationRates": error}
    library, device = opened_device(FakeGpu(refuses=refuses))
    for quantity in ("energy_joules", "utilisation_ratio", "memory_utilisation_ratio"):
        assert not sensor(device, quantity).available
        assert words in sensor(device, quantity).reason
        assert error.text in sensor(device, quantity).reason
    library.calls.clear()
    reading = device.read()
    assert "energy_joules" not in reading
    assert reading["power_watts"] == 300.0
    assert "nvmlDeviceGetTotalEnergyConsumption" not in library.calls


def test_that_memory_falls_back_to_the_first_version_and_says_so() -> None:
    gpu = FakeGpu(refuses={"nvmlDeviceGetMemoryInfo_v2": NVMLError_FunctionNotFound})
    _, device = opened_device(gpu)
    assert device.read()["memory_used_bytes"] == (1 << 30) + (512 << 20)
    assert "reserves for itself" in sensor(device, "memory_used_bytes").method


def test_that_shared_memory_is_explained_and_not_zero() -> None:
    _, device = opened_device(FakeGpu(refuses={"nvmlDeviceGetMemoryInfo": NVMLError_NotSupported}))
    assert "shares the machine's memory" in sensor(device, "memory_used_bytes").reason
    assert "memory_used_bytes" not in device.read()


def test_that_a_mig_slice_has_memory_but_no_power_of_its_own() -> None:
    part = FakeGpu(uuid="MIG-7", name="NVIDIA Test 100 MIG 1g.10gb", memory_used=5 << 20)
    whole = FakeGpu(slices=[part], celsius=70)
    device = NvmlDevice(FakeNvml(whole), part.uuid, 0.1)
    assert device.is_slice
    for quantity in ("power_watts", "energy_joules", "utilisation_ratio", "memory_utilisation_ratio"):
        assert "MIG" in sensor(device, quantity).reason
    reading = device.read()
    assert reading["memory_used_bytes"] == 5 << 20
    assert reading["temperature_celsius"] == 70
    assert "whole GPU" in sensor(device, "temperature_celsius").method


def test_that_one_failing_quantity_is_none_and_a_lost_gpu_fails_the_source() -> None:
    gpu = FakeGpu()
    _, device = opened_device(gpu)
    gpu.refuses["nvmlDeviceGetTemperature"] = NVMLError
    reading = device.read()
    assert reading["temperature_celsius"] is None
    assert reading["power_watts"] == 300.0
    gpu.lost = True
    with pytest.raises(SourceFailure, match="GPU is lost"):
        device.read()


def test_that_memory_of_a_process_is_that_of_the_workers_own() -> None:
    gpu = FakeGpu(processes=[(10, 3 << 30), (11, 1 << 30), (99, 7 << 30)])
    library, device = opened_device(gpu)
    processes = NvmlProcesses(device, library, lambda: (10, 11))
    assert processes.disturbs
    assert processes.period_s >= 1.0
    assert processes.read() == {"process_memory_bytes": 4 << 30}


@pytest.mark.parametrize("listed", [[], [(99, 7 << 30)], [(10, None)]])
def test_that_a_process_the_driver_does_not_show_has_no_memory_rather_than_zero(
    listed: list[tuple[int, int | None]],
) -> None:
    library, device = opened_device(FakeGpu(processes=listed))
    assert NvmlProcesses(device, library, lambda: (10,)).read() == {}


def test_that_refused_process_queries_are_said_once() -> None:
    library, device = opened_device(
        FakeGpu(refuses={"nvmlDeviceGetComputeRunningProcesses_v3": NVMLError_NotSupported})
    )
    (only,) = NvmlProcesses(device, library, lambda: (10,)).sensors()
    assert not only.available
    assert "Not Supported" in only.reason


def test_that_an_unknown_gpu_is_a_failure_that_closes_the_library() -> None:
    library = FakeNvml(FakeGpu())
    with pytest.raises(SourceFailure, match="no GPU GPU-other"):
        NvmlDevice(library, "GPU-other", 0.1)
    assert library.open == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [(NVMLError_LibraryNotFound, "No NVIDIA driver"), (NVMLError_DriverNotLoaded, "not loaded"), (NVMLError, "answer")],
)
def test_that_absent_nvml_is_explained(error: type[NVMLError], words: str) -> None:
    with pytest.raises(NvmlUnavailable, match=words) as caught, opened(FakeNvml(init_error=error)):
        pass
    assert caught.value.hint


def test_that_gpus_are_listed_with_their_facts_and_slices_instead_of_the_whole() -> None:
    part = FakeGpu(uuid="MIG-7", memory_total=10 << 30)
    library = FakeNvml(FakeGpu(), FakeGpu(uuid="GPU-2", slices=[part]))
    with opened(library):
        first, second = gpus(library)
    assert (first.uuid, first.driver, first.cuda, first.compute_capability) == (
        "GPU-0a1b2c3d-0000-1111-2222-333344445555",
        "580.82.07",
        "13.0",
        "9.0",
    )
    assert (first.power_limit_watts, first.clock_max_hertz) == ("400", "1980000000")
    assert (second.uuid, second.is_slice, second.memory_total_bytes) == ("MIG-7", True, 10 << 30)
    assert library.open == 0
