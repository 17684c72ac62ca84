"""A model of random weights as a configuration builds it: pretraining gives it a vocabulary of its own. Pure."""

from __future__ import annotations

import msgspec

from engines.models.lookup.resolved import ResolvedModel
from engines.models.lookup.shapes import facts_of_shape
from engines.protocol.orders import Pretraining, Workload


def as_built(model: ResolvedModel, load: Workload) -> ResolvedModel:
    """With the facts of what will be built; the order stays what the experiment names."""
    if model.order.kind != "random" or not isinstance(load, Pretraining):
        return model
    config = {**model.order.config, "vocab_size": load.vocabulary_tokens}
    return msgspec.structs.replace(model, facts=facts_of_shape(config), quality_available=True)
