"""What the worker knows of its environment: versions, build, threads. Worker process.

The machine and this project's commit are the runner's to say (`engines.host.environment`)."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from engines.protocol.orders import TrialOrder

_PACKAGES = (
    "torch",
    "transformers",
    "torchao",
    "bitsandbytes",
    "optimum-quanto",
    "kernels",
    "peft",
    "tokenizers",
    "safetensors",
    "accelerate",
    "numpy",
    "gguf",
    "triton",
    "msgspec",
    "nvidia-ml-py",
    "llm-workbench",
)


def process_facts(order: TrialOrder, device: torch.device) -> dict[str, str]:
    """Facts known once the libraries are imported."""
    facts = {f"package.{name}": found for name in _PACKAGES if (found := _version(name))}
    facts |= {
        "worker.python": platform.python_version(),
        "worker.threads": str(torch.get_num_threads()),
        "worker.interop_threads": str(torch.get_num_interop_threads()),
        "worker.start_method": order.engine.start_method,
        "worker.device": str(device),
        "worker.seed": str(order.seed),
        "torch.build": " ".join(torch.__config__.show().split()),
        "torch.cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch.float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        facts |= {
            "torch.cuda": torch.version.cuda or "",
            "torch.cuda_device": torch.cuda.get_device_name(device),
            "torch.cudnn": str(torch.backends.cudnn.version()),
        }
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
