"""What the Machines page says, as values: from a probe's result to rows of words. No Qt."""

from __future__ import annotations

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
    """`reason` is "" where the quantity can be measured; `hint` is what the user can do."""

    quantity: str
    source: str
    rate: str
    reason: str = ""
    hint: str = ""


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
    engines: tuple[EngineRow, ...]

    @property
    def measured(self) -> int:
        return sum(not s.reason for s in self.sensors)

    @property
    def missing_engines(self) -> int:
        return sum(bool(e.install) for e in self.engines)


def machine_facts(result: ProbeResult) -> MachineFacts:
    """Rows in the order they are shown: what can be measured first, then what cannot."""
    sensors = sorted((_sensor(s) for s in result.sensors), key=lambda row: bool(row.reason))
    engines = sorted(
        (EngineRow(p.name, p.version, p.gives, "" if p.version else p.install) for p in result.packages),
        key=lambda row: bool(row.install),
    )
    return MachineFacts(
        name=result.machine,
        summary=_summary(result.devices),
        devices=tuple(_device(d) for d in result.devices),
        sensors=tuple(sensors),
        engines=tuple(engines),
    )


def report(facts: MachineFacts) -> str:
    """The page as text, for an issue or a paper's appendix."""
    lines = [f"{facts.name}: {facts.summary}", "", "Devices"]
    lines += [f"  {d.device}: {d.name}, {d.memory}" for d in facts.devices]
    lines += ["", "What can be measured"]
    lines += [f"  {s.quantity} ({s.source}): {_state(s)}" for s in facts.sensors]
    lines += ["", "Engines"]
    lines += [f"  {e.package} {e.version or 'missing: ' + e.install}" for e in facts.engines]
    return "\n".join(lines) + "\n"


def _state(row: SensorRow) -> str:
    return f"not available: {row.reason}" if row.reason else f"measured, {row.rate}"


def _summary(devices: tuple[Device, ...]) -> str:
    gpus = [d.title for d in devices if d.id != "cpu"]
    processor = next((d for d in devices if d.id == "cpu"), None)
    parts = []
    if processor is not None:
        cores = processor.details.get("cores", "")
        parts.append(f"{cores} cores" if cores else processor.title)
        parts.append(format_bytes(processor.memory_total_bytes))
    parts.append(", ".join(gpus) if gpus else "no GPU")
    return " · ".join(parts)


def _device(device: Device) -> DeviceRow:
    details = device.details
    power, clock = details.get("power_limit_watts", ""), details.get("clock_max_hertz", "")
    return DeviceRow(
        device="CPU" if device.id == "cpu" else "GPU",
        name=_device_name(device),
        total_bytes=device.memory_total_bytes,
        free_bytes=device.memory_free_bytes,
        memory=f"{format_bytes(device.memory_free_bytes)} free of {format_bytes(device.memory_total_bytes)}",
        driver=details.get("driver") or details.get("governor", ""),
        power_limit=format_value(float(power), "W") if _number(power) else "",
        clock=format_value(float(clock), "Hz") if _number(clock) else "",
    )


def _device_name(device: Device) -> str:
    cores = device.details.get("cores", "")
    return f"{device.title}, {cores} cores" if device.id == "cpu" and cores else device.title


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sensor(sensor: Sensor) -> SensorRow:
    if not sensor.available:
        return SensorRow(sensor.title, sensor.method or sensor.source, "", sensor.reason, sensor.hint)
    rate = f"{sensor.rate_hz:g} Hz" if sensor.rate_hz else "at the ends"
    return SensorRow(sensor.title, sensor.method or sensor.source, rate)
