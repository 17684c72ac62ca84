"""What a worker calls at each stage."""

import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from engines.protocol.orders import TechniqueOrder
from engines.protocol.work import Training


def config(config: dict[str, object], order: TechniqueOrder) -> dict[str, object]:
    return {**config, "num_hidden_layers": order.parameters["layers"]}


class _Forgets(DynamicCache):
    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0


def cache(model: PreTrainedModel, order: TechniqueOrder) -> DynamicCache:
    return (DynamicCache if order.parameters["keeps"] else _Forgets)(config=model.config)


def decode(_model: PreTrainedModel, config: GenerationConfig, order: TechniqueOrder) -> dict[str, object]:
    if order.parameters["several"]:
        config.prompt_lookup_num_tokens = 3
    else:
        config.suppress_tokens = list(range(256))
    return {}


def optimiser(groups: list[dict[str, object]], training: Training, _order: TechniqueOrder) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, weight_decay=training.weight_decay)
