"""The begin token: what a model's tokenizer puts before every text by its own rule, the same for every engine. Pure.

Without it a model that was trained with one is another model: Gemma 3 270M has perplexity 20 with it and 53 without.
A token that a tokenizer puts after a text is never added: a text that is to be continued has not ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_PROBE = "a"


@dataclass(frozen=True)
class Begin:
    """`ids` come before every window, text and prompt; () where the tokenizer adds none. `text` is how they are
    written. `empty` is used for an empty context where there are none."""

    ids: tuple[int, ...] = ()
    text: str = ""
    empty: int = 0

    def before(self, ids: Sequence[int]) -> list[int]:
        """`ids` with the begin token, once: a chat template may have written it already."""
        there = not self.ids or tuple(ids[: len(self.ids)]) == self.ids
        return list(ids) if there else [*self.ids, *ids]

    @property
    def told(self) -> str:
        """For records: "<bos> (2)", "" for none."""
        return f"{self.text} ({', '.join(map(str, self.ids))})" if self.ids else ""


NONE = Begin()


def added_before(encode: Callable[[str], Sequence[int]], bare: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """Ids that `encode` puts before a text and `bare` does not."""
    whole, text = list(encode(_PROBE)), list(bare(_PROBE))
    places = range(len(whole) - len(text) + 1)
    return tuple(whole[: next((n for n in places if whole[n : n + len(text)] == text), 0)])
