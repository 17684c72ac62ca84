"""A shape small enough for a second, and every technique of architecture on it, with settings that fit it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from engines.protocol.orders import TechniqueOrder
from engines.protocol.settings import Scalar
from engines.techniques import techniques
from engines.techniques.architecture import SHAPES, edited

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

WORDS = 96
SMALL: dict[str, object] = {
    **SHAPES["tiny"],
    "vocab_size": WORDS,
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "initializer_range": 0.2,
}
SETTINGS: dict[str, dict[str, Scalar]] = {
    "attention.gqa": {"kv_heads": 1},
    "attention.sliding": {"window": 5},
    "attention.mla": {"latent": 24, "rope_dims": 6},
    "attention.mamba": {"state": 4},
    "attention.mamba2": {"state": 8},
    "attention.nsa": {"window": 4, "block": 4, "selected": 2},
    "positions.learned": {"context": 40},
    "positions.t5": {"buckets": 8, "max_distance": 16},
    "feedforward.moe": {"experts": 4, "top_k": 2, "expert_width": 32},
}
"""By technique, where the defaults are made for larger shapes."""

SINGLE = tuple(
    t.id
    for axis in ("attention", "positions", "feedforward")
    for t in techniques(axis)
    if t.id != "attention.nsa" or find_spec("native_sparse_attention_pytorch") is not None
)
TOGETHER = (
    "attention.sliding positions.alibi",
    "attention.sliding feedforward.moe",
    "attention.mla positions.t5",
    "attention.mqa positions.learned feedforward.moe",
)
"""Combinations whose parts meet in one place."""
VARIANTS = (*SINGLE, *TOGETHER)


def order(id: str, **settings: Scalar) -> TechniqueOrder:
    return TechniqueOrder(id=id, parameters={**SETTINGS.get(id, {}), **settings})


def config_of(variant: str, **more: object) -> dict[str, object]:
    """Of one technique or of several with a space between them; "" for the shape itself."""
    return edited({**SMALL, **more}, [order(id) for id in variant.split()])


def make(config: dict[str, object], seed: int = 3) -> PreTrainedModel:
    import torch

    from engines.hf.architecture.build import build

    torch.manual_seed(seed)
    return build(config, torch.float32).eval()


def tokens(length: int, rows: int = 2, seed: int = 5) -> torch.Tensor:
    import torch

    return torch.randint(0, WORDS, (rows, length), generator=torch.Generator().manual_seed(seed))
