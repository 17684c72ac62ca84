"""Perplexity of held-out text with a sliding window. Worker process; imports torch.

A window holds at most `CONTEXT_TOKENS` tokens, of which the last three quarters count: every counted token has at
least a quarter of a window of context before it, and is counted once. Losses are computed in float32 and summed in
float64.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from engines.worker.stop import Stop

CONTEXT_TOKENS = 512
_ROWS = 64
"""Rows of logits turned into float32 losses at a time, to bound memory."""


@dataclass(frozen=True)
class Window:
    """Tokens `start`..`end`, of which those from `counted` on are scored; all in the text's numbering."""

    start: int
    counted: int
    end: int


def windows(tokens: int, size: int) -> Iterator[Window]:
    """Windows that score exactly `tokens` tokens, the first after a quarter of a window of context."""
    context = max(1, size // 4)
    stride = size - context
    first = context
    while first < context + tokens:
        end = min(first + stride, context + tokens)
        yield Window(first - context, first, end)
        first = end


def tokens_needed(tokens: int, size: int) -> int:
    """Length of text (tokens) for `windows(tokens, size)`."""
    return max(1, size // 4) + tokens


def window_size(model: PreTrainedModel) -> int:
    """`CONTEXT_TOKENS`, or the model's own context where that is shorter."""
    own = getattr(model.config, "max_position_embeddings", None)
    return min(CONTEXT_TOKENS, own) if isinstance(own, int) and own > 1 else CONTEXT_TOKENS


def negative_log_likelihood(model: PreTrainedModel, ids: Sequence[int], tokens: int, stop: Stop) -> float | None:
    """Sum over the scored tokens of -ln p (nats). `ids` holds at least `tokens_needed` ids. None when stopped."""
    takes_rows = "logits_to_keep" in inspect.signature(model.forward).parameters
    total = 0.0
    with torch.inference_mode():
        for window in windows(tokens, window_size(model)):
            if stop.requested:
                return None
            total += _window_loss(model, ids, window, takes_rows=takes_rows)
    return total


def _window_loss(model: PreTrainedModel, ids: Sequence[int], window: Window, *, takes_rows: bool) -> float:
    """Loss of one window. The last token is a target only; where the model can, the output head is applied to the rows
    that are scored and to no others."""
    inputs = torch.tensor([ids[window.start : window.end - 1]], device=model.device)
    targets = torch.tensor(ids[window.counted : window.end], device=model.device)
    scored = len(targets)
    arguments = {"logits_to_keep": scored} if takes_rows else {}
    logits = model(input_ids=inputs, use_cache=False, **arguments).logits[0, -scored:]
    loss = 0.0
    for row in range(0, scored, _ROWS):
        part = torch.nn.functional.cross_entropy(
            logits[row : row + _ROWS].float(), targets[row : row + _ROWS], reduction="none"
        )
        loss += float(part.double().sum())
    return loss
