"""What the worker knows of its environment: versions, how llama.cpp was built, threads. Worker process."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from engines.host.machine import processor
from engines.llama.library import Library
from engines.protocol.orders import TrialOrder

_PACKAGES = ("llama-cpp-python", "gguf", "numpy", "jinja2", "msgspec", "nvidia-ml-py", "llm-workbench")
_FEATURES = {
    "avx": "AVX",
    "avx2": "AVX2",
    "avx_vnni": "AVX_VNNI",
    "f16c": "F16C",
    "fma": "FMA",
    "bmi2": "BMI2",
    "avx512f": "AVX512",
    "avx512vbmi": "AVX512_VBMI",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "amx_int8": "AMX_INT8",
    "asimddp": "DOTPROD",
    "i8mm": "MATMUL_INT8",
    "sve": "SVE",
}
"""The kernel's name of an instruction set -> llama.cpp's."""


def process_facts(order: TrialOrder, library: Library) -> dict[str, str]:
    """Facts known once the library is loaded."""
    told = library.api.llama_version()
    facts = {f"package.{name}": found for name in _PACKAGES if (found := _version(name))}
    missing = unused_instructions(library.system_info, processor().flags)
    return facts | {
        "worker.python": platform.python_version(),
        "worker.threads": str(order.engine.threads),
        "worker.start_method": order.engine.start_method,
        "worker.device": order.device,
        "worker.seed": str(order.seed),
        "llama.version": told.decode() if isinstance(told, bytes) else str(told),
        "llama.system_info": library.system_info,
        "llama.build": f"leaves unused: {', '.join(missing)}" if missing else "all that this processor has",
    }


def unused_instructions(system_info: str, flags: tuple[str, ...]) -> tuple[str, ...]:
    """Instruction sets that the processor has (`flags`, of the kernel) and llama.cpp was not compiled for. A build for
    this very processor ("native") leaves none out."""
    words = (word.split("=") for word in system_info.replace(":", "|").split("|"))
    built = {name.strip() for name, *value in words if value and value[0].strip() == "1"}
    return tuple(name for flag, name in _FEATURES.items() if flag in flags and name not in built)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
