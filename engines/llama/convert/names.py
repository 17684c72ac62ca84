"""Names of tensors: Hugging Face to GGUF, and which rows are reordered. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engines.llama.convert.shape import Shape
from engines.llama.convert.weights import Array, Stored

Part = Literal["query", "key", "other"]

_OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_INSIDE = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_COMPUTED = re.compile(r".*\.rotary_emb\.inv_freq")
"""Old files carry the frequencies of the rotary embedding, which follow from the config."""


@dataclass(frozen=True)
class Place:
    """Where a tensor goes."""

    name: str
    part: Part = "other"


def place_of(name: str, shape: Shape) -> Place | None:
    """None where the tensor is left out: it is computed, or the same as another. Raises `KeyError` if it is unknown."""
    if _COMPUTED.fullmatch(name) or (name == "lm_head.weight" and shape.tied):
        return None
    if name in _OUTSIDE:
        return Place(_OUTSIDE[name])
    found = _LAYER.fullmatch(name)
    if found is None or int(found[1]) >= shape.layers:
        raise KeyError(name)
    part: Part = "other"
    if shape.paired and found[2] in ("self_attn.q_proj", "self_attn.k_proj"):
        part = "query" if found[2] == "self_attn.q_proj" else "key"
    return Place(f"blk.{found[1]}.{_INSIDE[found[2]]}.{found[3]}", part)


def required(shape: Shape) -> set[str]:
    """GGUF names of the matrices and norms a model of this shape has."""
    per_layer = [n for n in _INSIDE.values() if shape.architecture == "qwen3" or not n.endswith(("q_norm", "k_norm"))]
    names = {f"blk.{layer}.{name}.weight" for layer in range(shape.layers) for name in per_layer}
    names |= {"token_embd.weight", "output_norm.weight"}
    return names if shape.tied else names | {"output.weight"}


def reordered(stored: Stored, part: Part, shape: Shape) -> Stored:
    """Rows of query and key in pairs: the first and second half of each head's rows, taken in turn."""
    if part == "other":
        return stored
    heads = shape.heads if part == "query" else shape.kv_heads
    rows: Array = stored.raw
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return Stored(stored.type, np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape)))
