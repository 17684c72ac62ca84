"""What the Machines page says, as values: from a probe's result to rows of words. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.protocol.messages import Device, ProbeResult
from engines.protocol.records import Sensor
from workbench.units import format_bytes, format_value


@dataclass(frozen=True)
class DeviceRow:
    device: str
    name: str
    total_bytes: int
    free_bytes: int
    memory: str
    driver: str
    power_limit: str
    clock: str


@dataclass(frozen=True)
class SensorRow:
    """A quantity that can be measured; `how` is the whole method, for a tooltip."""

    quantity: str
    source: str
    rate: str
    how: str
    changes: str = ""
    """How often its value really changes, where a self-check has measured it."""


@dataclass(frozen=True)
class MissingRow:
    """Quantities that cannot be measured here, all for the same reason."""

    quantities: tuple[str, ...]
    reason: str
    hint: str


@dataclass(frozen=True)
class EngineRow:
    """`install` is "" where the package is installed."""

    package: str
    version: str
    gives: str
    install: str = ""


@dataclass(frozen=True)
class MachineFacts:
    name: str
    summary: str
    devices: tuple[DeviceRow, ...]
    sensors: tuple[SensorRow, ...]
    missing: tuple[MissingRow, ...]
    engines: tuple[EngineRow, ...]

    @property
    def quantities(self) -> int:
        """All the workbench knows, measurable here or not."""
        return len(self.sensors) + sum(len(m.quantities) for m in self.missing)

    @property
    def missing_engines(self) -> int:
        return sum(bool(e.install) for e in self.engines)


def machine_facts(result: ProbeResult, changes: Mapping[tuple[str, str], str] | None = None) -> MachineFacts:
    """Rows in the order they are shown; what is missing for the same reason is said once. `changes`: how often a
    sensor's value really changes, by source and quantity."""
    known = changes or {}
    reasons: dict[tuple[str, str], list[str]] = {}
    for sensor in result.sensors:
        if not sensor.available:
            reasons.setdefault((sensor.reason, sensor.hint), []).append(sensor.title)
    engines = sorted(
        (EngineRow(p.name, p.version, p.gives, "" if p.version else p.install) for p in result.packages),
        key=lambda row: bool(row.install),
    )
    return MachineFacts(
        name=result.machine,
        summary=summary(result.devices),
        devices=tuple(_device(d) for d in result.devices),
        sensors=tuple(_sensor(s, known) for s in result.sensors if s.available),
        missing=tuple(MissingRow(tuple(titles), *why) for why, titles in reasons.items()),
        engines=tuple(engines),
    )


def report(facts: MachineFacts) -> str:
    """The page as text, for an issue or a paper's appendix."""
    lines = [f"{facts.name}: {facts.summary}", "", "Devices"]
    lines += [f"  {d.device}: {d.name}, {d.memory}" for d in facts.devices]
    lines += ["", "What can be measured"]
    lines += [
        f"  {s.quantity}: {s.how}, {s.rate}" + (f", changes at {s.changes}" if s.changes else "") for s in facts.sensors
    ]
    lines += [f"  {', '.join(m.quantities)}: not available. {m.reason}" for m in facts.missing]
    lines += ["", "Engines"]
    lines += [f"  {e.package} {e.version or 'missing: ' + e.install}" for e in facts.engines]
    return "\n".join(lines) + "\n"


def summary(devices: tuple[Device, ...]) -> str:
    """ "16 cores · 126 GiB · NVIDIA H200"."""
    gpus = [d.title for d in devices if d.id != "cpu"]
    processor = next((d for d in devices if d.id == "cpu"), None)
    parts = []
    if processor is not None:
        cores = processor.details.get("cores", "")
        parts.append(f"{cores} core{'' if cores == '1' else 's'}" if cores else processor.title)
        parts.append(format_bytes(processor.memory_total_bytes))
    parts.append(", ".join(gpus) if gpus else "no GPU")
    return " · ".join(parts)


def _device(device: Device) -> DeviceRow:
    details = device.details
    power, clock = details.get("power_limit_watts", ""), details.get("clock_max_hertz", "")
    return DeviceRow(
        device="CPU" if device.id == "cpu" else "GPU",
        name=device.title,
        total_bytes=device.memory_total_bytes,
        free_bytes=device.memory_free_bytes,
        memory=f"{format_bytes(device.memory_free_bytes)} free of {format_bytes(device.memory_total_bytes)}",
        driver=details.get("driver") or details.get("governor", ""),
        power_limit=format_value(float(power), "W") if _number(power) else "",
        clock=format_value(float(clock), "Hz") if _number(clock) else "",
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sensor(sensor: Sensor, changes: Mapping[tuple[str, str], str]) -> SensorRow:
    rate = f"{sensor.rate_hz:g} Hz" if sensor.rate_hz else "at the ends"
    how = sensor.method or sensor.source
    short = how.partition(",")[0].partition(";")[0]
    return SensorRow(sensor.title, short, rate, how, changes.get((sensor.source, sensor.quantity), ""))
