"""Loss of a window of held-out text (`engines.data.held_out`). Worker process; imports torch.

Losses are computed in float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engines.data.held_out import Losses
from engines.data.windows import size_for
from engines.hf.shape import NewCache
from engines.worker.stop import Stop

_ROWS = 64
"""Rows of logits turned into float32 losses at a time, to bound memory."""


def window_size(model: PreTrainedModel, before: int = 0) -> int:
    """The longest window (tokens) that the model can hold, `before` tokens of its own apart."""
    own = getattr(model.config, "max_position_embeddings", None)
    return size_for(own - before if isinstance(own, int) else None)


def window_losses(model: PreTrainedModel, stop: Stop, new_cache: NewCache = dict) -> Losses:
    """The last token of a window is a target only; where the model can, the output head is applied to the rows that are
    scored and to no others. A cache of a technique's own takes part as in a prefill."""
    takes_rows = "logits_to_keep" in inspect.signature(model.forward).parameters

    def losses(ids: Sequence[int], scored: int) -> list[float] | None:
        if stop.requested:
            return None
        inputs = torch.tensor([ids[:-1]], device=model.device)
        targets = torch.tensor(ids[-scored:], device=model.device)
        arguments = {"logits_to_keep": scored} if takes_rows else {}
        found: list[float] = []
        with torch.no_grad():  # not inference_mode: quanto's 4-bit weights cannot be unpacked in it
            cache = new_cache()
            logits = model(input_ids=inputs, use_cache=bool(cache), **cache, **arguments).logits[0, -scored:]
            for row in range(0, scored, _ROWS):
                part = torch.nn.functional.cross_entropy(
                    logits[row : row + _ROWS].float(), targets[row : row + _ROWS], reduction="none"
                )
                found += part.tolist()
        return found

    return losses


def bytes_to(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], place: int) -> int:
    """Bytes of text that the tokens `ids[:place]` stand for. Differences of it are those of a stretch; tokens decoded
    alone are not: a tokenizer of SentencePiece's kind takes the space before their first word for one of its own and
    drops it."""
    return len(str(tokenizer.decode(ids[:place], clean_up_tokenization_spaces=False)).encode())
