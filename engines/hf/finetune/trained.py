"""What of a model is trained: how much, what it came to, and in which groups an optimiser gets it."""

from __future__ import annotations

from typing import Any

import torch

from engines.protocol.orders import TechniqueOrder
from engines.techniques.finetune import setting_of
from engines.techniques.finetune.lora import LORA_PLUS


def adapter_facts(model: torch.nn.Module) -> dict[str, float]:
    """How many layers have an adapter, and what their output is multiplied by where all agree."""
    scaling = (getattr(module, "scaling", None) for module in model.modules())
    scales = [float(scale) for of_layer in scaling if isinstance(of_layer, dict) for scale in of_layer.values()]
    changed = {"adapted_modules": float(len(scales))} if scales else {}
    return changed | ({"scale": scales[0]} if len(set(scales)) == 1 else {})


def parameter_groups(
    model: torch.nn.Module, order: TechniqueOrder | None, rate: float, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Groups for the optimiser. Vectors (biases, scales) have no weight decay; LoRA+'s second matrices have their own
    rate (Hayou et al. 2024)."""
    ratio = 1.0
    if order is not None and order.id == LORA_PLUS:
        ratio = float(setting_of(order, "ratio") or 1.0)
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_vector = parameter.squeeze().ndim < 2
            own = rate * (ratio if ".lora_B." in name else 1.0)
            groups.setdefault((own, 0.0 if is_vector else weight_decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]
