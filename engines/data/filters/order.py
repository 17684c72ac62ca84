"""The order of documents, and which of them are worth their tokens: a curriculum, and a proxy model's losses. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

from engines.data.filters.chain import Rule
from engines.data.filters.rules import compression_ratio

Measure = Literal["length", "compression"]
Wanted = Literal["hard", "easy", "middle"]


def curriculum(by: Measure, *, hard_first: bool = False) -> Rule:
    """From easy to hard: from short to long, or from what compresses far to what does not. Nothing is removed; equal
    ones stay in their order."""

    def difficulty(document: str) -> float:
        return float(len(document)) if by == "length" else -compression_ratio(document)

    def rule(documents: Sequence[str]) -> Sequence[int]:
        return sorted(range(len(documents)), key=lambda n: difficulty(documents[n]) * (-1 if hard_first else 1))

    return rule


def by_loss(losses: Sequence[float], share: float, wanted: Wanted = "middle") -> Rule:
    """The `share` of the documents that a small proxy model finds hardest, easiest, or between: `losses` are its mean
    losses a token, in the documents' order. "middle" leaves out what it knows by heart and what is noise to it.
    Raises `ValueError` for losses of other documents, or none that are finite."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share:g}: above 0, up to 1")

    def rule(documents: Sequence[str]) -> Sequence[int]:
        if len(losses) != len(documents):
            raise ValueError(f"{len(losses)} losses of {len(documents)} documents")
        ordered = sorted((n for n in range(len(documents)) if math.isfinite(losses[n])), key=lambda n: losses[n])
        count = min(len(ordered), math.ceil(share * len(documents)))
        begin = {"easy": 0, "hard": len(ordered) - count, "middle": (len(ordered) - count) // 2}[wanted]
        return sorted(ordered[begin : begin + count])

    return rule


def sampled(losses: Sequence[float], share: float, temperature: float, seed: int) -> Rule:
    """A `share` of the documents drawn without replacement, with chances in proportion to exp(loss / temperature):
    importance sampling by a proxy model's losses (Efraimidis and Spirakis 2006). Those without a finite loss are left
    out. Raises `ValueError`."""
    if not 0 < share <= 1 or temperature <= 0:
        raise ValueError(f"a share of {share:g} at a temperature of {temperature:g}")

    def rule(documents: Sequence[str]) -> Sequence[int]:
        if len(losses) != len(documents):
            raise ValueError(f"{len(losses)} losses of {len(documents)} documents")
        source = random.Random(f"sampled {seed}")
        keys = {
            n: loss / temperature - math.log(-math.log(source.random() or 5e-324))  # Gumbel: the largest are the draw
            for n, loss in enumerate(losses)
            if math.isfinite(loss)
        }
        count = min(len(keys), math.ceil(share * len(documents)))
        return sorted(sorted(keys, key=keys.__getitem__, reverse=True)[:count])

    return rule
