"""A shape's config as its techniques change it: Hugging Face keys that transformers builds by itself, and under the key
"workbench" what `engines.hf.architecture` puts in beside. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from engines.protocol.orders import TechniqueOrder
from engines.protocol.settings import Scalar
from engines.techniques.architecture import attention, feedforward, positions
from engines.techniques.architecture.shapes import BACKBONES, COMMON, number, whole
from engines.techniques.registry import find

Config = dict[str, object]
Parameters = Mapping[str, Scalar]
_Edit = Callable[[Config, Parameters], Config]

KEY = "workbench"
"""Of the config: what transformers does not know."""
ATTENTION = "attention"
"""Of that: {"kind": "nsa"} and the parameters of the technique."""
POSITIONS = "positions"
"""{"kind": "alibi"} and the parameters of the technique."""
_HEAD = 64
"""Size of a head of Mamba-2, as in its paper."""


def edited(config: Mapping[str, object], techniques: Sequence[TechniqueOrder]) -> Config:
    """The config after all techniques of stage "config" among an order's; the same where there are none."""
    chosen = {order.id: order.parameters for order in techniques if order.id in _EDITS}
    made = _complete(config) if chosen else dict(config)
    for id, edit in _EDITS.items():
        if id in chosen:
            technique = find(id)
            made = edit(made, {**(technique.defaults() if technique is not None else {}), **chosen[id]})
    return made


def edit(config: Config, order: TechniqueOrder) -> Config:
    """What the transformers engine calls at stage "config" for each of them."""
    return edited(config, (order,))


def _complete(config: Mapping[str, object]) -> Config:
    """With what configs of llamas leave to transformers."""
    if config.get("model_type") not in BACKBONES:
        return dict(config)
    heads = number(config, "num_attention_heads")
    usual = {
        "num_key_value_heads": heads,
        "head_dim": number(config, "hidden_size") // heads,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 2_048,
    }
    return {**usual, **{name: value for name, value in config.items() if value is not None or name not in usual}}


def architectural(techniques: Sequence[TechniqueOrder]) -> tuple[TechniqueOrder, ...]:
    """Those of an order's techniques that are architectures."""
    return tuple(order for order in techniques if order.id in _EDITS)


def slot(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    """What the key "workbench" says of one slot; empty where it says nothing."""
    ours = config.get(KEY)
    found = ours.get(name) if isinstance(ours, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def with_slot(config: Config, name: str, **values: object) -> Config:
    ours = config.get(KEY)
    return {**config, KEY: {**(ours if isinstance(ours, Mapping) else {}), name: values}}


def _heads(kept: Callable[[Config, Parameters], int]) -> _Edit:
    return lambda config, given: {**config, "num_key_value_heads": kept(config, given)}


def _sliding(config: Config, given: Parameters) -> Config:
    return {**config, "model_type": "mistral", "sliding_window": whole(given, "window")}


def _latent(config: Config, given: Parameters) -> Config:
    head, hidden, layers = (number(config, name) for name in ("head_dim", "hidden_size", "num_hidden_layers"))
    turned = whole(given, "rope_dims") or head // 2
    return {
        **{name: value for name, value in config.items() if name != "head_dim"},
        "model_type": "deepseek_v3",
        "num_key_value_heads": config["num_attention_heads"],
        "kv_lora_rank": whole(given, "latent") or hidden // 8,
        "q_lora_rank": None,
        "qk_nope_head_dim": head,
        "qk_rope_head_dim": turned,
        "v_head_dim": head,
        "first_k_dense_replace": layers,
        "n_routed_experts": 0,
        "num_mtp_layers": 0,
    }


def _mamba(config: Config, given: Parameters) -> Config:
    """Twice as many blocks: one stands for attention or for a feed-forward part (Gu & Dao, section 3.4)."""
    return {
        **_common(config),
        "model_type": "mamba",
        "num_hidden_layers": 2 * number(config, "num_hidden_layers"),
        "layer_norm_epsilon": config["rms_norm_eps"],
        "state_size": whole(given, "state"),
        "expand": 2,
        "conv_kernel": 4,
    }


def _mamba2(config: Config, given: Parameters) -> Config:
    heads = max(1, 2 * number(config, "hidden_size") // _HEAD)
    return {
        **_mamba(config, given),
        "model_type": "mamba2",
        "num_heads": heads,
        "head_dim": 2 * number(config, "hidden_size") // heads,
        "n_groups": 1,
        "chunk_size": 64,
    }


def _rwkv(config: Config, _given: Parameters) -> Config:
    """Without halving weights at evaluation (`rescale_every`), which is for float16 and would be saved with them."""
    return {
        **_common(config),
        "model_type": "rwkv",
        "context_length": config["max_position_embeddings"],
        "attention_hidden_size": config["hidden_size"],
        "intermediate_size": 4 * number(config, "hidden_size"),
        "layer_norm_epsilon": config["rms_norm_eps"],
        "rescale_every": 0,
    }


def _pythia(config: Config, _given: Parameters) -> Config:
    return {
        **_common(config),
        "model_type": "gpt_neox",
        "num_attention_heads": config["num_attention_heads"],
        "intermediate_size": 4 * number(config, "hidden_size"),
        "max_position_embeddings": config["max_position_embeddings"],
        "hidden_act": "gelu",
        "attention_bias": True,
        "use_parallel_residual": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.25},
    }


def _mixture(config: Config, given: Parameters) -> Config:
    shared, width = whole(given, "shared"), whole(given, "expert_width") or number(config, "intermediate_size")
    made = {
        **config,
        "model_type": "mixtral",
        "intermediate_size": width,
        "num_local_experts": given["experts"],
        "num_experts_per_tok": given["top_k"],
        "router_aux_loss_coef": given["balance"],
    }
    if not shared:
        return made
    window = made.get("sliding_window")
    return {
        **{name: value for name, value in made.items() if name != "num_local_experts"},
        "model_type": "qwen2_moe",
        "num_experts": given["experts"],
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared * width,
        "norm_topk_prob": True,
        "qkv_bias": False,
        "use_sliding_window": bool(window),
        "layer_types": ["sliding_attention" if window else "full_attention"] * number(config, "num_hidden_layers"),
    }


def _rotary(config: Config, given: Parameters) -> Config:
    return {**config, "rope_parameters": {"rope_type": "default", "rope_theta": given["base"]}}


def _learned(config: Config, given: Parameters) -> Config:
    limited = {**config, "max_position_embeddings": given["context"]}
    return with_slot(limited, POSITIONS, kind="learned", **given)


def _other(kind: str) -> _Edit:
    return lambda config, given: with_slot(config, POSITIONS, kind=kind, **given)


def _common(config: Config) -> Config:
    return {name: config[name] for name in COMMON if name in config}


_EDITS: dict[str, _Edit] = {
    attention.MHA: _heads(lambda config, _given: number(config, "num_attention_heads")),
    attention.GQA: _heads(lambda _config, given: whole(given, "kv_heads")),
    attention.MQA: _heads(lambda _config, _given: 1),
    attention.SLIDING: _sliding,
    attention.MLA: _latent,
    attention.NSA: lambda config, given: with_slot({**config, "use_cache": False}, ATTENTION, kind="nsa", **given),
    attention.MAMBA: _mamba,
    attention.MAMBA2: _mamba2,
    attention.RWKV: _rwkv,
    attention.PYTHIA: _pythia,
    feedforward.DENSE: lambda config, _given: config,
    feedforward.MOE: _mixture,
    positions.ROPE: _rotary,
    positions.LEARNED: _learned,
    positions.SINUSOIDAL: _other("sinusoidal"),
    positions.ALIBI: _other("alibi"),
    positions.T5: _other("t5"),
    positions.NONE: _other("none"),
}
"""By technique, in the order they are applied: attention before the feed-forward part, which keeps its window."""
