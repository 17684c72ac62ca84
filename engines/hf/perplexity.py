"""Loss on held-out text over the windows of `engines.workload.windows`. Worker process; imports torch.

Losses are computed in float32 and summed in float64.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engines.worker.stop import Stop
from engines.workload.windows import Window, size_for, windows

_ROWS = 64
"""Rows of logits turned into float32 losses at a time, to bound memory."""


def window_size(model: PreTrainedModel) -> int:
    """The longest window (tokens) that the model can hold."""
    own = getattr(model.config, "max_position_embeddings", None)
    return size_for(own if isinstance(own, int) else None)


def negative_log_likelihood(model: PreTrainedModel, ids: Sequence[int], tokens: int, stop: Stop) -> float | None:
    """Sum over the scored tokens of -ln p (nats). `ids` holds at least `tokens_needed` ids. None when stopped."""
    takes_rows = "logits_to_keep" in inspect.signature(model.forward).parameters
    total = 0.0
    with torch.no_grad():  # not inference_mode: quanto's 4-bit weights cannot be unpacked in it
        for window in windows(tokens, window_size(model)):
            if stop.requested:
                return None
            total += _window_loss(model, ids, window, takes_rows=takes_rows)
    return total


def bytes_between(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], first: int, end: int) -> int:
    """Bytes of text that the tokens `ids[first:end]` stand for, in a text that begins with `ids[0]`. Not those of the
    tokens decoded alone: a tokenizer of SentencePiece's kind takes the space before their first word for one of its
    own and drops it."""
    before, whole = (tokenizer.decode(ids[:place], clean_up_tokenization_spaces=False) for place in (first, end))
    return len(str(whole).encode()) - len(str(before).encode())


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
