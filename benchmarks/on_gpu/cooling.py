"""Part 7: the runner's own waiting for a device to cool down, after the device has been kept busy."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import msgspec

from benchmarks.on_gpu.notes import Notes, NotHere
from benchmarks.on_gpu.setting import Setting, torch_on
from benchmarks.trials import trial_order
from engines.protocol.orders import EngineOrder, Inference
from engines.runner.cooldown import LONGEST_S, NEAR_KELVIN, CoolDown
from engines.telemetry.device_sensors import Thermometer, thermometer

_MARGIN_S = 3.0
_LOOK_S = 0.25
_BUSY_SHARE = 0.3


class _Watched(Thermometer):
    """Remembers what was read, and when."""

    def __init__(self, inner: Thermometer, curve: list[tuple[float, float | None]]) -> None:
        self._inner, self._curve = inner, curve

    def read(self) -> float | None:
        value = self._inner.read()
        self._curve.append((time.monotonic(), value))
        return value

    def close(self) -> None:
        self._inner.close()


def run(setting: Setting, notes: Notes) -> None:
    curve: list[tuple[float, float | None]] = []

    def find(_device: str) -> Thermometer | None:
        found = thermometer(f"cuda:{setting.uuid}", nvml_loader=setting.load_nvml)
        return None if found is None else _Watched(found, curve)

    instrument = find("")
    if instrument is None:
        raise NotHere("The GPU tells no temperature.")
    torch_on(setting)
    order = trial_order(setting.small, "precision.bfloat16", workload=Inference(), engine=EngineOrder())
    busy_s = min(setting.lengths.busy_s, notes.left_s() * _BUSY_SHARE)
    longest_s = max(1.0, notes.left_s() - busy_s - _MARGIN_S)
    cool_down = CoolDown(find, longest_s=min(LONGEST_S, longest_s), look_s=_LOOK_S)
    said: list[str] = []

    async def wait() -> dict[str, str]:
        return await cool_down.wait(msgspec.structs.replace(order, device=setting.device), asyncio.Event(), said.append)

    first = asyncio.run(wait())
    notes.add("first trial would start at", first.get("temperature.start_celsius"), "°C")
    with closing(instrument), setting.busy():
        end = time.monotonic() + busy_s
        while time.monotonic() < end:
            instrument.read()
            time.sleep(_LOOK_S)
    hottest = max(value for _, value in curve if value is not None)
    notes.add("hottest while busy", hottest, "°C", f"{busy_s:.0f} s of matrix products")
    begun = time.monotonic()
    second = asyncio.run(wait())
    zero = curve[0][0]
    notes.keep("temperature", [(round(t - zero, 2), value) for t, value in curve])
    notes.add("before cooling down", second.get("temperature.before_cooldown_celsius"), "°C")
    notes.add("waited", time.monotonic() - begun, "s", f"until within {NEAR_KELVIN:g} K of the first start")
    notes.add(
        "waiting ended", second.get("cooldown.ended"), note=f"at {second.get('temperature.start_celsius', '?')} °C"
    )
    notes.add("said meanwhile", said[-1] if said else "nothing")
