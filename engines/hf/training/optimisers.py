"""The optimiser of an order. Worker process; imports torch, and bitsandbytes where asked for."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from engines.hf.precision import need
from engines.protocol.work import AnyTraining

Group = dict[str, Any]
"""A group of parameters as torch's optimisers take it, with its own "lr"."""
MakesOptimiser = Callable[[AnyTraining, Sequence[Group]], torch.optim.Optimizer]


def make_optimiser(training: AnyTraining, groups: Sequence[Group]) -> torch.optim.Optimizer:
    """Raises `WorkerFailure` where its package is missing. Fused AdamW is the fastest of torch's forms on processors
    and GPUs (docs/results/finetuning-loop.md)."""
    own = [dict(group) for group in groups]  # optimisers write into them
    common: dict[str, Any] = {"betas": (training.beta1, training.beta2), "weight_decay": training.weight_decay}
    if training.optimiser == "adamw-8bit":
        need("bitsandbytes", "bitsandbytes")
        import bitsandbytes

        made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(own, **common)
        return made
    return torch.optim.AdamW(own, **common, fused=True)


def described(training: AnyTraining) -> str:
    rest = f"betas {training.beta1:g} and {training.beta2:g}, epsilon 1e-8"
    if training.optimiser == "adamw-8bit":
        version = importlib.metadata.version("bitsandbytes")
        return f"AdamW of bitsandbytes {version}, 8-bit states but for tensors below 4,096 elements, {rest}"
    return f"AdamW of torch (fused), {rest}"


def states(optimiser: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """Tensors that the optimiser keeps."""
    for kept in optimiser.state.values():
        yield from (value for value in kept.values() if isinstance(value, torch.Tensor))
