"""Loss on held-out text, the same for every engine: what the model is given, and the record of it. Worker process.

The record keeps the loss of short parts of the text beside the sum: two configurations are compared part by part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from engines.data import text
from engines.data.begin import Begin
from engines.data.training.documents import Document
from engines.data.windows import tokens_needed, windows
from engines.protocol.records import Evaluation
from engines.worker.failures import WorkerFailure

Losses = Callable[[Sequence[int], int], Sequence[float] | None]
"""(ids, scored) -> -ln p (nats) of the last `scored` ids, each given all of `ids` before it; None when stopped."""
_PART_TOKENS = 16
_PARTS = 256
"""Parts that a record holds at the most; of a longer text they are longer."""


def evaluate(
    ids: Sequence[int], tokens: int, size: int, begin: Begin, losses: Losses, bytes_to: Callable[[int], int]
) -> Evaluation | None:
    """Of `tokens` tokens of the held-out text `ids`, in windows of `size`, each after the begin token, which is context
    and never scored. `bytes_to(place)`: bytes of text that `ids[:place]` stand for. None when stopped. Raises
    `WorkerFailure` where the text is too short, and what `losses` raises."""
    needed = tokens_needed(tokens, size)
    if len(ids) < needed:
        raise WorkerFailure(
            "order",
            f"The held-out text has {len(ids):,} tokens; {tokens:,} to score need {needed:,}.",
            f"Ask for at most {len(ids) - needed + tokens:,} perplexity tokens.",
        )
    found: list[float] = []
    for window in windows(tokens, size):
        # the last of a window's tokens is a target only: one more fits in front
        start = window.start + max(0, len(begin.ids) - 1)
        scored = losses([*begin.ids, *ids[start : window.end]], window.end - window.counted)
        if scored is None:
            return None
        found += scored
    return _record(found, needed - tokens, bytes_to, text.text_name(), text.text_hash(), size, begin)


def evaluate_documents(
    documents: Sequence[Document],
    tokens: int,
    losses: Losses,
    bytes_to: Callable[[Sequence[int], int], int],
    *,
    name: str,
    hash: str,
    begin: Begin,
) -> Evaluation | None:
    """Of the first of `documents` that have `tokens` tokens to score, or of all, each alone; what a document does not
    count is context. `bytes_to(ids, place)`: bytes of text that `ids[:place]` stand for. None when stopped, and where
    there are no documents. Raises what `losses` raises."""
    found, ids, longest = list[float](), list[int](), 0
    for one in documents:
        if len(found) >= tokens:
            break
        first = one.loss_mask.index(1)
        scored = losses(list(one.ids), len(one.ids) - first)
        if scored is None:
            return None
        counts = one.loss_mask[first:]
        found += [loss for loss, counted in zip(scored, counts, strict=True) if counted]
        ids += [id for id, counted in zip(one.ids[first:], counts, strict=True) if counted]
        longest = max(longest, len(one.ids))
    if not found:
        return None
    return _record(found, 0, lambda place: bytes_to(ids, place), name, hash, longest, begin)


def _record(
    found: Sequence[float],
    first: int,
    bytes_to: Callable[[int], int],
    name: str,
    hash: str,
    context_tokens: int,
    begin: Begin,
) -> Evaluation:
    """`found`: the loss of each scored token, the first at place `first` of what `bytes_to` measures."""
    tokens = len(found)
    length = part_tokens(tokens)
    places = [bytes_to(place) for place in (*range(first, first + tokens, length), first + tokens)]
    return Evaluation(
        nll_sum=math.fsum(found),
        tokens=tokens,
        text_bytes=places[-1] - places[0],
        data_name=name,
        data_hash=hash,
        context_tokens=context_tokens,
        begin=begin.told,
        first_byte=places[0],
        part_tokens=length,
        part_nll=tuple(math.fsum(found[part : part + length]) for part in range(0, tokens, length)),
        part_bytes=tuple(end - start for start, end in pairwise(places)),
    )


def part_tokens(tokens: int) -> int:
    """Length of a part of so long a text."""
    length = _PART_TOKENS
    while tokens > length * _PARTS:
        length *= 2
    return length
