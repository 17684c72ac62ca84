"""What can be asked of a trial's device outside the sampler: how warm it is, and whether its power is measured.

Blocking, and slow where a GPU has to wake up: call off the event loop, from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.telemetry import hwmon, nvml, rapl
from engines.telemetry.base import Reading, Source, SourceFailure
from engines.telemetry.nvml_library import NvmlLibrary, NvmlUnavailable, load_nvml

CUDA = "cuda:"
SYS = Path("/sys")
_TEMPERATURE = "temperature_celsius"

LoadNvml = Callable[[], NvmlLibrary]


class Thermometer:
    """Temperature of one device. `close` it after use."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self) -> float | None:
        """Degrees Celsius, None where the sensor does not answer."""
        try:
            reading: Reading = self._source.read()
        except (SourceFailure, OSError, ValueError):
            return None
        return reading.get(_TEMPERATURE)

    def close(self) -> None:
        self._source.close()


def thermometer(device: str, *, sys: Path = SYS, nvml_loader: LoadNvml = load_nvml) -> Thermometer | None:
    """The thermometer of a trial's device ("cpu", "cuda:UUID"), None where it has none."""
    source = _source(device, sys, nvml_loader)
    if source is None:
        return None
    if _measures(source, _TEMPERATURE):
        return Thermometer(source)
    source.close()
    return None


def measures_power(device: str, *, sys: Path = SYS, nvml_loader: LoadNvml = load_nvml) -> bool:
    """Whether a sensor of this machine measures the power or energy of a trial's device."""
    if not device.startswith(CUDA):
        return any(sensor.available for sensor in rapl.sensors_of_rapl(1.0, sys))
    source = _source(device, sys, nvml_loader)
    if source is None:
        return False
    try:
        return _measures(source, "power_watts") or _measures(source, "energy_joules")
    finally:
        source.close()


def _source(device: str, sys: Path, nvml_loader: LoadNvml) -> Source | None:
    if not device.startswith(CUDA):
        return hwmon.CpuTemperature(sys=sys)
    try:
        return nvml.NvmlDevice(nvml_loader(), device.removeprefix(CUDA), 1.0)
    except (NvmlUnavailable, SourceFailure):
        return None


def _measures(source: Source, quantity: str) -> bool:
    return any(sensor.available and sensor.quantity == quantity for sensor in source.sensors())
