"""Methods without adapters: which of the model's own parameters get a gradient."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from transformers import PreTrainedModel

from engines.techniques.finetune import parts as entries
from engines.techniques.finetune.counts import Parameters, whole
from engines.techniques.weights import split_block


def unfreeze(model: PreTrainedModel, id: str, parameters: Parameters) -> None:
    """Let a method train its part of a frozen model."""
    model.requires_grad_(False)
    for parameter in _part(model, id, parameters):
        parameter.requires_grad_(True)


def _part(model: PreTrainedModel, id: str, parameters: Parameters) -> Iterator[torch.nn.Parameter]:
    named = list(model.named_parameters())
    if id == entries.FULL:
        yield from (parameter for _, parameter in named)
    elif id == entries.BITFIT:
        yield from (parameter for name, parameter in named if name.endswith(".bias") and parameter.ndim == 1)
    else:
        inside = [(part[1], parameter) for name, parameter in named if (part := split_block(name)) is not None]
        first = max((number for number, _ in inside), default=-1) + 1 - whole(parameters, "blocks")
        yield from (parameter for number, parameter in inside if number >= first)
