"""The part of NVIDIA's management library that we use, as a type; loading it; its errors in words.

`NvmlLibrary` is what `pynvml` (nvidia-ml-py) offers by these names, and what the tests' fake offers: one test holds
both to it. Nothing else in this project names an NVML function.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

Handle = object


class Memory(Protocol):
    total: int
    free: int
    used: int


class Utilisation(Protocol):
    gpu: int
    memory: int


class FieldNumber(Protocol):
    """A C union: only the member that `valueType` names means anything."""

    dVal: float
    uiVal: int
    ullVal: int


class FieldValue(Protocol):
    nvmlReturn: int
    valueType: int
    value: FieldNumber


class DeviceProcess(Protocol):
    pid: int
    usedGpuMemory: int | None


class NvmlLibrary(Protocol):
    NVMLError: type[Exception]
    NVMLError_LibraryNotFound: type[Exception]
    NVMLError_DriverNotLoaded: type[Exception]
    NVMLError_NotSupported: type[Exception]
    NVMLError_NoPermission: type[Exception]
    NVMLError_FunctionNotFound: type[Exception]
    NVMLError_GpuIsLost: type[Exception]
    NVML_SUCCESS: int
    NVML_CLOCK_SM: int
    NVML_CLOCK_MEM: int
    NVML_TEMPERATURE_GPU: int
    NVML_FI_DEV_POWER_INSTANT: int
    NVML_VALUE_TYPE_DOUBLE: int
    NVML_VALUE_TYPE_UNSIGNED_INT: int
    NVML_DEVICE_MIG_ENABLE: int
    nvmlMemory_v2: int

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlSystemGetCudaDriverVersion_v2(self) -> int: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Handle: ...
    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Handle: ...
    def nvmlDeviceGetUUID(self, handle: Handle) -> str: ...
    def nvmlDeviceGetName(self, handle: Handle) -> str: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: Handle) -> tuple[int, int]: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> Memory: ...
    def nvmlDeviceGetUtilizationRates(self, handle: Handle) -> Utilisation: ...
    def nvmlDeviceGetPowerUsage(self, handle: Handle) -> int: ...
    def nvmlDeviceGetFieldValues(self, handle: Handle, fieldIds: Sequence[int]) -> Sequence[FieldValue]: ...
    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Handle) -> int: ...
    def nvmlDeviceGetTemperature(self, handle: Handle, sensor: int) -> int: ...
    def nvmlDeviceGetClockInfo(self, handle: Handle, type: int) -> int: ...
    def nvmlDeviceGetMaxClockInfo(self, handle: Handle, type: int) -> int: ...
    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: Handle) -> int: ...
    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Handle) -> int: ...
    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Handle) -> Sequence[DeviceProcess]: ...
    def nvmlDeviceGetMigMode(self, device: Handle) -> Sequence[int]: ...
    def nvmlDeviceGetMaxMigDeviceCount(self, device: Handle) -> int: ...
    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Handle, index: int) -> Handle: ...
    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, migDevice: Handle) -> Handle: ...


class NvmlUnavailable(Exception):
    """There is no NVML to talk to; the text is a sentence, `hint` what to do."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


def load_nvml() -> NvmlLibrary:
    """NVIDIA's own bindings. Imported here, not above: 40 ms that a machine's CPU trials need not spend."""
    import pynvml

    return cast("NvmlLibrary", pynvml)


@contextmanager
def opened(library: NvmlLibrary) -> Iterator[NvmlLibrary]:
    """NVML between its init and its shutdown (both are counted by the library). Raises `NvmlUnavailable`."""
    start(library)
    try:
        yield library
    finally:
        library.nvmlShutdown()


def start(library: NvmlLibrary) -> None:
    """Raises `NvmlUnavailable` with the reason in words."""
    try:
        library.nvmlInit()
    except library.NVMLError_LibraryNotFound as error:
        raise NvmlUnavailable(
            "No NVIDIA driver was found on this machine (NVML is not installed).",
            "With an NVIDIA GPU, install its driver; in a container, start it with the GPU passed through.",
        ) from error
    except library.NVMLError_DriverNotLoaded as error:
        raise NvmlUnavailable(
            "NVIDIA's driver is installed but not loaded.", "Load it (modprobe nvidia) or restart the machine."
        ) from error
    except library.NVMLError as error:
        raise NvmlUnavailable(
            f"NVIDIA's driver does not answer: {error}.", "Try nvidia-smi; restart if it fails."
        ) from error


def in_words(library: NvmlLibrary, error: Exception) -> tuple[str, str]:
    """Reason and hint for one quantity that a device would not tell."""
    if isinstance(error, library.NVMLError_NotSupported):
        return f"This GPU does not report it (NVML: {error}).", ""
    if isinstance(error, library.NVMLError_NoPermission):
        return f"The driver keeps it from this user (NVML: {error}).", "Ask the machine's administrator."
    if isinstance(error, library.NVMLError_FunctionNotFound):
        return f"The installed driver is too old to report it (NVML: {error}).", "Update NVIDIA's driver."
    return f"The driver refused the reading (NVML: {error}).", ""
