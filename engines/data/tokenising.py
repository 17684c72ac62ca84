"""How text becomes the tokens that a reader works on: the same for every engine, so that their figures compare.

Before every prompt and context comes what the model's tokenizer puts there (`engines.data.begin`), once where a
chat template has written it already, and it stays where a beginning is cut off. An empty context is that token alone;
where the tokenizer adds none, the model's begin-of-sequence token (its end-of-sequence token where it has none). Pure;
worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engines.data.begin import Begin

Encode = Callable[[str], list[int]]


def encode_pair(encode: Encode, context: str, continuation: str, begin: Begin) -> tuple[list[int], list[int]]:
    """Ids of context and continuation as they are written together: spaces at the context's end belong to the
    continuation, as tokenizers make one token of a space and a word."""
    bare = context.rstrip()
    continuation = context[len(bare) :] + continuation
    if not bare:
        return list(begin.ids) or [begin.empty], encode(continuation)
    before = encode(bare)
    return begin.before(before), encode(bare + continuation)[len(before) :]


def fit_pair(context: Sequence[int], continuation: Sequence[int], context_tokens: int, begin: Begin) -> list[int]:
    """What the model is given to score every token of the continuation: the last token is a target only, and of what
    does not fit the beginning is left out, but for the begin token. Raises `ValueError` where the continuation alone
    does not fit."""
    if not continuation or len(continuation) > context_tokens:
        raise ValueError(f"{len(continuation):,} tokens cannot be scored with a context of {context_tokens:,}")
    return _kept([*context, *continuation[:-1]], context_tokens, begin, len(continuation) - 1)


@dataclass(frozen=True)
class Asked:
    """A continuation to be scored: the model is given `given`, whose last `len(targets)` places predict `targets`."""

    given: list[int]
    targets: list[int]

    @property
    def prompt(self) -> list[int]:
        """What precedes the first target: the same for all answers to one question."""
        return self.given[: self.first + 1]

    @property
    def first(self) -> int:
        """The place in `given` that predicts the first target."""
        return len(self.given) - len(self.targets)


def asked(encode: Encode, context: str, continuation: str, begin: Begin, context_tokens: int) -> Asked:
    """A pair of texts as a model is asked for it; no targets where the continuation is empty. Raises `ValueError`
    where the continuation does not fit."""
    before, targets = encode_pair(encode, context, continuation, begin)
    return Asked(fit_pair(before, targets, context_tokens, begin) if targets else [], targets)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two lists begin with alike."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def fit_prompt(prompt: Sequence[int], new_tokens: int, context_tokens: int, begin: Begin) -> list[int]:
    """The begin token and the last ids of a prompt that leave room for `new_tokens`. Raises `ValueError` where there is
    no room at all."""
    room = context_tokens - new_tokens
    if room < 1:
        raise ValueError(f"{new_tokens:,} new tokens leave no room for a prompt in a context of {context_tokens:,}")
    return _kept(begin.before(prompt), room, begin, 1) or [begin.empty]


def _kept(ids: list[int], room: int, begin: Begin, last: int) -> list[int]:
    """The last ids that fit into `room`; the begin token in place of the first of them where `last` ids are left."""
    kept = ids[-room:]
    return [*begin.ids, *kept[len(begin.ids) :]] if len(ids) > room >= len(begin.ids) + last else kept


def cut_at(text: str, until: Sequence[str]) -> str | None:
    """The text before the first of `until` in it; None where it holds none of them."""
    places = [place for stop in until if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None
