"""Facts about where a trial runs, stored with it. Runs in the runner, blocking: call it off the event loop.

Flat text by dotted name ("cpu.model", "gpu.0.driver"). A fact that the machine does not tell is left out, unless
its absence means something to a reader; then the value is a sentence.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from engines.host import machine
from engines.host.neighbours import busy_neighbours, own_family
from engines.host.project import project_facts
from engines.protocol.client_environment import processors_of
from engines.protocol.orders import ModelOrder, TrialOrder
from engines.telemetry import hwmon, nvml, proc_host, proc_tree, rapl
from engines.telemetry.nvml_devices import describe
from engines.telemetry.nvml_library import Handle, NvmlLibrary, NvmlUnavailable, load_nvml, opened
from engines.telemetry.sources import CUDA, gpus_of, period_of

PROC = Path("/proc")
SYS = Path("/sys")
NOT_TOLD = "not available: this machine does not tell"
_SMT = {"on": "several", "off": "one", "forceoff": "one", "notsupported": "one"}
"""The kernel's words for simultaneous multithreading -> hardware threads of a core that are in use."""
_FLAG_PREFIXES = ("avx", "amx_", "fma", "f16c", "asimd", "sve", "bf16", "i8mm", "fphp")
"""Instruction sets that decide how fast a model runs; the probe lists all flags."""


def runner_facts(order: TrialOrder, *, nvml_loader: Callable[[], NvmlLibrary] = load_nvml) -> dict[str, str]:
    """Facts at the start of a trial: the machine's, its load, its GPU, how it is watched. Takes a quarter of a second,
    in which other processes' use of the processors is measured."""
    facts = machine_facts(among=processors_of(order.environment))
    facts |= cluster_facts(os.environ)
    facts |= project_facts()
    facts |= model_facts(order.model)
    facts |= load_facts()
    facts |= telemetry_facts(order)
    facts["temperature.thermometer"] = thermometer_of(order.device)
    if order.more_devices:
        facts["worker.devices"] = " ".join(order.devices)
    if order.device.startswith(CUDA):
        facts |= gpu_facts(order.device.removeprefix(CUDA), nvml_loader)
    return facts


def cluster_facts(variables: Mapping[str, str]) -> dict[str, str]:
    """The job that this is part of, where a cluster's scheduler started it."""
    job = variables.get("SLURM_JOB_ID")
    if not job:
        return {}
    said = {
        "slurm.job": job,
        "slurm.node": variables.get("SLURMD_NODENAME", ""),
        "slurm.partition": variables.get("SLURM_JOB_PARTITION", ""),
        "slurm.devices": variables.get("CUDA_VISIBLE_DEVICES", ""),
        "slurm.processors": variables.get("SLURM_CPUS_PER_TASK", ""),
        "slurm.memory_bytes": _mebibytes(variables.get("SLURM_MEM_PER_NODE", "")),
    }
    return {name: value for name, value in said.items() if value}


def _mebibytes(text: str) -> str:
    return str(int(text) << 20) if text.isdecimal() else ""


def machine_facts(*, proc: Path = PROC, sys: Path = SYS, among: Collection[int] = ()) -> dict[str, str]:
    """What changes only with the machine, its system or its settings. `among`: as of `machine.processor`."""
    cpu = machine.processor(proc=proc, sys=sys, among=among)
    size = machine.memory(proc=proc, sys=sys)
    frequency = sys / "devices/system/cpu/cpu0/cpufreq"
    facts = {
        "host.name": platform.node(),
        "host.boot": machine.read_line(proc / "sys/kernel/random/boot_id"),
        "host.container": container(proc),
        "host.virtual": "yes" if "hypervisor" in cpu.flags else "no sign of it",
        "host.product": machine.read_line(sys / "class/dmi/id/product_name"),
        "os.name": _os_name(),
        "os.kernel": platform.release(),
        "cpu.model": cpu.model,
        "cpu.architecture": platform.machine(),
        "cpu.cores": str(cpu.cores),
        "cpu.cores_machine": str(cpu.cores_machine),
        "cpu.flags": " ".join(flag for flag in cpu.flags if flag.startswith(_FLAG_PREFIXES)),
        "cpu.governor": cpu.governor or NOT_TOLD,
        "cpu.clock_max_hertz": str(cpu.clock_max_hertz or NOT_TOLD),
        "cpu.clock_driver": machine.read_word(frequency / "scaling_driver"),
        "cpu.energy_preference": machine.read_word(frequency / "energy_performance_preference"),
        "cpu.boost": cpu_boost(sys),
        "cpu.threads_per_core": _SMT.get(machine.read_word(sys / "devices/system/cpu/smt/control"), ""),
        "memory.total_bytes": str(size.total),
        "memory.limited_by": "control group" if size.limited else "",
        "swap.total_bytes": str(size.swap_total),
        "power.source": power_source(sys),
        "power.profile": machine.read_word(sys / "firmware/acpi/platform_profile") or NOT_TOLD,
        "memory.huge_pages": _chosen(machine.read_line(sys / "kernel/mm/transparent_hugepage/enabled")),
        "python.version": platform.python_version(),
        "python.implementation": platform.python_implementation(),
    }
    return {name: value for name, value in facts.items() if value}


def model_facts(model: ModelOrder) -> dict[str, str]:
    """The revision of the weights. Kind and fingerprint are in the order; hashes of the files are the worker's to
    say, after the measurement."""
    if model.kind == "random":
        revision = "none: random weights"
    elif model.kind == "hub":
        revision = model.revision or "not available: the order names none"
    else:
        revision = _snapshot(Path(model.path)) or "not available: local files carry none; their hashes stand beside it"
    return {"model.revision": revision}


def _snapshot(path: Path) -> str:
    """The revision that a folder of the Hugging Face cache is named after, "" for any other folder."""
    parts = path.parts
    at = parts.index("snapshots") + 1 if "snapshots" in parts else len(parts)
    name = parts[at] if at < len(parts) else ""
    return name if len(name) == 40 and set(name) <= set("0123456789abcdef") else ""


def thermometer_of(device: str) -> str:
    """What the start and end temperatures come from, or why there are none."""
    if device.startswith(CUDA):
        return "NVML"
    sensor = hwmon.sensors_of_hwmon()[0]
    return sensor.method if sensor.available else f"not available: {sensor.reason}"


def load_facts() -> dict[str, str]:
    """How busy the machine was just before the trial."""
    size = machine.memory()
    neighbours = busy_neighbours()
    named = ", ".join(f"{n.name} ({n.pid}) {n.cores:.0%}" for n in neighbours[:10])
    return {
        "load.average_1m": f"{os.getloadavg()[0]:.2f}",
        "memory.free_bytes": str(size.free),
        "swap.used_bytes": str(size.swap_total - size.swap_free),
        "processes.foreign": named or "none over 5 % of a core",
        "processes.foreign_cores": f"{sum(n.cores for n in neighbours):.2f}",
    }


def telemetry_facts(order: TrialOrder) -> dict[str, str]:
    """Which sources watch the trial and how often (Hz)."""
    if not order.telemetry.enabled:
        return {"telemetry.sources": "none: switched off in the order", "telemetry.rate_hz": "0"}
    sources = [proc_tree.NAME, proc_host.NAME]
    sources += [nvml.source_name(uuid) for uuid in gpus_of(order)]
    rate_hz = 1 / period_of(order)
    sources += [s[0].source for s in (rapl.sensors_of_rapl(rate_hz), hwmon.sensors_of_hwmon()) if s[0].available]
    return {"telemetry.sources": " ".join(sources), "telemetry.rate_hz": f"{rate_hz:g}"}


def gpu_facts(uuid: str, nvml_loader: Callable[[], NvmlLibrary] = load_nvml) -> dict[str, str]:
    """Facts of the GPU under test, as "gpu.0."; "gpu.0.problem" where it does not answer."""
    facts = {"gpu.0.uuid": uuid}
    library = nvml_loader()
    try:
        with opened(library):
            handle = library.nvmlDeviceGetHandleByUUID(uuid)
            gpu = describe(library, handle, nvml.mig_parent(library, handle))
            facts |= {
                "gpu.0.name": gpu.title,
                "gpu.0.driver": gpu.driver or NOT_TOLD,
                "gpu.0.cuda": gpu.cuda or NOT_TOLD,
                "gpu.0.compute_capability": gpu.compute_capability,
                "gpu.0.memory_total_bytes": str(gpu.memory_total_bytes or "shared with the processor"),
                "gpu.0.power_limit_watts": gpu.power_limit_watts or NOT_TOLD,
                "gpu.0.clock_max_hertz": gpu.clock_max_hertz or NOT_TOLD,
                "gpu.0.memory_clock_max_hertz": gpu.memory_clock_max_hertz or NOT_TOLD,
                "gpu.0.clock_start_hertz": _gpu_clock(library, handle, library.NVML_CLOCK_SM),
                "gpu.0.memory_clock_start_hertz": _gpu_clock(library, handle, library.NVML_CLOCK_MEM),
                "gpu.0.slice": "MIG" if gpu.is_slice else "",
                "gpu.0.processes_foreign": _gpu_processes(library, handle),
            }
    except (NvmlUnavailable, library.NVMLError) as error:
        facts["gpu.0.problem"] = str(error)
    return {name: value for name, value in facts.items() if value}


def _gpu_clock(library: NvmlLibrary, handle: Handle, kind: int) -> str:
    """A clock as it is now (Hz)."""
    try:
        return str(library.nvmlDeviceGetClockInfo(handle, kind) * 1_000_000)
    except library.NVMLError as error:
        return f"not available: NVML: {error}"


def _gpu_processes(library: NvmlLibrary, handle: Handle) -> str:
    """Processes on the device that neither are this runner's nor were started by it."""
    try:
        pids = [process.pid for process in library.nvmlDeviceGetComputeRunningProcesses_v3(handle)]
    except library.NVMLError as error:
        return f"not told by the driver (NVML: {error})"
    family = own_family()
    return " ".join(str(pid) for pid in pids if pid not in family) or "none"


def cpu_boost(sys: Path = SYS) -> str:
    """Whether the processor may exceed its base clock, by the kernel's general switch or Intel's own."""
    general = machine.read_word(sys / "devices/system/cpu/cpufreq/boost")
    intel = machine.read_word(sys / "devices/system/cpu/intel_pstate/no_turbo")
    said = general or {"0": "1", "1": "0"}.get(intel, "")
    return {"1": "on", "0": "off"}.get(said, "")


def _chosen(line: str) -> str:
    """The kernel marks the chosen word of several with brackets: "always [madvise] never"."""
    return line.partition("[")[2].partition("]")[0]


def container(proc: Path = PROC, root: Path = Path("/")) -> str:
    """The kind of container this runs in, by the marks each leaves."""
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    try:
        groups = (proc / "1/cgroup").read_text(errors="replace")
    except OSError:
        groups = ""
    return next((kind for kind in ("docker", "kubepods", "lxc", "podman") if kind in groups), "none found")


def power_source(sys: Path = SYS) -> str:
    """Whether the machine draws on a battery: a laptop slows down on one."""
    supplies = sys / "class/power_supply"
    batteries = []
    for supply in sorted(supplies.iterdir()) if supplies.is_dir() else ():
        kind = machine.read_word(supply / "type")
        if kind in ("Mains", "USB") and machine.read_word(supply / "online") == "1":
            return "mains"
        if kind == "Battery" and machine.read_word(supply / "scope") != "Device":
            batteries.append(machine.read_word(supply / "status"))
    if not batteries:
        return "mains (no battery)"
    return "battery" if "Discharging" in batteries else "mains"


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()
