"""The layers of a model by its Hugging Face config, as transformers reads it. Pure; no transformers.

Newer configs name each layer's kind (`layer_types`). For older ones each architecture has a rule of its own in its
configuration class; those of `_WINDOWS` and `_mixed` are the rules of transformers 5.23, which a test compares with the
cache that transformers makes. A config with signs of mixed layers and no rule here is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.techniques.layers import LayerGroup, Layers, grouped

_KINDS = {
    **dict.fromkeys(("full_attention", "attention", "hybrid"), "full"),
    **dict.fromkeys(("sliding_attention", "hybrid_sliding"), "window"),
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "conv", "recurrent", "moe", "mlp"), "none"),
}
"""By what configs call them: "hybrid" layers have attention beside a recurrent part."""


@dataclass(frozen=True)
class _Windows:
    """Which layers see a window."""

    default: int | None = None
    """`sliding_window` where the config does not name it."""
    every: int = 0
    """Each such layer sees everything; 0: none does."""
    key: str = ""
    """What the config calls `every`."""
    asked: bool = False
    """Only where `use_sliding_window` is true."""
    first: str = ""
    """What the config calls the first layer with a window."""


_WINDOWS = {
    "mistral": _Windows(4096),
    "ministral": _Windows(4096),
    "moshi": _Windows(3000),
    **dict.fromkeys(("mixtral", "phi3", "phimoe", "phi4_multimodal", "starcoder2"), _Windows()),
    "qwen3_moe": _Windows(4096, asked=True),
    **dict.fromkeys(("qwen2", "qwen3"), _Windows(4096, asked=True, first="max_window_layers")),
    **dict.fromkeys(("gemma2", "vaultgemma"), _Windows(4096, every=2)),
    "gemma3_text": _Windows(4096, every=6, key="sliding_window_pattern"),
    "gemma3n_text": _Windows(512, every=5),
    "cohere2": _Windows(4096, every=4, key="sliding_window_pattern"),
    "exaone4": _Windows(4096, every=4, key="sliding_window_pattern"),
    "olmo3": _Windows(4096, every=4),
    "gpt_oss": _Windows(128, every=2),
}
RECURRENT = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "xlstm"})
"""No layer attends to anything."""
_LISTED = frozenset({"bailing_hybrid", "kimi_linear", "longcat_flash", "minimax", "olmo_hybrid", "qwen4_exp_text"})
"""Mixed without a sign of it: unknown unless the config lists its layers."""
_DEFAULTS = {"gemma3_text": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}}
"""What published configs leave to the configuration class."""
_SIGNS = (
    "sliding_window", "attention_chunk_size", "attn_layer_period", "attn_layer_indices", "attn_type_list",
    "layers_block_type", "block_types", "hybrid_override_pattern", "full_attention_interval", "full_attn_idxs",
    "linear_attn_config", "mamba_d_state", "state_size", "ssm_cfg", "attention_types", "window_size", "local_attention",
    "attention_window", "index_topk", "swa_head_dim", "global_head_dim", "block_configs", "num_global_key_value_heads",
)  # fmt: skip
"""Keys of configs whose layers may differ, or do not attend to all earlier positions."""


def text_config(config: Mapping[str, object]) -> Mapping[str, object]:
    """The part about the language model: models of several modalities nest it."""
    nested = config.get("text_config")
    return nested if isinstance(nested, Mapping) else config


def whole_number(config: Mapping[str, object], *names: str) -> int:
    """The first of `names` that is a whole number, 0 where none is."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return 0


@dataclass(frozen=True)
class Sizes:
    """Numbers of a config by whatever names its architecture gives them; 0 where it does not say."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    """Size of a head."""


def sizes(config: Mapping[str, object]) -> Sizes:
    text = text_config(config)
    text = {**_DEFAULTS.get(str(text.get("model_type")), {}), **text}
    heads = whole_number(text, "num_attention_heads", "n_head", "n_heads")
    hidden = whole_number(text, "hidden_size", "n_embd", "d_model")
    kv_heads = whole_number(text, "num_key_value_heads", "num_kv_heads") or heads
    if text.get("multi_query") and not text.get("new_decoder_architecture"):
        kv_heads = 1
    return Sizes(
        layers=whole_number(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head=whole_number(text, "head_dim", "attention_head_dim") or (hidden // heads if heads else 0),
    )


def layers_of_config(config: Mapping[str, object]) -> Layers:
    """The layers, or why they are not known."""
    text, known = text_config(config), sizes(config)
    kinds = _kinds(text, known.layers)
    if isinstance(kinds, str):
        return Layers(unknown=kinds)
    if all(kind == "none" for kind in kinds):
        return grouped(LayerGroup(1, 0, 0) for _ in kinds)
    named = [text.get(name) for name in ("num_attention_heads", "num_key_value_heads", "head_dim")]
    if not known.heads or not known.head or any(isinstance(value, list) for value in named):
        return Layers(unknown="config.json does not give one number of attention heads and their size")
    key, value = _head_sizes(text, known)
    window = whole_number(text, "sliding_window", "attention_window_size") or _default_window(text)
    if "window" in kinds and not window:
        return Layers(unknown="config.json names layers with a sliding window, and no size of it")
    sharing = len(kinds) - whole_number(text, "num_kv_shared_layers")
    width = known.heads * (key + value) / 2
    cached = _latent(text) or known.kv_heads * (key + value)

    def layer(place: int, kind: str) -> LayerGroup:
        if kind == "none":
            return LayerGroup(1, 0, 0)
        return LayerGroup(1, width, cached if place < sharing else 0, window if kind == "window" else 0)

    return grouped(layer(place, kind) for place, kind in enumerate(kinds))


def _head_sizes(text: Mapping[str, object], known: Sizes) -> tuple[int, int]:
    """Of a key and a value."""
    key = whole_number(text, "qk_nope_head_dim") + whole_number(text, "qk_rope_head_dim") or known.head
    return key, whole_number(text, "v_head_dim") or key


def _latent(text: Mapping[str, object]) -> int:
    """Numbers that latent attention keeps of each token: the latent vector, and the turned part of the keys, once for
    all heads; 0 of other attention."""
    latent = whole_number(text, "kv_lora_rank")
    return latent + whole_number(text, "qk_rope_head_dim") if latent else 0


def _kinds(text: Mapping[str, object], layers: int) -> list[str] | str:
    """ "full", "window" or "none" for every layer; a text says why that is not known."""
    named = text.get("layer_types") or text.get("layers_block_type") or _mixed(text, layers)
    layers = layers or (len(named) if isinstance(named, list) else 0)
    if not layers:
        return "config.json does not say how many layers there are"
    if named is None:
        return _plain(text, layers)
    if not isinstance(named, list):
        return "config.json does not name the kinds of its layers in a list"
    kinds = [_KINDS.get(str(name), "") for name in named]
    if "" in kinds:
        return f"layers of the kind {named[kinds.index('')]} are not known here"
    if len(kinds) != layers:
        return f"config.json names {len(kinds)} kinds for {layers} layers"
    return kinds


def _mixed(text: Mapping[str, object], layers: int) -> list[str] | None:
    """Layers with and without attention, where the config has a rule in place of a list; None for others."""
    kind = text.get("model_type")

    def with_attention(places: object) -> list[str]:
        among = set(places) if isinstance(places, list | range) else set()
        return ["attention" if place in among else "mamba" for place in range(layers)]

    if kind in RECURRENT:
        return ["mamba"] * layers
    if kind == "falcon_h1":
        return ["hybrid"] * layers
    if kind == "jamba":
        period, offset = text.get("attn_layer_period", 8), text.get("attn_layer_offset", 4)
        if isinstance(period, int) and isinstance(offset, int) and period > 0:
            return with_attention(range(offset, layers, period))
    if kind == "bamba":
        return with_attention(text.get("attn_layer_indices"))
    if kind == "lfm2" and text.get("full_attn_idxs") is not None:
        return with_attention(text["full_attn_idxs"])
    if kind in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"):
        interval = text.get("full_attention_interval", 4)
        if isinstance(interval, int) and interval > 0:
            return with_attention(range(interval - 1, layers, interval))
    if kind == "recurrent_gemma":
        blocks = text.get("block_types", ["recurrent", "recurrent", "attention"])
        if isinstance(blocks, list) and blocks:
            return ["recurrent" if (blocks * layers)[i] == "recurrent" else "sliding_attention" for i in range(layers)]
    pattern = text.get("hybrid_override_pattern")
    if kind == "nemotron_h" and isinstance(pattern, str):
        return ["attention" if letter == "*" else "mamba" for letter in pattern]
    return None


def _plain(text: Mapping[str, object], layers: int) -> list[str] | str:
    """Every layer attends to something: to everything, or within a window."""
    kind = str(text.get("model_type"))
    rule = _WINDOWS.get(kind)
    if kind in _LISTED:
        return "config.json does not name the kinds of its layers, which differ"
    if rule is None:
        signs = [name for name in _SIGNS if text.get(name)]
        if "sliding_window" in signs and text.get("use_sliding_window") is False:
            signs.remove("sliding_window")
        return f"config.json has {signs[0]}, whose rule is not known here" if signs else ["full"] * layers
    window = text.get("sliding_window", rule.default)
    if window is None or (rule.asked and not text.get("use_sliding_window")):
        return ["full"] * layers
    every = text.get(rule.key, rule.every) if rule.key else rule.every
    if not isinstance(every, int) or every < 0:
        return f"{rule.key} of config.json is no number"
    start = text.get(rule.first, 28) if rule.first else 0
    if not isinstance(start, int):
        return f"{rule.first} of config.json is no number"
    seeing = {place for place in range(layers) if place < start or (every and (place + 1) % every == 0)}
    return ["full" if place in seeing else "window" for place in range(layers)]


def _default_window(text: Mapping[str, object]) -> int:
    if text.get("model_type") == "recurrent_gemma":
        return 2048
    rule = _WINDOWS.get(str(text.get("model_type")))
    return rule.default or 0 if rule is not None else 0
