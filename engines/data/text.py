"""Text that every machine has, and prompts cut from it. No torch; worker process.

The text is Python's own help on its language (`pydoc_data.topics`, PSF licence): it differs by Python version, so its
hash goes into every result.
"""

from __future__ import annotations

import hashlib
import platform
import random
from collections.abc import Callable, Sequence
from functools import cache

TokenIds = list[int]

RANDOM_TOKENS = 1 << 17
"""Length of the stand-in for a text where there is no tokenizer."""


@cache
def held_out_text() -> str:
    """The help topics, in order of their names."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics))


def text_name() -> str:
    """ "Python 3.11 language help (pydoc_data.topics)"."""
    major, minor, _ = platform.python_version_tuple()
    return f"Python {major}.{minor} language help (pydoc_data.topics)"


def text_hash() -> str:
    return "sha256:" + hashlib.sha256(held_out_text().encode()).hexdigest()


class Prompts:
    """Prompts of an exact length, no two alike, the same for every configuration with the same token ids and seed."""

    def __init__(self, tokens: Sequence[int], length: int, seed: int) -> None:
        """`tokens` are the text's ids; they are repeated where the text is shorter than a prompt."""
        if length < 1 or not tokens:
            raise ValueError("a prompt has at least one token, and comes from a text that has some")
        repeats = 1 + length // len(tokens)
        self._tokens = tuple(tokens) * repeats
        self._length = length
        self._random = random.Random(f"prompts {seed}")
        self._made: set[tuple[int, ...]] = set()

    def next_batch(self, size: int) -> list[TokenIds]:
        """`size` new prompts of `length` ids each. Raises `ValueError` when the text has no more different ones."""
        return [list(self._next()) for _ in range(size)]

    def _next(self) -> tuple[int, ...]:
        starts = len(self._tokens) - self._length + 1
        for _ in range(1000):
            start = self._random.randrange(starts)
            window = self._tokens[start : start + self._length]
            if window not in self._made:
                self._made.add(window)
                return window
        raise ValueError(f"the text has no more different prompts of {self._length} tokens")


def random_text(vocabulary: int, prompt_tokens: int, seed: int) -> TokenIds:
    """In place of a text, for a model without a tokenizer: the same in every engine, and as long as the real one, so
    that prompts do not run out where a GPU takes thousands."""
    return random_tokens(vocabulary, max(RANDOM_TOKENS, 4 * prompt_tokens), seed)


def random_tokens(vocabulary: int, count: int, seed: int) -> TokenIds:
    """Token ids, uniform over the vocabulary."""
    source = random.Random(f"tokens {seed}")
    return [source.randrange(vocabulary) for _ in range(count)]


def text_tokens(encode: Callable[[str], Sequence[int]]) -> list[int]:
    """Ids of the whole text."""
    return list(encode(held_out_text()))
