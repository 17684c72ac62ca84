"""Temperature of the processor from /sys/class/hwmon. Runs in the sampler's thread."""

from __future__ import annotations

from pathlib import Path

from engines.protocol.records import Sensor
from engines.telemetry.base import Reading
from engines.telemetry.procfs import KeptFile

NAME = "hwmon"
SYS = Path("/sys")
_PERIOD_S = 1.0

_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal")
"""Drivers of processor temperature, by kernel name."""
_LABELS = ("Package id", "Tctl", "Tdie")
"""What a chip calls its whole-package value; `temp1` where it labels nothing."""


class CpuTemperature:
    """Highest temperature of the processor packages, once a second."""

    name = NAME
    disturbs = False
    period_s = _PERIOD_S

    def __init__(self, *, sys: Path = SYS) -> None:
        self._sensors = sensors_of_hwmon(sys)
        self._files = [KeptFile(path, 64) for path in _inputs(sys)] if self._sensors[0].available else []

    def sensors(self) -> tuple[Sensor, ...]:
        return self._sensors

    def read(self) -> Reading:
        return {"temperature_celsius": max(int(file.read()) / 1000 for file in self._files)}

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._files.clear()


def _inputs(sys: Path) -> list[Path]:
    """One readable input file for every processor chip."""
    found: list[Path] = []
    for chip in sorted((sys / "class" / "hwmon").glob("hwmon*")):
        try:
            if (chip / "name").read_text().strip() not in _CHIPS:
                continue
            inputs = sorted(chip.glob("temp*_input"))
            chosen = next((i for i in inputs if _label(i).startswith(_LABELS)), inputs[0] if inputs else None)
            if chosen is not None:
                int(chosen.read_bytes())
                found.append(chosen)
        except (OSError, ValueError):
            continue
    return found


def _label(file: Path) -> str:
    try:
        return file.with_name(file.name.replace("_input", "_label")).read_text()
    except OSError:
        return ""


def sensors_of_hwmon(sys: Path = SYS) -> tuple[Sensor, ...]:
    inputs = _inputs(sys)
    hint = "On a physical machine load its driver (modprobe coretemp, or k10temp). A virtual machine has none."
    return (
        Sensor(
            source=NAME,
            quantity="temperature_celsius",
            title="Processor temperature",
            method="/sys/class/hwmon, hottest package",
            rate_hz=1 / _PERIOD_S,
            available=bool(inputs),
            reason="" if inputs else "This machine shows no processor temperature (no such chip in /sys/class/hwmon).",
            hint="" if inputs else hint,
        ),
    )
