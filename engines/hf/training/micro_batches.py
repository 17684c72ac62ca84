"""Rows of tokens as tensors, and their loss. Worker process; imports torch.

Where a row holds several documents, transformers makes a mask that keeps them apart from where positions begin again,
but only without a cache and without an attention mask of the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from engines.data.training.documents import Batches, Row

IGNORED = -100
"""Label of a token whose loss does not count, as in transformers."""


@dataclass(frozen=True)
class MicroBatch:
    """Tensors of shape (rows, longest row); shorter rows are filled up at their end."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None
    """None where no row is packed: attention then takes its fast path, without a mask."""
    tokens: int
    loss_tokens: int
    padding: int
    documents: int


def micro_batch(rows: Sequence[Row], device: torch.device) -> MicroBatch:
    """What a row lacks to the longest one follows its last document, seen by no token of it."""
    width = max(len(row.ids) for row in rows)
    tokens = sum(len(row.ids) for row in rows)
    ids, labels, positions, documents = [], [], [], 0
    for row in rows:
        lacking = width - len(row.ids)
        ids.append(row.ids + [0] * lacking)
        targets = [token if counts else IGNORED for token, counts in zip(row.ids, row.loss_mask, strict=True)]
        labels.append(targets + [IGNORED] * lacking)
        last = row.positions[-1]
        positions.append([*row.positions, *range(last + 1, last + 1 + lacking)])
        documents += row.positions.count(0)
    return MicroBatch(
        ids=_on(device, ids),
        labels=_on(device, labels),
        positions=_on(device, positions) if documents > len(rows) else None,
        tokens=tokens,
        loss_tokens=sum(row.loss_mask.count(1) for row in rows),
        padding=width * len(rows) - tokens,
        documents=documents,
    )


def _on(device: torch.device, rows: list[list[int]]) -> torch.Tensor:
    """From memory that a GPU reads by itself: a copy from other memory would wait for the steps before it."""
    made = torch.tensor(rows)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made


def micro_batches(batches: Batches, count: int, step: int, device: torch.device) -> list[MicroBatch]:
    """The `count` micro-batches of a step, from 0."""
    return [micro_batch(batches.batch(step * count + place), device) for place in range(count)]


def token_losses(model: PreTrainedModel, batch: MicroBatch, reduction: Literal["sum", "none"] = "none") -> torch.Tensor:
    """-ln p of every target, in float32: shape (rows x width,) by the place that predicts it, 0 where none counts, or
    their sum."""
    return losses_of(forward(model, batch).logits, batch, reduction)


def forward(model: PreTrainedModel, batch: MicroBatch, **settings: bool) -> Any:
    """The model's outputs; `settings` are its own."""
    packed = {} if batch.positions is None else {"position_ids": batch.positions}
    return model(input_ids=batch.ids, use_cache=False, **packed, **settings)


def losses_of(logits: torch.Tensor, batch: MicroBatch, reduction: Literal["sum", "none"]) -> torch.Tensor:
    """As `token_losses`."""
    # the logits, by far the largest tensor, are not cut without need: a gradient of their size would be made for it
    if logits.shape[1] > batch.ids.shape[1]:
        logits = logits[:, -batch.ids.shape[1] :]  # virtual tokens stand in front and are not scored
    targets = torch.nn.functional.pad(batch.labels[:, 1:], (0, 1), value=IGNORED)
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )
