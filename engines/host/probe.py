"""What this machine has: devices a trial can lease, what its sensors measure, packages its engines can use.

Asked by clients through the runner and by `llm-workbench doctor`; runs in the runner, imports none of the engines'
libraries, and opens no CUDA context.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from engines.catalogue import EngineInfo, engines
from engines.host.environment import machine_facts
from engines.host.machine import memory, processor
from engines.llama.install import kept_here
from engines.protocol.messages import Device, Package, ProbeResult
from engines.protocol.places import places
from engines.protocol.tasks import tasks_ready
from engines.techniques import Technique, techniques
from engines.techniques.stored_precision import READERS
from engines.telemetry.nvml_devices import Gpu, gpus
from engines.telemetry.nvml_library import NvmlLibrary, NvmlUnavailable, load_nvml, opened
from engines.telemetry.sources import CUDA, available_sensors


@dataclass(frozen=True)
class _Wanted:
    """A package of an engine: the name on the index, the version range, what it is for."""

    name: str
    requirement: str
    gives: str
    module: str = ""
    """What installs it, where pip alone does not do."""


WANTED = (
    _Wanted("torch", "torch>=2.6", "tensors and kernels: every engine but llama.cpp"),
    _Wanted("transformers", "transformers>=5.2,<6", "the transformers engine: model architectures and tokenizers"),
    _Wanted("peft", "peft>=0.21.2", "fine-tuning with adapters: LoRA, DoRA and relatives"),
    _Wanted("torchao", "torchao>=0.16", "precisions int8 and float8, and int4 on GPUs"),
    _Wanted("bitsandbytes", "bitsandbytes>=0.46.1", "precisions LLM.int8(), nf4 and fp4, 8-bit optimisers"),
    _Wanted("optimum-quanto", "optimum-quanto>=0.2.7", "precisions quanto int8 and int4"),
    _Wanted("accelerate", "accelerate>=1.2", "loading large models part by part"),
    _Wanted("gguf", "gguf>=0.10", "reading GGUF files, the starter model among them"),
    _Wanted("lm-eval", "lm-eval>=0.4.9", "accuracy on tasks: the evaluation harness"),
    _Wanted("datasketch", "datasketch>=1.6,<3", "pretraining text without near copies"),
    _Wanted(
        "llama-cpp-python",
        "llama-cpp-python>=0.3.36,<0.4",
        "the llama.cpp engine (compiled for 10 minutes or more)",
        module="engines.llama.install",
    ),
)


def probe(*, nvml_loader: Callable[[], NvmlLibrary] = load_nvml) -> ProbeResult:
    """Look at the machine anew: half a second at the most, longer only where a GPU has to wake up. Never raises for
    what is missing; that is said in the sensors' reasons and the packages' `install`."""
    return ProbeResult(
        machine=platform.node(),
        devices=(cpu_device(), *gpu_devices(nvml_loader)),
        sensors=available_sensors(nvml_loader=nvml_loader),
        packages=packages(),
        task_data=tasks_ready(places()),
        facts=machine_facts(),
    )


def cpu_device() -> Device:
    cpu = processor()
    size = memory()
    details = {
        "model": cpu.model,
        "cores": str(cpu.cores),
        "cores_machine": str(cpu.cores_machine),
        "threads_default": str(cpu.threads_default),
        "flags": " ".join(cpu.flags),
    }
    if cpu.governor:
        details["governor"] = cpu.governor
    if cpu.clock_max_hertz:
        details["clock_max_hertz"] = str(cpu.clock_max_hertz)
    if size.limited:
        details["memory_limit"] = "control group"
    return Device(
        id="cpu",
        title=f"{cpu.model}, {cpu.cores} core{'s' if cpu.cores != 1 else ''}",
        memory_total_bytes=size.total,
        memory_free_bytes=size.free,
        details=details,
    )


def gpu_devices(nvml_loader: Callable[[], NvmlLibrary] = load_nvml) -> tuple[Device, ...]:
    """GPUs and MIG slices; none where there is no driver (the sensors say why)."""
    library = nvml_loader()
    try:
        with opened(library):
            return tuple(_gpu_device(gpu) for gpu in gpus(library))
    except (NvmlUnavailable, library.NVMLError):
        return ()


def _gpu_device(gpu: Gpu) -> Device:
    size = memory() if not gpu.memory_total_bytes else None
    known = {
        "driver": gpu.driver,
        "cuda": gpu.cuda,
        "compute_capability": gpu.compute_capability,
        "power_limit_watts": gpu.power_limit_watts,
        "clock_max_hertz": gpu.clock_max_hertz,
        "memory_clock_max_hertz": gpu.memory_clock_max_hertz,
        "memory": "shared with the processor" if size else "",
        "slice": "MIG" if gpu.is_slice else "",
    }
    return Device(
        id=CUDA + gpu.uuid,
        title=gpu.title,
        memory_total_bytes=size.total if size else gpu.memory_total_bytes,
        memory_free_bytes=size.free if size else gpu.memory_free_bytes,
        details={key: value for key, value in known.items() if value},
    )


def packages() -> tuple[Package, ...]:
    """Installed versions from their metadata: importing torch to ask it would take seconds. What only reads files that
    were quantised elsewhere is named where it is there."""
    wanted = {known.name: known for known in WANTED}
    listed: tuple[EngineInfo | Technique, ...] = (*engines(), *techniques())
    for needing in listed:
        for name in needing.packages:
            wanted.setdefault(name, _Wanted(name, name, needing.title))
    readers = (
        _package(_Wanted(name, name, "models whose files are quantised")) for name in READERS if name not in wanted
    )
    return (*(_package(each) for each in wanted.values()), *(package for package in readers if package.version))


def _package(wanted: _Wanted) -> Package:
    try:
        return Package(name=wanted.name, version=metadata.version(wanted.name), gives=wanted.gives)
    except metadata.PackageNotFoundError:
        how = wanted.module or f'pip install "{wanted.requirement}"'
        command = f"{sys.executable} -m {how}"
        build = kept_here() if wanted.module else None
        return Package(name=wanted.name, gives=wanted.gives, install=command, kept=str(build or ""))
