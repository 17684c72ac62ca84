"""Positions that transformers' llama blocks do not have: they enter a decoder's forward pass by hooks, which see the
decoder itself, so that copies of a model work. Worker process; imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.t5.modeling_t5 import T5Attention

from engines.techniques.architecture.edited import KEY, POSITIONS, slot

_Call = tuple[tuple[Any, ...], dict[str, Any]]


def put_in(model: PreTrainedModel) -> None:
    """Replace the rotary positions of a decoder that was just made by those its config names."""
    config = model.config
    ours = slot({KEY: getattr(config, KEY, None)}, POSITIONS)
    kind, decoder = ours["kind"], model.model
    decoder.rotary_emb = Unturned(config)
    if kind == "sinusoidal":
        decoder.position_embedding = Sinusoidal()
    elif kind == "learned":
        decoder.position_embedding = Learned(config)
    elif kind == "alibi":
        decoder.position_bias = Alibi(config.num_attention_heads)
    elif kind == "t5":
        decoder.position_bias = Buckets(config, _whole(ours, "buckets"), _whole(ours, "max_distance"))
    elif kind != "none":
        raise ValueError(f"There are no positions of the kind {kind}.")
    if kind in ("sinusoidal", "learned"):
        decoder.register_forward_pre_hook(_add_to_embeddings, with_kwargs=True)
    elif kind in ("alibi", "t5"):
        decoder.register_forward_pre_hook(_give_bias, with_kwargs=True)


def _add_to_embeddings(decoder: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> _Call:
    embedded = named.get("inputs_embeds")
    if embedded is None:
        embedded = decoder.embed_tokens(named["input_ids"])
    places = named.get("position_ids")
    if places is None:
        past = named.get("past_key_values")
        begin = past.get_seq_length() if past is not None else 0
        places = torch.arange(begin, begin + embedded.shape[1], device=embedded.device)[None]
    return arguments, {**named, "input_ids": None, "inputs_embeds": decoder.position_embedding(embedded, places)}


def _give_bias(decoder: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> _Call:
    """transformers' sdpa adds it to the scores of every layer; other backends drop it without a word."""
    if decoder.config._attn_implementation != "sdpa":
        raise ValueError("A bias of positions needs the attention backend sdpa: the others would leave it out.")
    tokens = named["input_ids"] if named.get("inputs_embeds") is None else named["inputs_embeds"]
    past, queries = named.get("past_key_values"), tokens.shape[1]
    keys = past.get_mask_sizes(queries, 0)[0] if past is not None else queries
    places = torch.arange(keys, device=tokens.device)
    bias = decoder.position_bias(places[None, :] - places[-queries:, None])
    return arguments, {**named, "position_bias": bias[None].to(decoder.dtype)}


class Unturned(torch.nn.Module):
    """Rotary positions that turn nothing."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self._width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def forward(self, hidden: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ones = hidden.new_ones((1, 1, self._width))
        return ones, torch.zeros_like(ones)


class Sinusoidal(torch.nn.Module):
    """Vaswani et al. 2017, sections 3.4 and 3.5: sine and cosine of position / 10,000^(2i / width) in turn, beside
    embeddings scaled by √width."""

    def forward(self, embedded: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        width = embedded.shape[-1]
        even = torch.arange(0, width, 2, device=embedded.device, dtype=torch.float32)
        angles = places[..., None] * 10_000 ** (-even / width)
        table = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
        return embedded * math.sqrt(width) + table.to(embedded.dtype)


class Learned(torch.nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.table = _table(config.max_position_embeddings, config.hidden_size, config)

    def forward(self, embedded: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return embedded + self.table(places)


class Alibi(torch.nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self._slopes = slopes(heads)

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        """(heads, queries, keys) of key position - query position."""
        return torch.tensor(self._slopes, device=distance.device)[:, None, None] * distance


class Buckets(torch.nn.Module):
    """T5's buckets of distances, one number for each head; the whole model has one table."""

    def __init__(self, config: PretrainedConfig, buckets: int, max_distance: int) -> None:
        super().__init__()
        self.table = _table(buckets, config.num_attention_heads, config)
        self._max_distance = max_distance

    def forward(self, distance: torch.Tensor) -> torch.Tensor:
        bucket = T5Attention._relative_position_bucket(
            distance, bidirectional=False, num_buckets=self.table.num_embeddings, max_distance=self._max_distance
        )
        return self.table(bucket).permute(2, 0, 1)


def slopes(heads: int) -> list[float]:
    """Of ALiBi: a geometric sequence that ends at 2^-8, from the next lower power of two where `heads` is none, with
    every other one of twice as many heads for the rest (the paper's own code)."""
    whole = 1 << (heads.bit_length() - 1)
    first = [2 ** (-8 * (place + 1) / whole) for place in range(whole)]
    return first + [2 ** (-4 * (2 * place + 1) / whole) for place in range(heads - whole)]


def _whole(ours: Mapping[str, object], name: str) -> int:
    value = ours[name]
    assert isinstance(value, int)
    return value


def _table(rows: int, width: int, config: PretrainedConfig) -> torch.nn.Embedding:
    table = torch.nn.Embedding(rows, width)
    torch.nn.init.normal_(table.weight, std=config.initializer_range)
    return table
