"""The small llama with random weights that self-checks run: 12 million parameters, 48 MB in float32. Pure."""

from __future__ import annotations

from engines.models.lookup.catalogue import RANDOM_WEIGHTS
from engines.models.lookup.facts import facts_of_config
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.canonical import digest
from engines.protocol.orders import ModelOrder

SELF_CHECK = "random:self-check"
"""The self-check's own model: its experiments can be planned again, and it is in no list."""
_HIDDEN, _INNER, _LAYERS, _VOCABULARY = 384, 1024, 6, 4096


CONFIG: dict[str, object] = {
    "model_type": "llama",
    "vocab_size": _VOCABULARY,
    "hidden_size": _HIDDEN,
    "intermediate_size": _INNER,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "dtype": "float32",
}


def resolved_model() -> ResolvedModel:
    linear = _LAYERS * (4 * _HIDDEN**2 + 3 * _HIDDEN * _INNER)
    parameters = linear + _VOCABULARY * _HIDDEN + (2 * _LAYERS + 1) * _HIDDEN
    facts = facts_of_config(
        CONFIG,
        kind="random",
        parameters=parameters,
        linear_parameters=linear,
        stored_bytes=4 * parameters,
        stored_dtype="float32",
        has_tokenizer=False,
    )
    order = ModelOrder(
        ref=SELF_CHECK,
        title=f"Self-check model ({RANDOM_WEIGHTS})",
        aside=RANDOM_WEIGHTS,
        kind="random",
        config=CONFIG,
        origin=RANDOM_WEIGHTS,
        fingerprint=digest(CONFIG),
    )
    return ResolvedModel(order=order, facts=facts, quality_available=False)
