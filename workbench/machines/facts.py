"""What a probe says, as the facts that techniques and estimates ask for. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engines.protocol.messages import Device, ProbeResult
from engines.techniques import MachineFacts


def best_device(machine: ProbeResult) -> Device | None:
    """The device that "this" means: the GPU with most memory where there is one, else the processor."""
    gpus = [d for d in machine.devices if d.id.startswith("cuda")]
    if gpus:
        return max(gpus, key=lambda d: d.memory_total_bytes)
    return next((d for d in machine.devices if d.id == "cpu"), None)


def visible(machine: ProbeResult, variables: Mapping[str, str]) -> ProbeResult:
    """The machine without the GPUs that a command's CUDA_VISIBLE_DEVICES hides from it. Numbers count where they can
    mean only one GPU: CUDA and the driver number unlike GPUs differently, unless CUDA_DEVICE_ORDER is PCI_BUS_ID."""
    wanted = variables.get("CUDA_VISIBLE_DEVICES")
    gpus = [d for d in machine.devices if d.id.startswith("cuda:")]
    if wanted is None or not gpus:
        return machine
    shown: list[Device] = []
    for word in filter(None, map(str.strip, wanted.split(","))):
        if word.isdecimal() and len({d.title for d in gpus}) > 1 and variables.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            return machine
        meant = gpus[int(word) :][:1] if word.isdecimal() else [d for d in gpus if d.id.startswith(f"cuda:{word}")]
        if len(meant) != 1:
            break  # as CUDA does: what follows a name that it does not know is hidden too
        shown += meant
    return msgspec.structs.replace(machine, devices=tuple(d for d in machine.devices if d not in gpus or d in shown))


def find_device(machine: ProbeResult, name: str) -> Device | None:
    """By id ("cuda:GPU-3f…"), by a beginning of it that fits one device only, or by number ("cuda:0")."""
    exact = next((d for d in machine.devices if d.id == name), None)
    if exact is not None:
        return exact
    kind, _, rest = name.partition(":")
    if rest.isdecimal():
        same = [d for d in machine.devices if d.id.startswith(f"{kind}:")]
        return same[int(rest)] if int(rest) < len(same) else None
    near = [d for d in machine.devices if d.id.startswith(name)]
    return near[0] if len(near) == 1 else None


def machine_facts(machine: ProbeResult, device: Device | None = None) -> MachineFacts:
    """Facts of one device of the machine; without one named, of the best."""
    chosen = device or best_device(machine)
    packages = {p.name: p.version for p in machine.packages if p.version}
    if chosen is None:
        return MachineFacts(device_kind="cpu", packages=packages)
    details = chosen.details
    flags = details.get("flags") or machine.facts.get("cpu.flags", "")
    cores = _number(details.get("cores") or machine.facts.get("cpu.cores", ""))
    threads = _number(details.get("threads_default", "")) or max(1, cores - 1)
    major, _, minor = details.get("compute_capability", "").partition(".")
    return MachineFacts(
        device_kind=chosen.id.partition(":")[0],
        device_count=1 + len(further_devices(machine, chosen)),
        memory_total_bytes=chosen.memory_total_bytes,
        memory_free_bytes=chosen.memory_free_bytes,
        cores=cores,
        threads_default=threads,
        compute_capability=(_number(major), _number(minor)),
        packages=packages,
        processor_flags=frozenset(flags.split()),
    )


def further_devices(machine: ProbeResult, device: Device) -> tuple[str, ...]:
    """Those that one trial can hold beside this one. A cluster's device stands for each GPU of a job."""
    kind, _, _ = device.id.partition(":")
    if each := _number(device.details.get("count", "")):
        return (device.id,) * (each - 1)
    return tuple(d.id for d in machine.devices if d.id.startswith(f"{kind}:") and d.id != device.id)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
