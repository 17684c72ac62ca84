"""Names and shapes of a model's parameters by its config, as transformers builds it. Pure; no transformers.

For the architectures of `_RULES` only; a test compares each with the built model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from engines.techniques.facts import CONV1D
from engines.techniques.layers_config import RECURRENT, Sizes, sizes, text_config, whole_number
from engines.techniques.weights import Weights, weights_of

_Named = Iterator[tuple[str, tuple[int, ...]]]
_Rule = Callable[[Mapping[str, object], Sizes], _Named]
_TIED = frozenset({"gpt2", "gemma", "gemma2", "gemma3_text", "falcon", "mamba"})
"""Architectures that share embeddings and output head where the config does not say."""


def weights_of_config(config: Mapping[str, object]) -> Weights:
    """Of the language model that a config describes; empty where its architecture has no rule here."""
    kind, tied = _kind(text_config(config)), _tied(text_config(config))
    shapes = shapes_of_config(config)
    return weights_of(shapes, tied=tied, transposed=kind in CONV1D and bool(shapes))


def shapes_of_config(config: Mapping[str, object]) -> list[tuple[str, tuple[int, ...]]]:
    """Every parameter of the model, each once, by a name that says what it is for; none where there is no rule."""
    text = text_config(config)
    kind, size = _kind(text), sizes(text)
    rule = None if _differs(kind, text, size) else _RULES.get(kind)
    known = size.layers and size.hidden and (kind in RECURRENT or (size.heads and size.head))
    if rule is None or not known:
        return []
    blocks = ((f"layers.{n}.{name}", shape) for n in range(size.layers) for name, shape in rule(text, size))
    return [*blocks, *_outside(kind, text, size)]


def _kind(text: Mapping[str, object]) -> str:
    return str(text.get("model_type") or "")


def _tied(text: Mapping[str, object]) -> bool:
    return bool(text.get("tie_word_embeddings", _kind(text) in _TIED))


def _differs(kind: str, text: Mapping[str, object], size: Sizes) -> bool:
    """Whether its blocks are not those of its rule."""
    if kind == "falcon":
        return bool(text.get("new_decoder_architecture")) or text.get("multi_query") is False
    if kind == "deepseek_v3":  # the first blocks are dense: of mixtures there is no rule
        return whole_number(text, "first_k_dense_replace") < size.layers
    return kind == "qwen2_moe" and (text.get("decoder_sparse_step", 1) != 1 or bool(text.get("mlp_only_layers")))


def _outside(kind: str, text: Mapping[str, object], size: Sizes) -> _Named:
    """Outside the blocks, and what the first block alone has."""
    words = whole_number(text, "vocab_size")
    yield "embed_tokens.weight", (words, size.hidden)
    if kind == "gpt2":
        yield "position_embedding.weight", (whole_number(text, "n_positions") or 1024, size.hidden)
    yield from _norms(size.hidden, "norm", bias=kind in ("gpt2", "gpt_neox", "falcon", "rwkv"))
    if kind == "rwkv":
        yield from _norms(size.hidden, "layers.0.pre_norm", bias=True)
    if not _tied(text):
        yield "lm_head.weight", (words, size.hidden)


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
    bias = all_biased or kind == "qwen2" or (kind == "qwen2_moe" and bool(text.get("qkv_bias", True)))
    yield from _linear("self_attn.q_proj", wide, size.hidden, bias=bias)
    yield from _linear("self_attn.k_proj", narrow, size.hidden, bias=bias)
    yield from _linear("self_attn.v_proj", narrow, size.hidden, bias=bias)
    yield from _linear("self_attn.o_proj", size.hidden, wide, bias=all_biased)
    if kind in ("qwen3", "qwen3_moe", "gemma3_text"):
        yield from _norms(size.head, "self_attn.q_norm", "self_attn.k_norm")
    elif kind == "olmoe":
        yield from _norms(size.hidden, "self_attn.q_norm")
        yield from _norms(narrow, "self_attn.k_norm")


def _gated(name: str, inner: int, hidden: int, *, bias: bool = False) -> _Named:
    yield from _linear(f"{name}.gate_proj", inner, hidden, bias=bias)
    yield from _linear(f"{name}.up_proj", inner, hidden, bias=bias)
    yield from _linear(f"{name}.down_proj", hidden, inner, bias=bias)


def _llama(text: Mapping[str, object], size: Sizes) -> _Named:
    yield from _attention(text, size)
    yield from _gated("mlp", whole_number(text, "intermediate_size"), size.hidden, bias=bool(text.get("mlp_bias")))
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


def _latent(text: Mapping[str, object], size: Sizes) -> _Named:
    """Latent attention (MLA), dense feed-forward."""
    bias, latent, turned = bool(text.get("attention_bias")), _of(text, "kv_lora_rank"), _of(text, "qk_rope_head_dim")
    plain, value, squeezed = _of(text, "qk_nope_head_dim"), _of(text, "v_head_dim"), _of(text, "q_lora_rank")
    queries = size.heads * (plain + turned)
    if squeezed:
        yield from _linear("self_attn.q_a_proj", squeezed, size.hidden, bias=bias)
        yield from _norms(squeezed, "self_attn.q_a_layernorm")
        yield from _linear("self_attn.q_b_proj", queries, squeezed)
    else:
        yield from _linear("self_attn.q_proj", queries, size.hidden)
    yield from _linear("self_attn.kv_a_proj_with_mqa", latent + turned, size.hidden, bias=bias)
    yield from _norms(latent, "self_attn.kv_a_layernorm")
    yield from _linear("self_attn.kv_b_proj", size.heads * (plain + value), latent)
    yield from _linear("self_attn.o_proj", size.hidden, size.heads * value, bias=bias)
    yield from _gated("mlp", _of(text, "intermediate_size"), size.hidden)
    yield from _norms(size.hidden, "input_layernorm", "post_attention_layernorm")


def _shared(text: Mapping[str, object], size: Sizes) -> _Named:
    """A mixture of experts with a shared one beside them."""
    yield from _mixture(text, size)
    yield from _gated("mlp.shared_expert", _of(text, "shared_expert_intermediate_size"), size.hidden)
    yield from _linear("mlp.shared_expert_gate", 1, size.hidden)


def _mamba(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, state = _of(text, "expand", 2) * size.hidden, _of(text, "state_size", 16)
    rank = _of(text, "time_step_rank") or -(-size.hidden // 16)
    yield "mixer.A_log", (inner, state)
    yield "mixer.D", (inner,)
    yield from _convolution(text, inner)
    yield from _linear("mixer.in_proj", 2 * inner, size.hidden, bias=bool(text.get("use_bias")))
    yield from _linear("mixer.x_proj", rank + 2 * state, inner)
    yield from _linear("mixer.dt_proj", inner, rank, bias=True)
    yield from _linear("mixer.out_proj", size.hidden, inner, bias=bool(text.get("use_bias")))
    yield from _norms(size.hidden, "norm")


def _mamba2(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, heads = _of(text, "expand", 2) * size.hidden, _of(text, "num_heads", 128)
    convolved = inner + 2 * _of(text, "n_groups", 8) * _of(text, "state_size", 128)
    for name in ("A_log", "D", "dt_bias"):
        yield f"mixer.{name}", (heads,)
    yield from _convolution(text, convolved)
    yield from _linear("mixer.in_proj", inner + convolved + heads, size.hidden, bias=bool(text.get("use_bias")))
    yield from _norms(inner, "mixer.norm")
    yield from _linear("mixer.out_proj", size.hidden, inner, bias=bool(text.get("use_bias")))
    yield from _norms(size.hidden, "norm")


def _convolution(text: Mapping[str, object], channels: int) -> _Named:
    yield "mixer.conv1d.weight", (channels, 1, _of(text, "conv_kernel", 4))
    if text.get("use_conv_bias", True):
        yield "mixer.conv1d.bias", (channels,)


def _rwkv(text: Mapping[str, object], size: Sizes) -> _Named:
    inner, width = _of(text, "intermediate_size") or 4 * size.hidden, _of(text, "attention_hidden_size") or size.hidden
    for name in ("time_decay", "time_first"):
        yield f"attention.{name}", (width,)
    for name in ("attention.time_mix_key", "attention.time_mix_value", "attention.time_mix_receptance",
                 "feed_forward.time_mix_key", "feed_forward.time_mix_receptance"):  # fmt: skip
        yield name, (1, 1, size.hidden)
    for name in ("key", "value", "receptance"):
        yield from _linear(f"attention.{name}", width, size.hidden)
    yield from _linear("attention.output", size.hidden, width)
    yield from _linear("feed_forward.key", inner, size.hidden)
    yield from _linear("feed_forward.receptance", size.hidden, size.hidden)
    yield from _linear("feed_forward.value", size.hidden, inner)
    yield from _norms(size.hidden, "norm1", "norm2", bias=True)


def _of(text: Mapping[str, object], name: str, default: int = 0) -> int:
    """A whole number of the config, `default` where it is not there."""
    return whole_number(text, name) if name in text else default


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _llama),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text"), _gemma),
    **dict.fromkeys(("mixtral", "qwen3_moe", "olmoe"), _mixture),
    "qwen2_moe": _shared,
    "deepseek_v3": _latent,
    "phi3": _phi3,
    "falcon": _falcon,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "mamba": _mamba,
    "mamba2": _mamba2,
    "rwkv": _rwkv,
}
