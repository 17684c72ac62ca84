"""Rows of tokens for the tests of the training loop."""

from __future__ import annotations

import random

from engines.data.training.documents import Row, document, joined


def packed(*documents: list[int], prompt: int = 0) -> Row:
    """Documents one after the other; the first `prompt` tokens of each do not count."""
    return joined([document(ids, bytes(place >= prompt for place in range(len(ids)))) for ids in documents])


def random_documents(lengths: list[int], seed: int = 0, vocabulary: int = 96) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(vocabulary) for _ in range(length)] for length in lengths]
