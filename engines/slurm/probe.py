"""What a cluster has, as a plan needs it: of the node that ran last, or what Slurm says of the partition. Blocking."""

from __future__ import annotations

import msgspec

from engines.host.probe import probe
from engines.protocol.job_settings import JobSettings
from engines.protocol.messages import Device, ProbeResult
from engines.slurm.commands import SlurmError, partition_nodes
from engines.slurm.node import ANY_GPU


def cluster_probe(settings: JobSettings, node: ProbeResult | None) -> ProbeResult:
    """Packages and data are those of this machine, which nodes share. `node`: as the last one that ran saw itself."""
    here = probe()
    seen = node or msgspec.structs.replace(here, devices=(_cpu_of_partition(settings),), sensors=(), facts={})
    return msgspec.structs.replace(
        here, machine=seen.machine, devices=cluster_devices(settings, seen), sensors=seen.sensors, facts=seen.facts
    )


def cluster_devices(settings: JobSettings, node: ProbeResult) -> tuple[Device, ...]:
    """Those that trials can name: the node's processor, and any GPU of a job that has one."""
    gpus = [device for device in node.devices if device.id.startswith("cuda:")]
    others = [device for device in node.devices if device not in gpus]
    return (*others, _any_gpu(gpus, settings.gpus)) if settings.gpus else tuple(others)


def _any_gpu(found: list[Device], each: int) -> Device:
    """The least of those a job was given, under the name that stands for whichever it will be. `each`: how many a job
    has."""
    count = {"count": str(each)}
    if not found:
        title = "GPU that Slurm gives"
        return Device(id=ANY_GPU, title=title, memory_total_bytes=0, memory_free_bytes=0, details=count)
    least = min(found, key=lambda device: device.memory_total_bytes)
    return msgspec.structs.replace(
        least, id=ANY_GPU, memory_free_bytes=least.memory_total_bytes, details=least.details | count
    )


def _cpu_of_partition(settings: JobSettings) -> Device:
    """The smallest node's processors and memory, as far as a job may have them."""
    try:
        sizes = [int(node.get("RealMemory", "0")) << 20 for node in partition_nodes(settings)]
    except (SlurmError, ValueError):
        sizes = []
    size = settings.memory_bytes or min(sizes, default=0)
    return Device(
        id="cpu",
        title=f"{settings.cpus} processor{'s' * (settings.cpus != 1)} of a node",
        memory_total_bytes=size,
        memory_free_bytes=size,
        details={"cores": str(settings.cpus), "threads_default": str(max(1, settings.cpus - 1))},
    )
