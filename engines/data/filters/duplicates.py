"""Copies of documents: exact ones by hash, near ones by MinHash (datasketch), checked word by word. Pure.

Of a group of copies the first stays. Candidates for near copies come from locality-sensitive hashing, set to propose
too many; each is checked by the true Jaccard similarity of its runs of words, so that nothing is removed that is less
alike than asked. What hashing misses stays: it is most likely close to the limit.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence

from engines.data.filters.chain import Rule

PACKAGE = "datasketch"
_SHINGLE = 5
"""Words in a row that are compared."""
_PERMUTATIONS = 128


def missing() -> str:
    """What near copies need and is not installed; "" where it is."""
    return "" if importlib.util.find_spec(PACKAGE) is not None else PACKAGE


def exact() -> Rule:
    """White space does not count."""

    def rule(documents: Sequence[str]) -> Sequence[int]:
        first: dict[bytes, int] = {}
        for place, document in enumerate(documents):
            first.setdefault(hashlib.sha256(" ".join(document.split()).encode()).digest(), place)
        return sorted(first.values())

    return rule


def shingles(document: str) -> frozenset[str]:
    """Every run of words in lower case; of a shorter document all of it."""
    words = document.lower().split()
    return frozenset(" ".join(words[start : start + _SHINGLE]) for start in range(max(1, len(words) - _SHINGLE + 1)))


def similarity(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard: shared over all."""
    return len(one & other) / len(one | other) if one or other else 1.0


def near(threshold: float = 0.8) -> Rule:
    """Leaves out what is at least `threshold` alike to a document that stays. Raises ImportError without datasketch."""

    def rule(documents: Sequence[str]) -> Sequence[int]:
        from datasketch import MinHash, MinHashLSH

        # a pair that is proposed for nothing costs a comparison, one that is missed stays: few of the latter
        index = MinHashLSH(threshold=max(0.1, threshold - 0.1), num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
        kept: dict[int, frozenset[str]] = {}
        for place, document in enumerate(documents):
            own = shingles(document)
            sketch = MinHash(num_perm=_PERMUTATIONS, seed=1)
            sketch.update_batch([s.encode() for s in sorted(own)])
            if any(similarity(own, kept[other]) >= threshold for other in index.query(sketch)):
                continue
            index.insert(place, sketch)
            kept[place] = own
        return list(kept)

    return rule
