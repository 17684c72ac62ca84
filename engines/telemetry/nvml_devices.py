"""The NVIDIA GPUs of this machine and their unchanging facts. Short calls; any thread that has opened NVML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engines.telemetry.nvml_library import Handle, NvmlLibrary


@dataclass(frozen=True)
class Gpu:
    """One GPU or MIG slice. Memory in bytes, 0 where the device has none of its own; facts are "" where unknown."""

    uuid: str
    title: str
    is_slice: bool
    memory_total_bytes: int
    memory_free_bytes: int
    driver: str
    cuda: str
    """Highest CUDA version the driver supports."""
    compute_capability: str
    power_limit_watts: str
    clock_max_hertz: str
    memory_clock_max_hertz: str


def gpus(library: NvmlLibrary) -> tuple[Gpu, ...]:
    """GPUs in NVML's order; of a partitioned one its slices instead, for only they can run anything.

    Raises NVML's error when the devices cannot be counted; one that fails on the way is left out."""
    found = []
    for index in range(library.nvmlDeviceGetCount()):
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
            slices = tuple(_slices(library, handle))
            if slices:
                found += [describe(library, part, parent=handle) for part in slices]
            else:
                found.append(describe(library, handle))
        except library.NVMLError:
            continue
    return tuple(found)


def _slices(library: NvmlLibrary, handle: Handle) -> Iterator[Handle]:
    try:
        if library.nvmlDeviceGetMigMode(handle)[0] != library.NVML_DEVICE_MIG_ENABLE:
            return
        count = library.nvmlDeviceGetMaxMigDeviceCount(handle)
    except library.NVMLError:
        return
    for index in range(count):
        try:
            yield library.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except library.NVMLError:
            continue


def describe(library: NvmlLibrary, handle: Handle, parent: Handle | None = None) -> Gpu:
    """Facts of one device. Raises NVML's error when it does not even tell its UUID."""
    whole = handle if parent is None else parent

    def known(read: Callable[[], str]) -> str:
        try:
            return read()
        except library.NVMLError:
            return ""

    def capability() -> str:
        major, minor = library.nvmlDeviceGetCudaComputeCapability(whole)
        return f"{major}.{minor}"

    def cuda() -> str:
        number = library.nvmlSystemGetCudaDriverVersion_v2()
        return f"{number // 1000}.{number % 1000 // 10}"

    def clock_max(kind: int) -> str:
        return str(library.nvmlDeviceGetMaxClockInfo(whole, kind) * 1_000_000)

    try:
        memory = library.nvmlDeviceGetMemoryInfo(handle)
        total, free = int(memory.total), int(memory.free)
    except library.NVMLError:
        total = free = 0
    return Gpu(
        uuid=library.nvmlDeviceGetUUID(handle),
        title=known(lambda: library.nvmlDeviceGetName(handle)) or "NVIDIA GPU",
        is_slice=parent is not None,
        memory_total_bytes=total,
        memory_free_bytes=free,
        driver=known(library.nvmlSystemGetDriverVersion),
        cuda=known(cuda),
        compute_capability=known(capability),
        power_limit_watts=known(lambda: f"{library.nvmlDeviceGetEnforcedPowerLimit(whole) / 1000:g}"),
        clock_max_hertz=known(lambda: clock_max(library.NVML_CLOCK_SM)),
        memory_clock_max_hertz=known(lambda: clock_max(library.NVML_CLOCK_MEM)),
    )
