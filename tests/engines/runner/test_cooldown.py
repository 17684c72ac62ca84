"""Waiting for a device to cool down, with scripted thermometers and fake sensors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import Inference, TelemetryOrder, TrialOrder
from engines.runner.cooldown import CoolDown
from engines.runner.workers.start import resolved
from engines.telemetry.device_sensors import Thermometer, measures_power, thermometer
from tests.engines.runner_harness import make_order
from tests.fake_nvml import FakeGpu, FakeNvml, NVMLError_NotSupported


class Scripted(Thermometer):
    """Reads off a list, its last value for ever. `closed` counts."""

    def __init__(self, degrees: Sequence[float | None]) -> None:
        self._degrees = list(degrees)
        self.closed = 0

    def read(self) -> float | None:
        return self._degrees.pop(0) if len(self._degrees) > 1 else self._degrees[0]

    def close(self) -> None:
        self.closed += 1


def waited(
    cooldown: CoolDown, order: TrialOrder, *, give_up_after_s: float | None = None
) -> tuple[dict[str, str], list[str]]:
    """Facts of a wait, and the texts it showed."""
    told: list[str] = []

    async def wait() -> dict[str, str]:
        give_up = asyncio.Event()
        if give_up_after_s is not None:
            asyncio.get_running_loop().call_later(give_up_after_s, give_up.set)
        return await cooldown.wait(order, give_up, told.append)

    return asyncio.run(wait()), told


def of(thermometers: Iterator[Thermometer | None], **times: float) -> CoolDown:
    return CoolDown(lambda _device: next(thermometers), **{"look_s": 0.01, **times})


def test_that_a_warm_device_is_waited_for() -> None:
    second = Scripted([61.0, 58.0, 54.9, 40.0])
    cooldown = of(iter([Scripted([52.0]), second]))
    first, told = waited(cooldown, make_order("t1"))
    assert (first["temperature.start_celsius"], first["cooldown.waited_s"], told) == ("52", "0.0", [])
    facts, told = waited(cooldown, make_order("t2"))
    assert told == ["Cooling down, 61 °C, waiting for 55 °C", "Cooling down, 58 °C, waiting for 55 °C"]
    assert facts["temperature.start_celsius"] == "54.9"
    assert facts["temperature.before_cooldown_celsius"] == "61"
    assert facts["temperature.first_start_celsius"] == "52"
    assert facts["cooldown.ended"] == "cool enough"
    assert second.closed == 1


def test_that_waiting_has_an_end() -> None:
    cooldown = of(iter([Scripted([40.0]), Scripted([80.0])]), longest_s=0.1)
    waited(cooldown, make_order("t1"))
    start = time.monotonic()
    facts, _ = waited(cooldown, make_order("t2"))
    assert time.monotonic() - start >= 0.1
    assert (facts["cooldown.ended"], facts["temperature.start_celsius"]) == ("longest time reached", "80")


def test_that_a_stop_ends_the_wait_at_once() -> None:
    cooldown = of(iter([Scripted([40.0]), Scripted([80.0])]), look_s=3600, longest_s=3600)
    waited(cooldown, make_order("t1"))
    facts, _ = waited(cooldown, make_order("t2"), give_up_after_s=0.05)
    assert facts["cooldown.ended"] == "given up"


def test_that_each_device_has_its_own_first_temperature() -> None:
    cooldown = of(iter([Scripted([40.0]), Scripted([80.0])]))
    waited(cooldown, make_order("t1"))
    facts, told = waited(cooldown, make_order("t2", device="cuda:GPU-1"))
    assert (facts["temperature.first_start_celsius"], told) == ("80", [])


def test_that_nothing_waits_and_nothing_is_said_without_a_thermometer() -> None:
    assert waited(of(iter([None])), make_order("t1")) == ({}, [])


def test_that_a_thermometer_that_fails_ends_the_wait() -> None:
    cooldown = of(iter([Scripted([40.0]), Scripted([80.0, None])]))
    waited(cooldown, make_order("t1"))
    facts, _ = waited(cooldown, make_order("t2"))
    assert facts["cooldown.ended"] == "the thermometer stopped answering"
    assert "temperature.start_celsius" not in facts


# --- the sensors ------------------------------------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_that_a_processor_has_the_hwmon_thermometer(tmp_path: Path) -> None:
    chip = "class/hwmon/hwmon0"
    files = {f"{chip}/name": "coretemp\n", f"{chip}/temp1_label": "Package id 0\n", f"{chip}/temp1_input": "61500\n"}
    found = thermometer("cpu", sys=write(tmp_path, files))
    assert found.read() == 61.5
    (tmp_path / chip / "temp1_input").write_text("52000\n")
    assert found.read() == 52.0
    found.close()
    assert thermometer("cpu", sys=tmp_path / "nowhere") is None


def test_that_a_gpu_has_its_own_thermometer() -> None:
    gpu = FakeGpu()
    library = FakeNvml(gpu)
    found = thermometer(f"cuda:{gpu.uuid}", nvml_loader=lambda: library)
    assert found.read() == 61
    found.close()
    assert thermometer("cuda:GPU-of-nobody", nvml_loader=lambda: library) is None
    mute = FakeGpu(refuses={"nvmlDeviceGetTemperature": NVMLError_NotSupported})
    assert thermometer(f"cuda:{mute.uuid}", nvml_loader=lambda: FakeNvml(mute)) is None


def test_that_power_is_measured_where_a_sensor_says_so(tmp_path: Path) -> None:
    zone = "class/powercap/intel-rapl:0"
    files = {f"{zone}/name": "package-0\n", f"{zone}/energy_uj": "5\n", f"{zone}/max_energy_range_uj": "1000\n"}
    assert measures_power("cpu", sys=write(tmp_path / "with", files))
    assert not measures_power("cpu", sys=tmp_path / "without")
    gpu = FakeGpu()
    assert measures_power(f"cuda:{gpu.uuid}", nvml_loader=lambda: FakeNvml(gpu))
    assert not measures_power("cuda:GPU-of-nobody", nvml_loader=lambda: FakeNvml(gpu))


# --- what the runner decides ------------------------------------------------------------------------


@pytest.mark.parametrize(("measured", "idle_s", "prefill_s"), [(True, 2.0, 5.0), (False, 0.0, 0.0)])
def test_that_energy_phases_are_chosen_by_the_sensors(
    monkeypatch: pytest.MonkeyPatch, measured: bool, idle_s: float, prefill_s: float
) -> None:
    monkeypatch.setattr("engines.runner.workers.start._measures_power", lambda _device: measured)
    order = make_order("t1")
    watched = msgspec.structs.replace(order, telemetry=TelemetryOrder())
    ran, share = asyncio.run(resolved(watched))
    assert (ran.inference.idle_s, ran.inference.prefill_energy_s) == (idle_s, prefill_s)
    assert ran.engine.threads == share.threads >= 1
    unwatched, _ = asyncio.run(resolved(order))
    assert unwatched.inference.idle_s == 0.0, "without telemetry nobody reads the power"


def test_that_a_wish_for_idle_seconds_is_kept() -> None:
    wished = make_order("t1", workload=Inference(idle_s=1.5, prefill_energy_s=0.0))
    ran, _ = asyncio.run(resolved(wished))
    assert (ran.inference.idle_s, ran.inference.prefill_energy_s) == (1.5, 0.0)


def test_that_the_default_window_is_long_enough_for_energy() -> None:
    assert make_order("t1").inference.window_s >= 5.0
