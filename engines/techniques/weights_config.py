"""Names and shapes of a model's parameters by its config, as transformers builds it. Pure; no transformers.

For the architectures of `_RULES` only; a test compares each with the built model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from engines.techniques.facts import CONV1D
from engines.techniques.layers_config import Sizes, sizes, text_config, whole_number
from engines.techniques.weights import Weights, weights_of

_Named = Iterator[tuple[str, tuple[int, ...]]]
_Rule = Callable[[Mapping[str, object], Sizes], _Named]
_TIED = frozenset({"gpt2", "gemma", "gemma2", "gemma3_text", "falcon"})
"""Architectures that share embeddings and output head where the config does not say."""


def weights_of_config(config: Mapping[str, object]) -> Weights:
    """Of the language model that a config describes; empty where its architecture has no rule here."""
    text = text_config(config)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    size, rule = sizes(config), _RULES.get(kind)
    tied = bool(text.get("tie_word_embeddings", kind in _TIED))
    if rule is _falcon and (text.get("new_decoder_architecture") or text.get("multi_query") is False):
        rule = None
    if rule is None or not all((size.layers, size.hidden, size.heads, size.head)):
        return Weights(tied=tied)
    blocks = ((f"layers.{n}.{name}", shape) for n in range(size.layers) for name, shape in rule(text, size))
    return weights_of([*blocks, *_outside(kind, size)], tied=tied, transposed=kind in CONV1D)


def _outside(kind: str, size: Sizes) -> _Named:
    """Biases outside the blocks."""
    if kind in ("gpt2", "gpt_neox", "falcon"):
        yield "norm.bias", (size.hidden,)


def _linear(name: str, outputs: int, inputs: int, *, bias: bool = False) -> _Named:
    yield f"{name}.weight", (outputs, inputs)
    if bias:
        yield f"{name}.bias", (outputs,)


def _norms(width: int, *names: str, bias: bool = False) -> _Named:
    for name in names:
        yield f"{name}.weight", (width,)
        if bias:
            yield f"{name}.bias", (width,)


def _attention(text: Mapping[str, object], size: Sizes) -> _Named:
    kind, wide, narrow = text.get("model_type"), size.heads * size.head, size.kv_heads * size.head
    all_biased = bool(text.get("attention_bias"))
    bias = all_biased or kind == "qwen2"
    yield from _linear("self_attn.q_proj", wide, size.hidden, bias=bias)
    yield from _linear("self_attn.k_proj", narrow, size.hidden, bias=bias)
    yield from _linear("self_attn.v_proj", narrow, size.hidden, bias=bias)
    yield from _linear("self_attn.o_proj", size.hidden, wide, bias=all_biased)
    if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
        yield from _norms(size.head, "self_attn.q_norm", "self_attn.k_norm")
    elif kind == "olmoe":
        yield from _norms(size.hidden, "self_attn.q_norm")
        yield from _norms(narrow, "self_attn.k_norm")


def _llama(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, bias = whole_number(text, "intermediate_size"), bool(text.get("mlp_bias"))
    yield from _attention(text, size)
    yield from _linear("mlp.gate_proj", inner, size.hidden, bias=bias)
    yield from _linear("mlp.up_proj", inner, size.hidden, bias=bias)
    yield from _linear("mlp.down_proj", size.hidden, inner, bias=bias)
    yield from _norms(size.hidden, "input_layernorm", "post_attention_layernorm")


def _gemma(text: Mapping[str, object], size: Sizes) -> _Named:
    yield from _llama(text, size)
    if text.get("model_type") in ("gemma2", "gemma3_text"):
        yield from _norms(size.hidden, "pre_feedforward_layernorm", "post_feedforward_layernorm")


def _mixture(text: Mapping[str, object], size: Sizes) -> _Named:
    experts = whole_number(text, "num_local_experts", "num_experts")
    inner = whole_number(text, "moe_intermediate_size", "intermediate_size")
    yield from _attention(text, size)
    yield "mlp.gate.weight", (experts, size.hidden)
    yield "mlp.experts.gate_up_proj", (experts, 2 * inner, size.hidden)
    yield "mlp.experts.down_proj", (experts, size.hidden, inner)
    yield from _norms(size.hidden, "input_layernorm", "post_attention_layernorm")


def _phi3(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, wide = whole_number(text, "intermediate_size"), size.heads * size.head
    yield from _linear("self_attn.qkv_proj", wide + 2 * size.kv_heads * size.head, size.hidden)
    yield from _linear("self_attn.o_proj", size.hidden, wide)
    yield from _linear("mlp.gate_up_proj", 2 * inner, size.hidden)
    yield from _linear("mlp.down_proj", size.hidden, inner)
    yield from _norms(size.hidden, "input_layernorm", "post_attention_layernorm")


def _gpt2(text: Mapping[str, object], size: Sizes) -> _Named:
    inner = whole_number(text, "n_inner") or 4 * size.hidden
    for name, inputs, outputs in (
        ("attn.c_attn", size.hidden, 3 * size.hidden),
        ("attn.c_proj", size.hidden, size.hidden),
        ("mlp.c_fc", size.hidden, inner),
        ("mlp.c_proj", inner, size.hidden),
    ):
        yield f"{name}.weight", (inputs, outputs)
        yield f"{name}.bias", (outputs,)
    yield from _norms(size.hidden, "ln_1", "ln_2", bias=True)


def _gpt_neox(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, bias = whole_number(text, "intermediate_size"), bool(text.get("attention_bias", True))
    yield from _linear("attention.query_key_value", 3 * size.hidden, size.hidden, bias=bias)
    yield from _linear("attention.dense", size.hidden, size.hidden, bias=bias)
    yield from _linear("mlp.dense_h_to_4h", inner, size.hidden, bias=True)
    yield from _linear("mlp.dense_4h_to_h", size.hidden, inner, bias=True)
    yield from _norms(size.hidden, "input_layernorm", "post_attention_layernorm", bias=True)


def _falcon(text: Mapping[str, object], size: Sizes) -> _Named:
    """Of the first generation: one key and value for all heads, attention beside the feed-forward."""
    inner, bias = whole_number(text, "ffn_hidden_size") or 4 * size.hidden, bool(text.get("bias"))
    yield from _linear("self_attention.query_key_value", size.hidden + 2 * size.head, size.hidden, bias=bias)
    yield from _linear("self_attention.dense", size.hidden, size.hidden, bias=bias)
    yield from _linear("mlp.dense_h_to_4h", inner, size.hidden, bias=bias)
    yield from _linear("mlp.dense_4h_to_h", size.hidden, inner, bias=bias)
    yield from _norms(size.hidden, "input_layernorm", bias=True)


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _llama),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), _gemma),
    **dict.fromkeys(("mixtral", "qwen3_moe", "olmoe"), _mixture),
    "phi3": _phi3,
    "falcon": _falcon,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
}
