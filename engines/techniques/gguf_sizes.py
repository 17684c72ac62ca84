"""How many bits a weight takes in a GGUF file that llama.cpp's quantiser makes of a model. Pure arithmetic.

The quantiser gives some tensors a larger type (output head, attention values, a part of the feed-forward), and takes
another type for a tensor whose rows are no multiple of a super-block of 256, so the bits depend on the model's shape.
Rules: src/llama-quant.cpp of https://github.com/ggml-org/llama.cpp, as llama-cpp-python 0.3.36 has it; compared with
what that version says for the twelve llama-like models of the catalogue (docs/gguf.md), it is right to within 0.2 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from engines.techniques.facts import ModelFacts

BLOCK_BITS = {
    "F32": 32.0, "BF16": 16.0, "F16": 16.0, "Q8_0": 8.5, "Q6_K": 6.5625, "Q5_1": 6.0, "Q5_0": 5.5, "Q5_K": 5.5,
    "Q4_0": 4.5, "Q4_K": 4.5, "Q3_K": 3.4375, "Q2_K": 2.625,
}  # fmt: skip
"""Bits per weight of the block formats, scales included (ggml-common.h)."""

_SUPER_BLOCK = 256
_INSTEAD = {"Q6_K": "Q8_0", "Q5_K": "Q5_1", "Q4_K": "Q5_0", "Q3_K": "Q4_0", "Q2_K": "Q4_0"}
"""What is taken for rows that are no multiple of a super-block."""
_BASE = {"Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q4_K_M": "Q4_K", "Q4_0": "Q4_0", "Q3_K_M": "Q3_K", "Q2_K": "Q2_K"}
_GROUPED = 4
"""Query heads for each key-value head from which Q2_K gives attention values a larger type."""


@dataclass(frozen=True)
class _Part:
    """Weights in tensors with rows of one length, by type: shares of them that add up to one."""

    weights: int
    row: int
    shares: dict[str, float]

    @property
    def bits(self) -> float:
        fits = self.row % _SUPER_BLOCK == 0
        kept = {name: name if fits else _INSTEAD.get(name, name) for name in self.shares}
        return self.weights * sum(share * BLOCK_BITS[kept[name]] for name, share in self.shares.items())


def bits_per_weight(type_name: str, facts: ModelFacts) -> float | None:
    """Of a whole file of type "Q4_K_M"; None for a model whose layers are not those of a dense llama."""
    if type_name not in _BASE:
        return BLOCK_BITS.get(type_name)
    parts = _parts(type_name, facts)
    if parts is None:
        return None
    counted = sum(part.weights for part in parts)
    # norms and biases, in float32
    rest = max(0, facts.parameters - counted)
    return (sum(part.bits for part in parts) + 32.0 * rest) / (counted + rest)


def _parts(type_name: str, facts: ModelFacts) -> list[_Part] | None:
    hidden, layers = facts.hidden, facts.layers
    wide, narrow = facts.heads * facts.head_dim, facts.kv_heads * facts.head_dim
    embedding = facts.vocabulary * hidden
    if min(hidden, layers, wide, narrow, embedding) <= 0:
        return None
    feed_forward, left = divmod(facts.linear_parameters // layers - 2 * hidden * (wide + narrow), 3 * hidden)
    if left or feed_forward <= 0 or facts.linear_parameters % layers:
        return None  # experts, or matrices that a llama does not have
    base, larger = _BASE[type_name], _larger(type_name, facts)
    tied = facts.parameters < facts.linear_parameters + 2 * embedding
    parts = [
        _Part(embedding, hidden, {"Q6_K": 1.0}),  # the output head, which is the embedding where the two are tied
        _Part(layers * hidden * (wide + narrow), hidden, {base: 1.0}),
        _Part(layers * hidden * narrow, hidden, larger["value"]),
        _Part(layers * hidden * wide, wide, larger["output"]),
        _Part(2 * layers * hidden * feed_forward, hidden, {base: 1.0}),
        _Part(layers * hidden * feed_forward, feed_forward, larger["down"]),
    ]
    return parts if tied else [*parts, _Part(embedding, hidden, {base: 1.0})]


def _larger(type_name: str, facts: ModelFacts) -> dict[str, dict[str, float]]:
    """Types of attention values, attention output and the feed-forward's way down: shares over the layers."""
    base, layers = _BASE[type_name], facts.layers
    plain = {base: 1.0}
    if type_name in ("Q4_K_M", "Q5_K_M"):
        more = sum(_has_more_bits(n, layers) for n in range(layers)) / layers
        mixed = {"Q6_K": more, base: 1.0 - more}
        return {"value": mixed, "output": plain, "down": mixed}
    if type_name == "Q3_K_M":
        first, few = min(2, layers) / layers, (layers // 16) / layers
        return {
            "value": {"Q5_K": first, "Q4_K": 1.0 - first},
            "output": {"Q4_K": 1.0},
            "down": {"Q5_K": few, "Q4_K": 1.0 - few},
        }
    if type_name == "Q2_K":
        grouped = facts.heads >= _GROUPED * facts.kv_heads
        return {"value": {"Q4_K" if grouped else "Q3_K": 1.0}, "output": {"Q3_K": 1.0}, "down": {"Q3_K": 1.0}}
    return {"value": plain, "output": plain, "down": plain}


def _has_more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
