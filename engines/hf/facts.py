"""What the worker knows of its environment: versions, build, threads, this project's commit. Worker process."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from engines.protocol.orders import TrialOrder

_PACKAGES = (
    "torch",
    "transformers",
    "torchao",
    "tokenizers",
    "safetensors",
    "accelerate",
    "numpy",
    "gguf",
    "triton",
    "llm-workbench",
)
_ROOT = Path(__file__).resolve().parents[2]


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
    commit = project_commit()
    if commit:
        facts["project.commit"] = commit
    return facts


def project_commit() -> str:
    """Commit of this project where it runs from a checkout, with "+changes" where files differ; "" elsewhere."""
    if not (_ROOT / ".git").exists():
        return ""
    try:
        head = _git("rev-parse", "HEAD")
        return head + "+changes" if head and _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, text=True, timeout=5, check=True)
    return run.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
