"""Rules on a document alone: its length, how far it compresses, how much of it repeats. Pure.

Repetition as in Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1): the share of lines, and of characters in
repeated runs of words, that are copies of earlier ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from engines.data.filters.chain import Rule

LEVEL = 6
"""Of zlib; the ratio depends on it."""


def length(minimum: int = 0, maximum: int = 0) -> Rule:
    """Documents of `minimum` to `maximum` characters; a `maximum` of 0 sets none."""

    def rule(documents: Sequence[str]) -> Sequence[int]:
        return [n for n, d in enumerate(documents) if minimum <= len(d) and (not maximum or len(d) <= maximum)]

    return rule


def compression_ratio(document: str) -> float:
    """Bytes over compressed bytes. Prose has 2 to 3, repetition more; keys, hashes and noise about 1. Of a short
    document it is low whatever it says: the compressed form has a beginning and an end of its own."""
    raw = document.encode()
    return len(raw) / len(zlib.compress(raw, LEVEL)) if raw else 0.0


def compression(minimum: float = 0.0, maximum: float = 0.0) -> Rule:
    """Documents with a ratio of `minimum` to `maximum`; a `maximum` of 0 sets none."""

    def rule(documents: Sequence[str]) -> Sequence[int]:
        ratios = [compression_ratio(d) for d in documents]
        return [n for n, r in enumerate(ratios) if minimum <= r and (not maximum or r <= maximum)]

    return rule


def repeated_lines(document: str) -> float:
    """Share of the lines that are copies of earlier ones; empty lines do not count."""
    lines = [line.strip() for line in document.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def repeated_words(document: str, run: int = 10) -> float:
    """Share of the characters (of words) that lie in a run of `run` words that was there before."""
    words = document.split()
    seen: set[tuple[str, ...]] = set()
    copied = [False] * len(words)
    for start in range(len(words) - run + 1):
        shingle = tuple(words[start : start + run])
        if shingle in seen:
            copied[start : start + run] = [True] * run
        seen.add(shingle)
    total = sum(map(len, words))
    return sum(len(word) for word, copy in zip(words, copied, strict=True) if copy) / total if total else 0.0


def repetition(lines: float = 0.3, words: float = 0.1) -> Rule:
    """Documents whose shares of repeated lines and words are at most these: Gopher's limits."""

    def rule(documents: Sequence[str]) -> Sequence[int]:
        return [n for n, d in enumerate(documents) if repeated_lines(d) <= lines and repeated_words(d) <= words]

    return rule
