"""How likely a model finds a text: log probabilities of its tokens. Worker process; outside every timed phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.data.held_out import Losses
from engines.llama.batches import Tokens
from engines.llama.context import Context
from engines.llama.info import PIECE_TOKENS
from engines.llama.library import Library
from engines.worker.stop import Stop

_ROWS = 64
"""Rows of logits turned into float64 at a time, to bound memory."""


@dataclass(frozen=True)
class Scores:
    """Of the scored tokens, in order: natural log probabilities (float64), and whether each was the likeliest."""

    log_probabilities: np.ndarray[Any, np.dtype[np.float64]]
    likeliest: np.ndarray[Any, np.dtype[np.bool_]]


def score(
    library: Library, context: Context, ids: Sequence[int], first: int, stop: Stop, kept: int = 0
) -> Scores | None:
    """Log probabilities of `ids[first:]`, each given all of `ids` before it; `first` is 1 or more. The cache holds
    `ids[:kept]` and nothing else, `kept` under `first`; 0 empties it first. None when stopped. Raises
    `WorkerFailure`."""
    inputs = np.asarray(ids[:-1], np.int32)
    targets = np.asarray(ids, np.int64)
    rows = Tokens(library.api.llama_batch, len(inputs))
    rows.token[:] = inputs
    rows.position[:] = np.arange(len(inputs))
    rows.wanted[first - 1 :] = 1
    if not kept:
        context.clear()
    found: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    best: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
    piece = min(PIECE_TOKENS, context.batch_tokens)
    for start in range(kept, len(inputs), piece):
        if stop.requested:
            return None
        end = min(start + piece, len(inputs))
        context.decode(rows.batch(start, end - start))
        scored = max(start, first - 1)
        if scored < end:
            logits = context.rows(end - scored)
            for row in range(0, len(logits), _ROWS):
                aimed = targets[scored + row + 1 : scored + row + 1 + len(logits[row : row + _ROWS])]
                found.append(log_probabilities(logits[row : row + _ROWS], aimed))
                best.append(logits[row : row + _ROWS].argmax(1) == aimed)
    return Scores(np.concatenate(found), np.concatenate(best))


def log_probabilities(
    logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """ln softmax(logits)[target] of each row, in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(1, keepdims=True)
    return wide[np.arange(len(targets)), targets] - np.log(np.exp(wide).sum(1))


def window_losses(library: Library, context: Context, stop: Stop) -> Losses:
    """Loss of a window of held-out text (`engines.data.held_out`)."""

    def losses(ids: Sequence[int], scored: int) -> list[float] | None:
        scores = score(library, context, ids, len(ids) - scored, stop)
        return None if scores is None else (-scores.log_probabilities).tolist()

    return losses
