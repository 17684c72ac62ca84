"""Shapes that models are made from: llama-style decoders without weights, in Hugging Face keys. Pure.

The sizes of 0.5B, 1.5B and 3B are those of the EfficientLLM study (arXiv 2505.13840), which are Qwen2.5's, here without
the biases of queries, keys and values. `max_position_embeddings` limits what may be asked for: rotary positions have
none of their own, and a technique that does lowers it.
"""

from __future__ import annotations

from collections.abc import Mapping

from engines.protocol.settings import Scalar

CONTEXT_TOKENS = 131_072
BACKBONES = frozenset({"llama", "mistral"})
"""`model_type` of configs that can be edited."""


def _shape(
    words: int, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, base: float, dtype: str = "float32"
) -> dict[str, object]:
    return {
        "model_type": "llama",
        "vocab_size": words,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": hidden // heads,
        "intermediate_size": inner,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "max_position_embeddings": CONTEXT_TOKENS,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": dtype,
    }


SHAPES: Mapping[str, Mapping[str, object]] = {
    "tiny": _shape(4_096, 4, 256, 8, 2, 704, 1e4),
    "small": _shape(16_384, 8, 512, 8, 2, 1_408, 1e4),
    "efficientllm-0.5b": _shape(151_936, 24, 896, 14, 2, 4_864, 1e6, "bfloat16"),
    "efficientllm-1.5b": _shape(151_936, 28, 1_536, 12, 2, 8_960, 1e6, "bfloat16"),
    "efficientllm-3b": _shape(151_936, 36, 2_048, 16, 2, 11_008, 1e6, "bfloat16"),
}
"""By name, the smallest first: 4 million parameters, 31 million, and those of the study."""

COMMON = ("vocab_size", "num_hidden_layers", "hidden_size", "initializer_range", "tie_word_embeddings", "bos_token_id",
          "eos_token_id", "pad_token_id", "dtype")  # fmt: skip
"""What every architecture takes over from a shape."""


def number(config: Mapping[str, object], name: str) -> int:
    """A whole number of a config that has it."""
    value = config[name]
    assert isinstance(value, int)
    return value


def whole(parameters: Mapping[str, Scalar], name: str) -> int:
    """The same of a technique's parameters."""
    value = parameters[name]
    assert isinstance(value, int)
    return value
