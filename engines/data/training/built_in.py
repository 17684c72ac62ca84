"""The built-in text to train on, and the held-out text that judges it, which share no passage. No torch; worker.

Both are parts of Python's help on its language (`engines.data.text`). The held-out part is its beginning, which is also
what perplexity is measured on, so that "before" is the model's perplexity. The help repeats itself: a paragraph of the
rest that shares any 13 words in a row with the held-out part is left out of the training text (13: as in the overlap
analysis of GPT-3, Brown et al. 2020, arXiv 2005.14165, appendix C).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
