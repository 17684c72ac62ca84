"""Which sources a trial needs, and what the sensors of this machine can measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engines.protocol.orders import TrialOrder
from engines.protocol.records import Sensor
from engines.telemetry import hwmon, nvml, proc_host, proc_tree, rapl
from engines.telemetry.base import SharedPages, Source, SourceEnded, SourceFailure
from engines.telemetry.nvml_devices import gpus
from engines.telemetry.nvml_library import NvmlLibrary, NvmlUnavailable, load_nvml, opened

RATE_MAX_HZ = 20.0
"""Faster than this, watching disturbs what is watched."""
CUDA = "cuda:"
PROC = Path("/proc")
SYS = Path("/sys")

LoadNvml = Callable[[], NvmlLibrary]


def period_of(order: TrialOrder) -> float:
    """Seconds between readings: the order's rate within 0.1 .. 20 Hz."""
    return 1 / min(RATE_MAX_HZ, max(0.1, order.telemetry.rate_hz))


def gpus_of(order: TrialOrder) -> tuple[str, ...]:
    """UUIDs of the GPUs that the trial runs on."""
    return tuple(device.removeprefix(CUDA) for device in order.devices if device.startswith(CUDA))


def open_sources(
    order: TrialOrder,
    worker_pid: int,
    *,
    shared: SharedPages | None = None,
    proc: Path = PROC,
    sys: Path = SYS,
    nvml_loader: LoadNvml = load_nvml,
) -> tuple[list[Source], tuple[Sensor, ...]]:
    """The trial's sources, fast ones first, and sensors of those that would not open.

    `shared`: the template that the worker was forked from. A GPU is opened only when the trial runs on it. Never
    raises for missing hardware.
    """
    period_s = period_of(order)
    sources: list[Source] = []
    missing: list[Sensor] = []
    pids: Callable[[], tuple[int, ...]] = tuple
    tree: proc_tree.ProcTree | None = None
    try:
        tree = proc_tree.ProcTree(worker_pid, period_s, proc=proc)
    except SourceEnded as error:
        sensors = (*proc_tree.sensors_of_tree(1 / period_s), *proc_tree.sensors_of_details(""))
        missing += _unavailable(sensors, f"The worker had ended before it could be watched ({error}).")
    else:
        sources.append(tree)
        pids = lambda: tree.pids  # noqa: E731
    host_seconds = (lambda: tree.cpu_seconds) if tree is not None else (lambda: 0.0)
    try:
        sources.append(proc_host.ProcHost(period_s, tree_seconds=host_seconds, proc=proc))
    except OSError as error:
        rate_hz = 1 / proc_host.period_of(period_s)
        missing += _unavailable(proc_host.sensors_of_use(rate_hz), f"/proc cannot be read: {error}.")
    for uuid in gpus_of(order):
        gpu_sources, gpu_missing = _open_gpu(uuid, period_s, pids, nvml_loader)
        sources += gpu_sources
        missing += gpu_missing
    sources.append(rapl.Rapl(period_s, sys=sys))
    sources.append(hwmon.CpuTemperature(sys=sys))
    try:
        sources.append(proc_host.ProcHostDetails(proc=proc))
    except OSError as error:
        missing += _unavailable(proc_host.sensors_of_details(proc), f"/proc cannot be read: {error}.")
    if tree is not None:
        sources.append(proc_tree.ProcTreeDetails(tree, shared=shared, proc=proc))
    return sources, tuple(missing)


def _open_gpu(
    uuid: str, period_s: float, pids: Callable[[], tuple[int, ...]], nvml_loader: LoadNvml
) -> tuple[list[Source], list[Sensor]]:
    try:
        library = nvml_loader()
        device = nvml.NvmlDevice(library, uuid, period_s)
    except (NvmlUnavailable, SourceFailure) as error:
        hint = error.hint if isinstance(error, NvmlUnavailable) else "Run the machine's probe again: GPUs may change."
        return [], list(_absent_gpu(nvml.source_name(uuid), str(error), hint))
    return [device, nvml.NvmlProcesses(device, library, pids)], []


def available_sensors(
    *, rate_hz: float = 10.0, proc: Path = PROC, sys: Path = SYS, nvml_loader: LoadNvml = load_nvml
) -> tuple[Sensor, ...]:
    """Every quantity this machine's sensors could give to a trial, and why the others cannot be had."""
    return (
        *proc_tree.sensors_of_tree(rate_hz),
        *proc_tree.sensors_of_details(proc_tree.maps_obstacle(proc, _self_pid(proc))),
        *proc_host.sensors_of_use(1 / proc_host.period_of(1 / rate_hz)),
        *proc_host.sensors_of_details(proc),
        *rapl.sensors_of_rapl(rate_hz, sys),
        *hwmon.sensors_of_hwmon(sys),
        *_gpu_sensors(rate_hz, nvml_loader),
    )


def _self_pid(proc: Path) -> int:
    try:
        return int((proc / "self").readlink().name)
    except (OSError, ValueError):
        return 0


def _gpu_sensors(rate_hz: float, nvml_loader: LoadNvml) -> tuple[Sensor, ...]:
    found: list[Sensor] = []
    library = nvml_loader()
    try:
        with opened(library):
            for gpu in gpus(library):
                found += _sensors_of_gpu(library, gpu.uuid, 1 / rate_hz)
    except NvmlUnavailable as error:
        return _absent_gpu(nvml.NAME, str(error), error.hint)
    except library.NVMLError as error:
        return _absent_gpu(nvml.NAME, f"NVIDIA's driver does not list its GPUs: {error}.", "Try nvidia-smi.")
    return tuple(found) or _absent_gpu(nvml.NAME, "NVIDIA's driver is loaded and finds no GPU.", "")


def _sensors_of_gpu(library: NvmlLibrary, uuid: str, period_s: float) -> tuple[Sensor, ...]:
    try:
        device = nvml.NvmlDevice(library, uuid, period_s)
    except (NvmlUnavailable, SourceFailure) as error:
        return _absent_gpu(nvml.source_name(uuid), str(error), "")
    try:
        return (*device.sensors(), *nvml.NvmlProcesses(device, library, tuple).sensors())
    finally:
        device.close()


_GPU_QUANTITIES = {
    "memory_used_bytes": "GPU memory in use",
    "utilisation_ratio": "GPU use",
    "power_watts": "GPU power",
    "energy_joules": "GPU energy",
    "temperature_celsius": "GPU temperature",
    "sm_clock_hertz": "Clock of the multiprocessors",
    "throttle_reasons_bits": "Reasons for lowered clocks",
}
"""What is missed without a GPU, for people."""


def _absent_gpu(source: str, reason: str, hint: str) -> tuple[Sensor, ...]:
    return tuple(
        Sensor(source=source, quantity=quantity, title=title, method="NVML", available=False, reason=reason, hint=hint)
        for quantity, title in _GPU_QUANTITIES.items()
    )


def _unavailable(sensors: tuple[Sensor, ...], reason: str) -> list[Sensor]:
    return [
        Sensor(source=s.source, quantity=s.quantity, title=s.title, method=s.method, available=False, reason=reason)
        for s in sensors
    ]
