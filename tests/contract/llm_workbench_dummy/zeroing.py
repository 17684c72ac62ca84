"""How a worker sets weights to zero."""

import torch

from engines.protocol.orders import TechniqueOrder


def leave(_model: torch.nn.Module, _order: TechniqueOrder, _seed: int) -> dict[str, float]:
    return {"zeros": 0.0}


@torch.no_grad()
def zero_small(model: torch.nn.Module, order: TechniqueOrder, _seed: int) -> dict[str, float]:
    zeros = total = 0
    for layer in (m for m in model.modules() if isinstance(m, torch.nn.Linear)):
        sizes = layer.weight.abs()
        small = sizes < sizes.flatten().quantile(float(order.parameters["share"]))
        layer.weight[small] = 0
        zeros, total = zeros + int(small.sum()), total + small.numel()
    return {"zeros": zeros / total}
