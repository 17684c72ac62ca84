"""What of a Hugging Face config llama.cpp has to know, and what it cannot run. Pure.

GGUF keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Rotary embeddings: llama.cpp turns neighbouring
pairs of a head's values for its architecture "llama" and the two halves for the others, as transformers does for all;
so the rows of the query and key projections of "llama" are reordered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.techniques.architecture.edited import ATTENTION, POSITIONS, slot
from engines.worker.failures import WorkerFailure

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""`model_type` -> GGUF's `general.architecture`."""
_PAIRED = frozenset({"llama"})


@dataclass(frozen=True)
class RopeScaling:
    """How positions beyond the trained context are squeezed: GGUF's "linear" or "yarn", or factors by frequency."""

    type: str = ""
    factor: float = 1.0
    original_context: int = 0
    attention_factor: float | None = None
    beta_fast: float | None = None
    beta_slow: float | None = None
    frequency_factors: NDArray[np.float32] | None = None
    """llama 3: one divisor for each frequency, stored as the tensor `rope_freqs.weight`."""


@dataclass(frozen=True)
class Shape:
    """Lengths are tokens or values; `architecture` is GGUF's."""

    architecture: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_base: float
    rope: RopeScaling
    tied: bool
    cautions: tuple[str, ...] = field(default=())

    @property
    def paired(self) -> bool:
        """Whether rows of query and key are reordered to turn neighbouring pairs."""
        return self.architecture in _PAIRED


def shape_of(config: Mapping[str, object]) -> Shape:
    """Raises `WorkerFailure` for what llama.cpp would compute differently."""
    kind = str(config.get("model_type", ""))
    if kind not in ARCHITECTURES:
        raise _cannot(f"its architecture is {kind or 'unknown'}, not one of {', '.join(sorted(ARCHITECTURES))}")
    _refuse_what_differs(config)
    heads, hidden = _number(config, "num_attention_heads"), _number(config, "hidden_size")
    head_dim = _number(config, "head_dim", hidden // heads)
    context, cautions = _context(config)
    rope = _rope_parameters(config)
    base = rope.get("rope_theta", 10_000.0)
    return Shape(
        architecture=ARCHITECTURES[kind],
        layers=_number(config, "num_hidden_layers"),
        hidden=hidden,
        feed_forward=_number(config, "intermediate_size"),
        heads=heads,
        kv_heads=_number(config, "num_key_value_heads", heads),
        head_dim=head_dim,
        vocabulary=_number(config, "vocab_size"),
        context=context,
        norm_epsilon=_real(config.get("rms_norm_eps", 1e-6)),
        rope_base=_real(base),
        rope=_scaling(rope, head_dim, _real(base), context),
        tied=bool(config.get("tie_word_embeddings", False)),
        cautions=cautions,
    )


def _refuse_what_differs(config: Mapping[str, object]) -> None:
    if config.get("hidden_act", "silu") != "silu":
        raise _cannot(f"its activation is {config['hidden_act']}, and llama.cpp computes silu for this architecture")
    if config.get("quantization_config"):
        raise _cannot("its weights are already quantised")
    if any(slot(config, name) for name in (ATTENTION, POSITIONS)):
        raise _cannot(
            "its positions or attention are an architecture's of this application, which llama.cpp does not have"
        )
    if config.get("use_sliding_window"):
        raise _cannot("a part of its layers sees a sliding window only, which llama.cpp does not do for it")


def _context(config: Mapping[str, object]) -> tuple[int, tuple[str, ...]]:
    """A sliding window (the first Mistral) is not applied by llama.cpp: up to its length both compute the same."""
    own = _number(config, "max_position_embeddings", 2048)
    window = config.get("sliding_window")
    if config.get("model_type") == "mistral" and isinstance(window, int) and window < own:
        return window, (f"context limited to the sliding window of {window:,} tokens, which llama.cpp does not apply",)
    return own, ()


def _rope_parameters(config: Mapping[str, object]) -> dict[str, object]:
    """transformers 5 has `rope_parameters`; configs before have `rope_theta` and `rope_scaling`."""
    new, old = config.get("rope_parameters"), config.get("rope_scaling")
    found: dict[str, object] = {}
    for part in (old, new):
        if isinstance(part, dict):
            found |= part
    if "rope_theta" not in found and "rope_theta" in config:
        found["rope_theta"] = config["rope_theta"]
    if "partial_rotary_factor" in config:
        found.setdefault("partial_rotary_factor", config["partial_rotary_factor"])
    return found


def _scaling(rope: Mapping[str, object], head_dim: int, base: float, context: int) -> RopeScaling:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise _cannot("its rotary embedding turns a part of each head only")
    if kind in ("default", None):
        return RopeScaling()
    factor = _real(rope.get("factor", 1.0))
    original = rope.get("original_max_position_embeddings")
    if kind == "linear":
        return RopeScaling("linear", factor)
    if kind == "yarn":
        if rope.get("mscale") or rope.get("mscale_all_dim") or not rope.get("truncate", True):
            raise _cannot("its YaRN scaling has settings that are not known to be the same in llama.cpp")
        return RopeScaling(
            "yarn",
            factor,
            original if isinstance(original, int) else context,
            attention_factor=_optional(rope.get("attention_factor")),
            beta_fast=_optional(rope.get("beta_fast")),
            beta_slow=_optional(rope.get("beta_slow")),
        )
    if kind == "llama3" and isinstance(original, int):
        low, high = _real(rope.get("low_freq_factor", 1.0)), _real(rope.get("high_freq_factor", 4.0))
        return RopeScaling(frequency_factors=_llama3_factors(head_dim, base, factor, low, high, original))
    raise _cannot(f"its rotary embedding is scaled as {kind}")


def _llama3_factors(
    head_dim: int, base: float, factor: float, low: float, high: float, original: int
) -> NDArray[np.float32]:
    """What each frequency is divided by: nothing for short wavelengths, `factor` for long ones, and between them a
    frequency on the line from one to the other (the scaling that Llama 3.1's model card introduced)."""
    frequencies = base ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    turns = original * frequencies / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - share) / factor + share)).astype(np.float32)


def _number(config: Mapping[str, object], name: str, default: int | None = None) -> int:
    value = config.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _cannot(f"its config says {name} = {value!r}")
    return value


def _real(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise _cannot(f"its config has {value!r} for a number")
    return float(value)


def _optional(value: object) -> float | None:
    return None if value is None else _real(value)


def _cannot(why: str) -> WorkerFailure:
    return WorkerFailure(
        "technique", f"The model cannot be written as GGUF: {why}.", "Run it with the transformers engine."
    )
