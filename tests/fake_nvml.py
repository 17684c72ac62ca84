"""A scripted NVML: what `pynvml` offers to `engines.telemetry`, over GPUs that a test describes.

`FakeNvml` has the functions, constants and exception classes of `engines.telemetry.nvml_library.NvmlLibrary` and
nothing more; `tests/engines/telemetry/test_nvml_interface.py` holds it to the real library. Time is `clock()`, so that
power curves and energy counters are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace


class NVMLError(Exception):
    """As in pynvml: made from a number, it becomes the class of that number."""

    text = "Unknown Error"
    value = 999

    def __new__(cls, value: int | None = None) -> NVMLError:
        kinds = {kind.value: kind for kind in NVMLError.__subclasses__()}
        return super().__new__(kinds.get(value, cls) if cls is NVMLError and value is not None else cls)

    def __str__(self) -> str:
        return self.text


class NVMLError_InvalidArgument(NVMLError):
    value, text = 2, "Invalid Argument"


class NVMLError_NotSupported(NVMLError):
    value, text = 3, "Not Supported"


class NVMLError_NoPermission(NVMLError):
    value, text = 4, "Insufficient Permissions"


class NVMLError_NotFound(NVMLError):
    value, text = 6, "Not Found"


class NVMLError_DriverNotLoaded(NVMLError):
    value, text = 9, "Driver Not Loaded"


class NVMLError_LibraryNotFound(NVMLError):
    value, text = 12, "NVML Shared Library Not Found"


class NVMLError_FunctionNotFound(NVMLError):
    value, text = 13, "Function Not Found"


class NVMLError_GpuIsLost(NVMLError):
    value, text = 15, "GPU is lost"


class NVMLError_Uninitialized(NVMLError):
    value, text = 1, "Uninitialized"


@dataclass
class FakeGpu:
    """One GPU. `refuses` maps a function's name (or "POWER_INSTANT") to the error it raises."""

    uuid: str = "GPU-0a1b2c3d-0000-1111-2222-333344445555"
    name: str = "NVIDIA Test 100"
    memory_total: int = 80 << 30
    memory_used: int = 1 << 30
    memory_reserved: int = 512 << 20
    utilisation: int = 97
    memory_utilisation: int = 41
    watts: Callable[[float], float] = lambda _t: 300.0
    joules: Callable[[float], float] = lambda t: 300.0 * t
    celsius: int = 61
    sm_megahertz: int = 1410
    memory_megahertz: int = 1593
    throttle: int = 4
    limit_watts: float = 400.0
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    refuses: dict[str, type[NVMLError]] = field(default_factory=dict)
    slices: list[FakeGpu] = field(default_factory=list)
    lost: bool = False
    parent: FakeGpu | None = None

    def __post_init__(self) -> None:
        for part in self.slices:
            part.parent = self


class FakeNvml:
    NVMLError = NVMLError
    NVMLError_LibraryNotFound = NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded = NVMLError_DriverNotLoaded
    NVMLError_NotSupported = NVMLError_NotSupported
    NVMLError_NoPermission = NVMLError_NoPermission
    NVMLError_FunctionNotFound = NVMLError_FunctionNotFound
    NVMLError_GpuIsLost = NVMLError_GpuIsLost
    NVML_SUCCESS = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_TEMPERATURE_GPU = 0
    NVML_FI_DEV_POWER_INSTANT = 186
    NVML_VALUE_TYPE_DOUBLE = 0
    NVML_VALUE_TYPE_UNSIGNED_INT = 1
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 33554472

    def __init__(
        self,
        *gpus: FakeGpu,
        clock: Callable[[], float] = lambda: 0.0,
        init_error: type[NVMLError] | None = None,
    ) -> None:
        self.gpus = gpus
        self.clock = clock
        self.init_error = init_error
        self.open = 0
        self.calls: list[str] = []

    # --- the library ---

    def nvmlInit(self) -> None:
        if self.init_error is not None:
            raise self.init_error
        self.open += 1

    def nvmlShutdown(self) -> None:
        if self.open == 0:
            raise NVMLError_Uninitialized
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.82.07"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:
        return 13000

    # --- finding devices ---

    def nvmlDeviceGetCount(self) -> int:
        self._need_open()
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        self._need_open()
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        self._need_open()
        everything = [*self.gpus, *(part for gpu in self.gpus for part in gpu.slices)]
        for gpu in everything:
            if gpu.uuid == uuid:
                return gpu
        raise NVMLError_NotFound

    def nvmlDeviceGetMigMode(self, device: FakeGpu) -> Sequence[int]:
        self._answer("nvmlDeviceGetMigMode", device)
        return [1, 1] if device.slices else [0, 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device: FakeGpu) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeGpu, index: int) -> FakeGpu:
        if index >= len(device.slices):
            raise NVMLError_NotFound
        return device.slices[index]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, migDevice: FakeGpu) -> FakeGpu:
        if migDevice.parent is None:
            raise NVMLError_InvalidArgument
        return migDevice.parent

    # --- one device ---

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return handle.name

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeGpu) -> tuple[int, int]:
        self._answer("nvmlDeviceGetCudaComputeCapability", handle)
        return (9, 0)

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu, version: int | None = None) -> SimpleNamespace:
        self._answer("nvmlDeviceGetMemoryInfo", handle)
        if version is not None:
            self._answer("nvmlDeviceGetMemoryInfo_v2", handle)
        used = handle.memory_used + (handle.memory_reserved if version is None else 0)
        free = handle.memory_total - handle.memory_used - handle.memory_reserved
        return SimpleNamespace(total=handle.memory_total, used=used, free=free)

    def nvmlDeviceGetUtilizationRates(self, handle: FakeGpu) -> SimpleNamespace:
        self._answer("nvmlDeviceGetUtilizationRates", handle)
        return SimpleNamespace(gpu=handle.utilisation, memory=handle.memory_utilisation)

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:
        self._answer("nvmlDeviceGetPowerUsage", handle)
        return round(handle.watts(self.clock()) * 1000)

    def nvmlDeviceGetFieldValues(self, handle: FakeGpu, fieldIds: Sequence[int]) -> list[SimpleNamespace]:
        self._answer("nvmlDeviceGetFieldValues", handle)
        refusal = handle.refuses.get("POWER_INSTANT")
        milliwatts = round(handle.watts(self.clock()) * 1000)
        values = []
        for number in fieldIds:
            known = number == self.NVML_FI_DEV_POWER_INSTANT and refusal is None
            code = 0 if known else (refusal or NVMLError_NotSupported).value
            union = SimpleNamespace(dVal=0.0, uiVal=milliwatts, ullVal=milliwatts | 0xDEAD << 32)
            values.append(SimpleNamespace(nvmlReturn=code, valueType=self.NVML_VALUE_TYPE_UNSIGNED_INT, value=union))
        return values

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: FakeGpu) -> int:
        self._answer("nvmlDeviceGetTotalEnergyConsumption", handle)
        return round(handle.joules(self.clock()) * 1000)

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:
        self._answer("nvmlDeviceGetTemperature", handle)
        return handle.celsius

    def nvmlDeviceGetClockInfo(self, handle: FakeGpu, type: int) -> int:
        self._answer("nvmlDeviceGetClockInfo", handle)
        return handle.sm_megahertz if type == self.NVML_CLOCK_SM else handle.memory_megahertz

    def nvmlDeviceGetMaxClockInfo(self, handle: FakeGpu, type: int) -> int:
        self._answer("nvmlDeviceGetMaxClockInfo", handle)
        return 1980 if type == self.NVML_CLOCK_SM else 2619

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: FakeGpu) -> int:
        self._answer("nvmlDeviceGetCurrentClocksEventReasons", handle)
        return handle.throttle

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: FakeGpu) -> int:
        self._answer("nvmlDeviceGetEnforcedPowerLimit", handle)
        return round(handle.limit_watts * 1000)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: FakeGpu) -> list[SimpleNamespace]:
        self._answer("nvmlDeviceGetComputeRunningProcesses_v3", handle)
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in handle.processes]

    def _need_open(self) -> None:
        if self.open == 0:
            raise NVMLError_Uninitialized

    def _answer(self, function: str, gpu: FakeGpu) -> None:
        """What every question to a device goes through: closed library, lost device, unsupported function."""
        self._need_open()
        self.calls.append(function)
        if gpu.lost or (gpu.parent is not None and gpu.parent.lost):
            raise NVMLError_GpuIsLost
        if function in gpu.refuses:
            raise gpu.refuses[function]
