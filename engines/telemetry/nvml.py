"""Readings of one NVIDIA GPU through NVML, by UUID. Runs in the sampler's thread; opens no CUDA context.

Every quantity is tried once when the source opens: one the GPU does not report is listed with NVML's reason and
never read again. A slice of a partitioned GPU (MIG) has memory of its own; power and utilisation belong to the
whole GPU and its other tenants, so a slice has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from engines.protocol.records import Sensor
from engines.telemetry.base import Reading, SourceFailure
from engines.telemetry.nvml_library import FieldValue, Handle, NvmlLibrary, in_words, start

NAME = "nvml"
_PROCESSES_PERIOD_S = 1.0

Read = Callable[[], float]


@dataclass(frozen=True)
class _Quantity:
    name: str
    title: str
    method: str
    read: Read


@dataclass(frozen=True)
class _Refused:
    """A quantity of another owner: the whole GPU's power, seen from a slice."""

    name: str
    title: str
    reason: str


def source_name(uuid: str) -> str:
    return f"{NAME}.{uuid}"


def mig_parent(library: NvmlLibrary, handle: Handle) -> Handle | None:
    """The whole GPU behind a MIG slice, None when the handle is a whole GPU."""
    try:
        if not library.nvmlDeviceGetUUID(handle).startswith("MIG-"):
            return None
        return library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    except library.NVMLError:
        return None


class NvmlDevice:
    """One GPU (or MIG slice), its handle opened once. Raises `NvmlUnavailable` or `SourceFailure` when it opens."""

    disturbs = False

    def __init__(self, library: NvmlLibrary, uuid: str, period_s: float) -> None:
        self.name = source_name(uuid)
        self.period_s = period_s
        self._library = library
        start(library)
        self._open = True
        try:
            self.handle = library.nvmlDeviceGetHandleByUUID(uuid)
        except library.NVMLError as error:
            self.close()
            raise SourceFailure(f"There is no GPU {uuid} on this machine (NVML: {error}).") from error
        parent = mig_parent(library, self.handle)
        self.is_slice = parent is not None
        self._quantities: list[_Quantity] = []
        self._sensors: list[Sensor] = []
        for candidate in _candidates(library, self.handle, parent):
            self._admit(candidate)

    def _admit(self, candidate: _Quantity | _Refused) -> None:
        reason = hint = method = ""
        if isinstance(candidate, _Refused):
            reason = candidate.reason
        else:
            method = candidate.method
            try:
                candidate.read()
            except self._library.NVMLError as error:
                reason, hint = in_words(self._library, error)
            else:
                self._quantities.append(candidate)
        self._sensors.append(
            Sensor(
                source=self.name,
                quantity=candidate.name,
                title=candidate.title,
                method=method,
                rate_hz=1 / self.period_s,
                available=not reason,
                reason=reason,
                hint=hint,
            )
        )

    def sensors(self) -> tuple[Sensor, ...]:
        return tuple(self._sensors)

    def calls(self) -> tuple[tuple[str, Read], ...]:
        """Each quantity's own reading, to be timed alone. They raise NVML's errors."""
        return tuple((quantity.name, quantity.read) for quantity in self._quantities)

    def read(self) -> Reading:
        reading: Reading = {}
        problem = ""
        for quantity in self._quantities:
            try:
                reading[quantity.name] = quantity.read()
            except self._library.NVMLError_GpuIsLost as error:
                raise SourceFailure(f"The GPU no longer answers its driver (NVML: {error}).") from error
            except self._library.NVMLError as error:
                reading[quantity.name] = None
                problem = str(error)
        if problem and all(value is None for value in reading.values()):
            raise SourceFailure(f"The GPU answers nothing any more (NVML: {problem}).")
        return reading

    def close(self) -> None:
        if self._open:
            self._open = False
            self._library.nvmlShutdown()


class NvmlProcesses:
    """Memory of the worker's processes on the device, once a second: the query takes locks in the driver."""

    period_s = _PROCESSES_PERIOD_S
    disturbs = True

    def __init__(self, device: NvmlDevice, library: NvmlLibrary, pids: Callable[[], Iterable[int]]) -> None:
        """`pids` gives the worker's processes at the time of the call. The device closes after this source."""
        self.name = device.name
        self._library = library
        self._device = device
        self._pids = pids
        self._reason = self._hint = ""
        try:
            library.nvmlDeviceGetComputeRunningProcesses_v3(device.handle)
        except library.NVMLError as error:
            self._reason, self._hint = in_words(library, error)

    def sensors(self) -> tuple[Sensor, ...]:
        return (
            Sensor(
                source=self.name,
                quantity="process_memory_bytes",
                title="Memory of the worker on the GPU",
                method="nvmlDeviceGetComputeRunningProcesses, the worker's processes; in a container with process "
                "numbers of its own the driver's list may not name the worker",
                rate_hz=1 / self.period_s,
                available=not self._reason,
                reason=self._reason,
                hint=self._hint,
            ),
        )

    def read(self) -> Reading:
        """Nothing until the driver lists one of the worker's processes: absence is not zero."""
        try:
            listed = self._library.nvmlDeviceGetComputeRunningProcesses_v3(self._device.handle)
        except self._library.NVMLError as error:
            raise SourceFailure(f"The driver no longer lists the GPU's processes (NVML: {error}).") from error
        ours = set(self._pids())
        used = [process.usedGpuMemory for process in listed if process.pid in ours]
        known = [value for value in used if value is not None]
        return {"process_memory_bytes": sum(known)} if known else {}

    def close(self) -> None:
        """The device owns the handle."""


def field_number(library: NvmlLibrary, value: FieldValue) -> float:
    """A field's value by its declared type. Raises NVML's error when the device did not give it."""
    if value.nvmlReturn != library.NVML_SUCCESS:
        raise library.NVMLError(value.nvmlReturn)
    if value.valueType == library.NVML_VALUE_TYPE_DOUBLE:
        return value.value.dVal
    if value.valueType == library.NVML_VALUE_TYPE_UNSIGNED_INT:
        return value.value.uiVal
    return value.value.ullVal


def _candidates(library: NvmlLibrary, handle: Handle, parent: Handle | None) -> Iterable[_Quantity | _Refused]:
    """Every quantity of a device, in the order of the house's list."""
    gpu = handle if parent is None else parent
    whole = "" if parent is None else "; of the whole GPU that the slice belongs to"
    yield _memory(library, handle)
    if parent is None:
        yield from _load_and_power(library, handle)
    else:
        shared = "This is a slice of a partitioned GPU (MIG): NVIDIA measures {} for the whole GPU and all its tenants."
        yield _Refused("utilisation_ratio", "GPU use", shared.format("use"))
        yield _Refused("memory_utilisation_ratio", "GPU memory use", shared.format("use"))
        yield _Refused("power_watts", "GPU power", shared.format("power"))
        yield _Refused("energy_joules", "GPU energy", shared.format("energy"))
    yield _Quantity(
        "temperature_celsius",
        "GPU temperature",
        f"nvmlDeviceGetTemperature{whole}",
        lambda: library.nvmlDeviceGetTemperature(gpu, library.NVML_TEMPERATURE_GPU),
    )
    yield _Quantity(
        "sm_clock_hertz",
        "Clock of the multiprocessors",
        f"nvmlDeviceGetClockInfo{whole}",
        lambda: library.nvmlDeviceGetClockInfo(gpu, library.NVML_CLOCK_SM) * 1e6,
    )
    yield _Quantity(
        "memory_clock_hertz",
        "Clock of the GPU's memory",
        f"nvmlDeviceGetClockInfo{whole}",
        lambda: library.nvmlDeviceGetClockInfo(gpu, library.NVML_CLOCK_MEM) * 1e6,
    )
    yield _Quantity(
        "throttle_reasons_bits",
        "Reasons for lowered clocks",
        f"nvmlDeviceGetCurrentClocksEventReasons, a set of bits{whole}",
        lambda: library.nvmlDeviceGetCurrentClocksEventReasons(gpu),
    )
    yield _Quantity(
        "power_limit_watts",
        "Power limit",
        f"nvmlDeviceGetEnforcedPowerLimit{whole}",
        lambda: library.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
    )


def _memory(library: NvmlLibrary, handle: Handle) -> _Quantity | _Refused:
    title = "GPU memory in use"
    try:
        library.nvmlDeviceGetMemoryInfo(handle, version=library.nvmlMemory_v2)
    except library.NVMLError_NotSupported:
        return _Refused(
            "memory_used_bytes",
            title,
            "This GPU shares the machine's memory and reports none of its own: see the machine's memory instead.",
        )
    except library.NVMLError:
        return _Quantity(
            "memory_used_bytes",
            title,
            "nvmlDeviceGetMemoryInfo, whole device, with what the driver reserves for itself",
            lambda: library.nvmlDeviceGetMemoryInfo(handle).used,
        )
    return _Quantity(
        "memory_used_bytes",
        title,
        "nvmlDeviceGetMemoryInfo v2, whole device, without what the driver reserves for itself",
        lambda: library.nvmlDeviceGetMemoryInfo(handle, version=library.nvmlMemory_v2).used,
    )


def _load_and_power(library: NvmlLibrary, handle: Handle) -> Iterable[_Quantity]:
    yield _Quantity(
        "utilisation_ratio",
        "GPU use",
        "nvmlDeviceGetUtilizationRates, share of time with any kernel running",
        lambda: library.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
    )
    yield _Quantity(
        "memory_utilisation_ratio",
        "GPU memory use",
        "nvmlDeviceGetUtilizationRates, share of time in which memory was read or written",
        lambda: library.nvmlDeviceGetUtilizationRates(handle).memory / 100,
    )
    yield _power(library, handle)
    yield _Quantity(
        "energy_joules",
        "GPU energy",
        "nvmlDeviceGetTotalEnergyConsumption, counter since the driver was loaded",
        lambda: library.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
    )


def _power(library: NvmlLibrary, handle: Handle) -> _Quantity:
    """The instantaneous field where the device has one: the plain reading smooths away everything under a second."""

    def instant() -> float:
        (value,) = library.nvmlDeviceGetFieldValues(handle, [library.NVML_FI_DEV_POWER_INSTANT])
        return field_number(library, value) / 1000

    try:
        instant()
    except library.NVMLError:
        return _Quantity(
            "power_watts",
            "GPU power",
            "nvmlDeviceGetPowerUsage, a 1 s average on most GPUs since Ampere",
            lambda: library.nvmlDeviceGetPowerUsage(handle) / 1000,
        )
    return _Quantity("power_watts", "GPU power", "NVML_FI_DEV_POWER_INSTANT, instantaneous", instant)
