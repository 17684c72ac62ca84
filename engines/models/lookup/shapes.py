"""Models that are only a shape: a llama block repeated, with random weights, for pretraining and for what an
architecture costs to run. "shape/tiny". Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from engines.models.lookup.facts import facts_of_config
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.canonical import digest
from engines.protocol.orders import ModelOrder
from engines.techniques import ModelFacts

SHAPE = "shape/"
"""Begins the ref of one."""


def _llama(hidden: int, inner: int, layers: int, heads: int) -> dict[str, object]:
    return {
        "model_type": "llama",
        "vocab_size": 4096,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }


SHAPES: Mapping[str, Mapping[str, object]] = {"tiny": _llama(128, 352, 4, 4), "small": _llama(448, 1216, 8, 7)}


def resolved_shape(name: str) -> ResolvedModel | None:
    """None where there is no such shape."""
    if name not in SHAPES:
        return None
    config = dict(SHAPES[name])
    order = ModelOrder(
        ref=f"{SHAPE}{name}",
        title=name,
        kind="random",
        config=config,
        fingerprint=digest(config),
    )
    return ResolvedModel(order=order, facts=facts_of_shape(config), quality_available=False)


def facts_of_shape(config: Mapping[str, object]) -> ModelFacts:
    hidden, inner, layers, words = (
        int(str(config[name])) for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    linear = layers * (4 * hidden**2 + 3 * hidden * inner)
    embeddings = words * hidden * (1 if config["tie_word_embeddings"] else 2)
    parameters = linear + embeddings + (2 * layers + 1) * hidden
    return facts_of_config(
        config,
        kind="random",
        parameters=parameters,
        linear_parameters=linear,
        stored_bytes=4 * parameters,
        stored_dtype="float32",
        has_tokenizer=False,
    )
