"""The Machine panel as values: devices with their memory, and what will be measured on them. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.messages import Device, ProbeResult
from engines.protocol.orders import Inference
from engines.protocol.records import Sensor
from widgets.parts.phrases import as_clause
from widgets.setup.edits import devices_of
from workbench.experiment.experiment import Experiment
from workbench.machines.machine import THIS, THIS_COMPUTER
from workbench.plan.plan import Plan
from workbench.units import GIB, counted, format_bytes


@dataclass(frozen=True)
class DeviceRow:
    key: str
    """Its id, after "MACHINE/" on another computer; "MACHINE/" alone is its best device, while none is known."""
    title: str
    detail: str
    checked: bool
    used: float
    """Share of the memory in use, 0..1."""
    memory: str


@dataclass(frozen=True)
class Known:
    """A machine the user has, with what is known of it: nothing of one that has not been connected."""

    id: str = THIS
    title: str = THIS_COMPUTER.title
    probe: ProbeResult | None = None
    state: str = ""
    status: str = "neutral"


@dataclass(frozen=True)
class MachineRows:
    """A machine's devices under its name. `title` is "" where there is no other."""

    machine: str
    title: str
    state: str
    status: str
    devices: tuple[DeviceRow, ...]


@dataclass(frozen=True)
class Measured:
    """`available` False: `text` says why not."""

    name: str
    text: str
    available: bool = True
    hint: str = ""


def machine_rows(experiment: Experiment, machines: Sequence[Known]) -> tuple[MachineRows, ...]:
    """Every machine with the devices trials can run on; of one that was not reached yet, its best device."""
    many = len(machines) > 1
    return tuple(
        MachineRows(
            m.id,
            m.title if many else "",
            m.state,
            m.status,
            device_rows(experiment, m.probe, m.id, named=many) if m.probe is not None else (_unknown(experiment, m),),
        )
        for m in machines
    )


def device_rows(
    experiment: Experiment, probe: ProbeResult, machine: str = THIS, *, named: bool = False
) -> tuple[DeviceRow, ...]:
    """The devices trials can run on, GPUs first. `named`: the machine's name stands over them."""
    chosen = devices_of(experiment, probe, machine)
    devices = sorted(probe.devices, key=lambda d: d.id == "cpu")
    alone = len(devices) == 1 and not named and machine == THIS
    return tuple(_device(d, d.id in chosen, alone, machine) for d in devices)


def measured(experiment: Experiment, machines: Sequence[Known], plan: Plan | None) -> tuple[Measured, ...]:
    """Time and memory, energy, quality: where they can be had and why not."""
    chosen = [(m.probe, d) for m in machines if m.probe is not None for d in devices_of(experiment, m.probe, m.id)]
    return (
        Measured("Time, memory", "every trial"),
        _energy(chosen),
        _quality(experiment, plan),
    )


def _unknown(experiment: Experiment, machine: Known) -> DeviceRow:
    named = any(name.partition("/")[0] == machine.id for name in experiment.run.machines)
    return DeviceRow(f"{machine.id}/", "Best device", "Its devices appear once it answers", named, 0.0, "")


def _device(device: Device, checked: bool, alone: bool, machine: str) -> DeviceRow:
    details = device.details
    if device.id == "cpu":
        cores, threads = details.get("cores", ""), details.get("threads_default", "")
        title = "this computer" if alone else "Processor"
        parts = [f"{cores} core{'' if cores == '1' else 's'}" if cores else device.title]
        if threads:
            parts.append(f"{threads} thread{'' if threads == '1' else 's'}")
        detail = ", ".join(parts)
        detail = f"CPU · {detail}" if alone else detail
    else:
        title, detail = device.title, "GPU of this computer" if machine == THIS else "GPU"
    total, free = device.memory_total_bytes, device.memory_free_bytes
    return DeviceRow(
        key=device.id if machine == THIS else f"{machine}/{device.id}",
        title=title,
        detail=detail,
        checked=checked,
        used=min(1.0, max(0.0, 1 - free / total)) if total else 0.0,
        memory=f"{free / GIB:.1f} GiB free of {total / GIB:.1f}" if total >= GIB else f"{format_bytes(free)} free",
    )


def _energy(chosen: Sequence[tuple[ProbeResult, str]]) -> Measured:
    """By device: a GPU has its own counter, the processor that of its package."""
    have: list[str] = []
    missing: list[Sensor] = []
    if not chosen:
        return Measured("Energy", "not known before the machine answers", False)
    for probe, device in chosen:
        sensors = [s for s in probe.sensors if _is_energy(s) and _of_device(s, device)]
        if any(s.available for s in sensors):
            have.append("processor" if device == "cpu" else "GPU")
        else:
            missing += sensors
    if have and len(have) == len(chosen):
        return Measured("Energy", "every trial" if len(have) == 1 else "all devices")
    if have:
        return Measured("Energy", f"{have[0]} only" if len(chosen) == 2 else f"{len(have)} of {len(chosen)} devices")
    sensor = next((s for s in missing if s.reason), None)
    why = f": {as_clause(sensor.reason)}" if sensor is not None else ": no sensor found"
    return Measured("Energy", f"not available{why}", False, sensor.hint if sensor is not None else "")


def _is_energy(sensor: Sensor) -> bool:
    return sensor.quantity.endswith(("_joules", "_watts")) and "limit" not in sensor.quantity


def _of_device(sensor: Sensor, device: str) -> bool:
    if device == "cpu":
        return not sensor.source.startswith("nvml")
    return sensor.source in ("nvml", f"nvml.{device.partition(':')[2]}")


def _quality(experiment: Experiment, plan: Plan | None) -> Measured:
    load = experiment.workload.inference
    if load is None:
        return Measured("Quality", "loss on held-out text, before and after")
    tasks = f"accuracy on {counted(len(load.tasks), 'tasks')}" if load.tasks else ""
    wanted = [part for part in ("perplexity on held-out text" if load.perplexity_tokens else "", tasks) if part]
    if not wanted:
        return Measured("Quality", "left out: 0 tokens for perplexity, no task", False)
    # of the configurations that train a model first, nothing is measured in this way
    works = [(c.model, c.workload) for c in (plan.configurations if plan is not None else ())]
    models = {model.ref: (model, work) for model, work in works if isinstance(work, Inference)}
    without = [model for model, work in models.values() if not (work.perplexity_tokens or work.tasks)]
    random = all(model.kind == "random" for model in without)
    if without and len(without) == len(models):
        why = "the weights are random" if random else "no model has a tokenizer and weights of its own"
        return Measured("Quality", f"not available: {why}", False)
    if without:
        why = "random weights have none" if random else "the others have no tokenizer, or random weights"
        return Measured("Quality", f"{len(models) - len(without)} of {len(models)} models; {why}")
    return Measured("Quality", ", ".join(wanted) + (", every model" if len(models) > 1 else ""))
