"""The built-in text to train on, and the held-out text that judges it, which share no passage. No torch; worker.

Both are parts of Python's help on its language (`engines.data.text`). The held-out part is its beginning, which is also
what perplexity is measured on, so that "before" is the model's perplexity. The help repeats itself: a paragraph of the
rest that shares any 13 words in a row with the held-out part is left out of the training text (13: as in the overlap
analysis of GPT-3, Brown et al. 2020, arXiv 2005.14165, appendix C).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import cache

from engines.data import text

BUILT_IN = "built-in"
_HELD_OUT_SHARE = 8
"""The held-out part is about an eighth of the whole."""
_SHINGLE = 13


@cache
def held_out_part() -> str:
    """The beginning of the text, to the end of a paragraph."""
    whole = text.held_out_text()
    return whole[: whole.index("\n\n", len(whole) // _HELD_OUT_SHARE)]


@cache
def training_part() -> str:
    """The rest, without the paragraphs that the held-out part has too."""
    held_out = held_out_part()
    known = {shingle for paragraph in held_out.split("\n\n") for shingle in _shingles(paragraph)}
    rest = text.held_out_text()[len(held_out) :]
    kept = (p for p in rest.split("\n\n") if p.strip() and known.isdisjoint(_shingles(p)))
    return "\n\n".join(kept)


def _shingles(paragraph: str) -> Iterator[str]:
    """Every 13 words in a row; of a shorter paragraph all of it."""
    words = paragraph.split()
    for start in range(max(1, len(words) - _SHINGLE + 1)):
        yield " ".join(words[start : start + _SHINGLE])


def training_name() -> str:
    return f"{text.text_name()}, training part"


def training_hash() -> str:
    return "sha256:" + hashlib.sha256(training_part().encode()).hexdigest()


class Sequences:
    """Batches of sequences of one length, by number: the same for every method with the same seed. A text is cut into
    sequences once; every epoch takes each of them once, in an order of its own."""

    def __init__(self, ids: Sequence[int], length: int, batch_size: int, begin: Sequence[int], seed: str) -> None:
        """`length`: tokens of a sequence, `begin` in front of each included. Raises `ValueError` where the text has not
        one sequence or `begin` leaves no room."""
        taken = length - len(begin)
        if taken < 1:
            raise ValueError(f"a sequence of {length} tokens has no room after {len(begin)} begin tokens")
        self._sequences = [[*begin, *ids[at : at + taken]] for at in range(0, len(ids) - taken + 1, taken)]
        if not self._sequences:
            raise ValueError(f"the training text has {len(ids)} tokens; a sequence takes {taken}")
        self._batch_size, self._seed = batch_size, seed
        self._epoch, self._order = -1, list[int]()

    def __len__(self) -> int:
        return len(self._sequences)

    def batch(self, number: int) -> list[list[int]]:
        """Batch `number`, from 0."""
        first = number * self._batch_size
        return [self._sequence(place) for place in range(first, first + self._batch_size)]

    def _sequence(self, place: int) -> list[int]:
        epoch, within = divmod(place, len(self._sequences))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._sequences)))
            random.Random(f"training {self._seed} {epoch}").shuffle(self._order)
        return self._sequences[self._order[within]]
