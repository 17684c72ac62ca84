"""The optimiser of an order. Worker process; imports torch, and bitsandbytes where asked for."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from engines.hf.precision import need
from engines.protocol.work import Training

Group = dict[str, Any]
"""A group of parameters as torch's optimisers take it, with its own "lr"."""


def make_optimiser(training: Training, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """Raises `WorkerFailure` where its package is missing. Fused AdamW is the fastest of torch's forms on processors
    and GPUs (docs/results/finetuning-loop.md)."""
    own = [dict(group) for group in groups]  # optimisers write into them
    if training.optimiser == "adamw-8bit":
        need("bitsandbytes", "bitsandbytes")
        import bitsandbytes

        made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(own, weight_decay=training.weight_decay)
        return made
    return torch.optim.AdamW(own, weight_decay=training.weight_decay, fused=True)


def described(training: Training) -> str:
    rest = "betas 0.9 and 0.999, epsilon 1e-8"
    if training.optimiser == "adamw-8bit":
        version = importlib.metadata.version("bitsandbytes")
        return f"AdamW of bitsandbytes {version}, 8-bit states but for tensors below 4,096 elements, {rest}"
    return f"AdamW of torch (fused), {rest}"


def states(optimiser: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Tensors that the optimiser keeps."""
    for kept in optimiser.state.values():
        yield from (value for value in kept.values() if isinstance(value, torch.Tensor))
