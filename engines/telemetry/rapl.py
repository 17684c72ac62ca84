"""Energy of the processor packages from RAPL (/sys/class/powercap). Runs in the sampler's thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from engines.protocol.records import Sensor
from engines.telemetry.base import Reading
from engines.telemetry.procfs import KeptFile

NAME = "rapl"
SYS = Path("/sys")


@dataclass
class _Zone:
    """One package's counter: microjoules that start again at 0 after `span` of them."""

    file: KeptFile
    span: int
    last: int | None = None
    joules: float = 0.0

    def advance(self) -> float:
        """Joules since the first reading, wrap-around resolved."""
        now = int(self.file.read())
        if self.last is not None:
            step = now - self.last
            self.joules += (step if step >= 0 else step + self.span) / 1e6
        self.last = now
        return self.joules


class Rapl:
    """Energy since the sampler's start and mean power between readings, summed over the packages."""

    name = NAME
    disturbs = False

    def __init__(self, period_s: float, *, sys: Path = SYS) -> None:
        """Never fails: without readable counters its sensors say why and it has nothing to read."""
        self.period_s = period_s
        self._sensors = sensors_of_rapl(1 / period_s, sys)
        self._zones: list[_Zone] = []
        if self._sensors[0].available:
            for zone in _packages(sys):
                span = int((zone / "max_energy_range_uj").read_bytes())
                self._zones.append(_Zone(KeptFile(zone / "energy_uj", 64), span))
        self._before: tuple[int, float] | None = None

    def sensors(self) -> tuple[Sensor, ...]:
        return self._sensors

    def read(self) -> Reading:
        joules = sum(zone.advance() for zone in self._zones)
        now_ns = time.monotonic_ns()
        reading: Reading = {"energy_joules": joules}
        if self._before is not None and now_ns > self._before[0]:
            reading["power_watts"] = (joules - self._before[1]) / ((now_ns - self._before[0]) / 1e9)
        self._before = (now_ns, joules)
        return reading

    def close(self) -> None:
        for zone in self._zones:
            zone.file.close()
        self._zones.clear()


def _packages(sys: Path) -> list[Path]:
    """Zones of whole packages; their parts (cores, memory) and the platform's own sum are left out."""
    found = []
    for zone in sorted((sys / "class" / "powercap").glob("*-rapl:*")):
        try:
            if (zone / "name").read_text().startswith("package-"):
                found.append(zone)
        except OSError:
            continue
    # The same counter is offered again through memory-mapped registers on some machines: count each package once.
    plain = [zone for zone in found if not zone.name.startswith("intel-rapl-mmio")]
    return plain or found


def _obstacle(sys: Path) -> tuple[str, str]:
    """Reason and hint, both "" when every package's counter can be read."""
    if not (sys / "class" / "powercap").is_dir():
        return (
            "This machine has no /sys/class/powercap.",
            "On a physical machine load its driver (modprobe intel_rapl_msr). A virtual machine has no such counter.",
        )
    zones = _packages(sys)
    if not zones:
        return "This processor offers no energy counter (no RAPL package zone).", ""
    for zone in zones:
        try:
            int((zone / "energy_uj").read_bytes())
            int((zone / "max_energy_range_uj").read_bytes())
        except PermissionError:
            return (
                "energy_uj is readable by root only.",
                "Let your user read it until the next start: sudo chmod a+r /sys/class/powercap/*/energy_uj",
            )
        except (OSError, ValueError) as error:
            return f"energy_uj cannot be read: {error}.", ""
    return "", ""


def sensors_of_rapl(rate_hz: float, sys: Path = SYS) -> tuple[Sensor, ...]:
    reason, hint = _obstacle(sys)
    count = len(_packages(sys))
    which = f"{count} processor packages" if count > 1 else "the processor package"
    whole = f"{which}, without memory modules and devices"

    def sensor(quantity: str, title: str, method: str) -> Sensor:
        return Sensor(
            source=NAME,
            quantity=quantity,
            title=title,
            method=method,
            rate_hz=rate_hz,
            available=not reason,
            reason=reason,
            hint=hint,
        )

    return (
        sensor("energy_joules", "Processor energy", f"RAPL counter since the first reading; {whole}"),
        sensor("power_watts", "Processor power", f"RAPL energy between two readings; {whole}"),
    )
