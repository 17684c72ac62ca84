"""The small llama with random weights that self-checks run: 12 million parameters, 48 MB in float32. Pure."""

from __future__ import annotations

from engines.models.lookup.catalogue import RANDOM_WEIGHTS
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.canonical import digest
from engines.protocol.orders import ModelOrder
from engines.techniques.architecture.costs import facts

SELF_CHECK = "random:self-check"
"""The self-check's own model: its experiments can be planned again, and it is in no list."""
CONFIG: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": 4096,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "dtype": "float32",
}


def resolved_model() -> ResolvedModel:
    order = ModelOrder(
        ref=SELF_CHECK,
        title=f"Self-check model ({RANDOM_WEIGHTS})",
        aside=RANDOM_WEIGHTS,
        kind="random",
        config=CONFIG,
        origin=RANDOM_WEIGHTS,
        fingerprint=digest(CONFIG),
    )
    return ResolvedModel(order=order, facts=facts(CONFIG), quality_available=False)
