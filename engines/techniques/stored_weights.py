"""Logical weights of stored tensors: a packed matrix counts its elements, its scales count nothing. Pure.

What tells them apart is how each method names its tensors, read off files that it wrote: bitsandbytes hangs ".absmax",
".quant_map" and ".quant_state..." on a weight, GPTQ and AWQ write "qweight", "qzeros", "scales", compressed-tensors
"weight_packed" and "weight_scale", gpt-oss "..._blocks" and "..._scales" (MXFP4), fine-grained FP8 "weight_scale_inv".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from engines.techniques.layers_config import text_config
from engines.techniques.stored_precision import StoredPrecision


class Tensor(Protocol):
    """A tensor by its header."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> str:
        """As safetensors names it: "U8"."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True)
class Logical:
    """What one or several stored tensors are to the model."""

    name: str
    """Of the parameter: "model.layers.0.mlp.up_proj.weight", however it is stored."""
    weights: int
    packed: bool
    """Stored by the model's quantisation."""


_BESIDE = (
    ".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map", ".SCB", ".weight_format", ".qzeros", ".scales",
    ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".weight_zero_point", ".weight_g_idx",
    ".weight_shape", ".weight_global_scale", ".input_scale", ".input_global_scale", ".input_scale_ub", ".output_scale",
    ".k_scale", ".v_scale", ".activation_scale", "._scale", "._shift", ".weight_scales", ".input_zero_point",
)  # fmt: skip
"""Ends of the names of what goes with a packed weight and is none."""
_PACKED = (".qweight", ".weight_packed", ".weight._data", ".weight._data._data", ".W_q", "_blocks")
"""Ends of the names of packed weights, beside ".weight"."""
_NO_PARAMETER = (".rotary_emb.inv_freq", ".masked_bias", ".attention.bias", ".attn.bias")
"""Ends of the names of constants that old files hold and transformers computes; of a bias only where it is a mask."""
_TIED_UNLESS_SAID = frozenset({"gpt2", "gemma", "gemma2", "gemma3", "gemma3_text", "bloom", "opt", "cohere", "cohere2"})
"""Architectures whose configs say nothing of a head that is the embedding."""
_HEADS = ("lm_head.weight",)
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")


def logical_weights(
    tensors: Sequence[Tensor], config: Mapping[str, object], stored: StoredPrecision | None
) -> list[Logical]:
    """Every parameter once. A stored copy of a tied head counts nothing. `weights` of a packed one is 0 where the bits
    of its kind are not known: then nobody knows how many the model has."""
    names = {tensor.name for tensor in tensors}
    copies = _copied_heads(tensors, config)
    found: list[Logical] = []
    for tensor in tensors:
        if tensor.name in copies or _is_constant(tensor):
            continue
        if stored is None:
            found.append(Logical(tensor.name, math.prod(tensor.shape), packed=False))
        elif not _is_beside(tensor.name, names):
            found.append(_of_stored(tensor, stored, names))
    return found


def _of_stored(tensor: Tensor, stored: StoredPrecision, names: set[str]) -> Logical:
    name = next((tensor.name.removesuffix(end) for end in _PACKED if tensor.name.endswith(end)), "")
    if name:
        whole = name if tensor.name.endswith("_blocks") else f"{name}.weight"
        return Logical(whole, _unpacked(tensor, stored.bits), packed=True)
    plain = math.prod(tensor.shape)
    if tensor.dtype == "U8" and tensor.name.endswith(".weight"):  # bitsandbytes' 4 bits, bitnet
        return Logical(tensor.name, _unpacked(tensor, stored.bits), packed=True)
    if f"{tensor.name}.absmax" in names:  # 4 bits in a type that is no integer
        return Logical(tensor.name, _unpacked(tensor, stored.bits), packed=True)
    return Logical(tensor.name, plain, packed=tensor.dtype == "I8" or tensor.dtype.startswith("F8_"))


def _unpacked(tensor: Tensor, bits: float) -> int:
    return round(8 * tensor.size_bytes / bits) if bits else 0


def _is_beside(name: str, names: set[str]) -> bool:
    if name.endswith("_scales") and name.removesuffix("_scales") + "_blocks" in names:
        return True
    return name.endswith(_BESIDE) or ".quant_state." in name


def _is_constant(tensor: Tensor) -> bool:
    return tensor.name.endswith(_NO_PARAMETER) and (not tensor.name.endswith(".bias") or len(tensor.shape) > 1)


def _copied_heads(tensors: Iterable[Tensor], config: Mapping[str, object]) -> set[str]:
    """Output heads that are stored beside the embedding they are tied to."""
    if not _is_tied(config):
        return set()
    embeddings = {(t.shape, t.dtype) for t in tensors if t.name.endswith(_EMBEDDINGS)}
    return {t.name for t in tensors if t.name.endswith(_HEADS) and (t.shape, t.dtype) in embeddings}


def _is_tied(config: Mapping[str, object]) -> bool:
    text = text_config(config)
    tied = text.get("tie_word_embeddings", config.get("tie_word_embeddings"))
    return text.get("model_type") in _TIED_UNLESS_SAID if tied is None else bool(tied)
