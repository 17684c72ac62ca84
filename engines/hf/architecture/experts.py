"""A mixture of experts in training: the loss that keeps the experts equally busy, and how busy they are. Imports torch.

Both need `output_router_logits=True` in the call of the model; cross entropy is reported without the balance.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PretrainedConfig


def balance_loss(outputs: Any, config: PretrainedConfig) -> torch.Tensor | None:
    """What is added to the mean loss of the batch, its weight included (Switch Transformer, equations 4 to 6); None of
    a model without experts."""
    found = getattr(outputs, "aux_loss", None)
    return None if found is None else config.router_aux_loss_coef * found


def expert_load(outputs: Any, config: PretrainedConfig) -> torch.Tensor | None:
    """(layers, experts): the share of the tokens' choices that went to each expert, 1 / experts each where they are
    balanced; None of a model without experts."""
    logits = getattr(outputs, "router_logits", None)
    if not logits:
        return None
    chosen = torch.stack([layer.topk(config.num_experts_per_tok, dim=-1).indices.flatten() for layer in logits])
    counted = torch.nn.functional.one_hot(chosen, logits[0].shape[-1]).sum(dim=1)
    return counted / chosen.shape[1]
