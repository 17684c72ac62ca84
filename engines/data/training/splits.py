"""Which rows are for training, for validation and for the test. Pure.

By each row's contents and the seed, not by its place: rows that say the same are never in two splits, and the split
stays when a file is sorted another way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from engines.data.training.columns import Example

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_WORDS: dict[str, Split] = {"train": "train", "training": "train", "validation": "validation", "valid": "validation"}
_WORDS |= {"val": "validation", "dev": "validation", "test": "test", "testing": "test"}


def named_split(word: str) -> Split | None:
    """The split that a word of a file's name, or a value of a column `split`, stands for."""
    return _WORDS.get(word.strip().lower())


def key_of(example: Example) -> bytes:
    """The same for rows that say the same."""
    return hashlib.sha256(msgspec.json.encode((example.turns, example.text))).digest()


def split(
    keys: Sequence[bytes], own: Sequence[Split | None], seed: int, validation_share: float, test_share: float
) -> list[Split | None]:
    """Of each row its split; None for a row that also is in a split that training must not see. `own`: the splits that
    the data name themselves; where none is for validation (test), the share is taken of the rows for training. A share
    above 0 takes at least one row, and one is always left for training."""
    kept: dict[bytes, Split] = {}
    for key, named in sorted(zip(keys, own, strict=True), key=lambda one: one[1] != "test"):  # the test's come first
        if named in ("test", "validation"):
            kept.setdefault(key, named)
    held_out = dict(kept)
    free = {key for key, named in zip(keys, own, strict=True) if named in (None, "train") and key not in kept}
    drawn = sorted(free, key=lambda key: hashlib.sha256(f"{seed}".encode() + key).digest())
    left = max(0, len(drawn) - 1)
    taken = 0
    shares: tuple[tuple[Split, float], ...] = (("test", test_share), ("validation", validation_share))
    for wanted, share in shares:
        if wanted not in own and share > 0:
            count = min(left, max(1, round(share * len(drawn))))
            kept |= dict.fromkeys(drawn[taken : taken + count], wanted)
            taken, left = taken + count, left - count
    return [
        None if named is not None and held_out.get(key, named) != named else kept.get(key, "train")
        for key, named in zip(keys, own, strict=True)
    ]
