"""What training changed and what it left alone, by hashes of every byte. Worker process; imports torch.

Outside timed phases: a hash reads every weight once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch

from engines.hf.count import inner_tensors
from engines.worker.failures import WorkerFailure


def trained_counts(model: torch.nn.Module) -> dict[str, float]:
    """Parameters that training changes, and all. Raises `WorkerFailure` where there are none to train."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise WorkerFailure(
            "technique", "No parameter is left to train.", "Choose a fine-tuning technique, for example finetune.lora."
        )
    return {
        "trained_parameters": sum(p.numel() for p in trained),
        "trained_bytes": sum(p.numel() * p.element_size() for p in trained),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def tensor_digest(tensor: torch.Tensor) -> str:
    """sha256 of type, shape and bytes; of a quantised wrapper, of everything it holds."""
    found = hashlib.sha256()
    for part in inner_tensors(tensor):
        plain = part.detach().to("cpu").contiguous()
        found.update(f"{plain.dtype} {tuple(plain.shape)} ".encode())
        found.update(plain.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def trained_digests(model: torch.nn.Module) -> dict[str, str]:
    """By name, of every parameter that training changes."""
    return {name: tensor_digest(p) for name, p in model.named_parameters() if p.requires_grad}


def frozen_digests(model: torch.nn.Module) -> dict[str, str]:
    """By name, of every parameter that training leaves alone."""
    return {name: tensor_digest(p) for name, p in model.named_parameters() if not p.requires_grad}


def together(digests: Iterable[str]) -> str:
    """One hash of many."""
    return "sha256:" + hashlib.sha256("".join(digests).encode()).hexdigest()
