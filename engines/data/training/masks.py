"""Rows as tokens, and which of them the loss counts. Pure but for the tokenizer; worker process.

A conversation is written by the model's chat template, or plainly: each prompt on a line of its own, each response
after it and ended by the end token. Where only responses count, the tokens of what comes before each must be the first
tokens of the whole, because those are what the model is given when it answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Protocol

from engines.data.begin import Begin
from engines.data.training.columns import Example, Turn
from engines.data.training.documents import Document, document, pieces
from engines.protocol.work import Training

_AT_ONCE = 256
REWRITES = "the chat template writes a conversation's beginning differently when it continues"
REFUSES = "the chat template refuses it"
NO_ROOM = "the prompt leaves no room for the response"
ONE_TOKEN = "the text is a single token, so there is nothing to predict"


class TemplateRefusal(Exception):
    """A chat template does not take these turns."""


class Tokenizer(Protocol):
    """What tokens are made with."""

    @property
    def begin(self) -> Begin:
        """Comes before every document."""
        ...

    @property
    def end(self) -> str:
        """How the token that ends a text is written; "" for none."""
        ...

    @property
    def has_template(self) -> bool: ...

    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        """Ids of each text, tokens that are written out included, none added."""
        ...

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str:
        """Turns by the chat template; `ask`: with the beginning of an answer. Raises `TemplateRefusal`."""
        ...


@dataclass
class Counts:
    """What happened to rows on their way to tokens."""

    truncated: int = 0
    """Documents whose end was cut off."""
    cut: int = 0
    """Texts that became several documents."""
    joined: int = 0
    """Rows in which a prompt and its response would share a token: they are tokenised apart, as when answering."""
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Written:
    """A row as one string, and the stretches of it (characters) that the loss counts."""

    text: str
    counted: tuple[tuple[int, int], ...]


class Encoder:
    """Makes documents of examples, by a workload's template, loss and length."""

    def __init__(self, tokenizer: Tokenizer, workload: Training) -> None:
        self._tokenizer, self._length = tokenizer, workload.sequence_tokens
        self._everything = workload.loss_on == "everything"
        self.template: Literal["chat", "plain"] = workload.template if tokenizer.has_template else "plain"
        self.counts = Counts()

    def documents(self, examples: Sequence[Example]) -> Iterator[list[Document]]:
        """The documents of each example: of a text one or several, of one that is left out none."""
        for first in range(0, len(examples), _AT_ONCE):
            some = [self._written(example) for example in examples[first : first + _AT_ONCE]]
            texts = [text for one in some if isinstance(one, _Written) for text in _texts(one)]
            ids = iter(self._tokenizer.encode(texts))
            for example, written in zip(examples[first : first + _AT_ONCE], some, strict=True):
                if not isinstance(written, _Written):
                    self.counts.left_out[written] += 1
                    yield []
                    continue
                found = [next(ids) for _ in _texts(written)]
                yield self._pieces(found[0]) if example.text else self._document(written, found)

    def _written(self, example: Example) -> _Written | str:
        """Or why it is left out. Counted by whoever takes the row: more are written than are used."""
        if example.text:
            return _Written(example.text + self._tokenizer.end, ())
        try:
            written = self._chat(example.turns) if self.template == "chat" else self._plain(example.turns)
        except TemplateRefusal as refusal:
            return f"{REFUSES}: {refusal}"
        if written is not None and self._everything:
            return _Written(written.text, ((0, len(written.text)),))
        return written or REWRITES

    def _plain(self, turns: Sequence[Turn]) -> _Written:
        text, counted = "", []
        for role, words in turns:
            if role == "assistant":
                counted.append((len(text), len(text) + len(words) + len(self._tokenizer.end)))
                text += words + self._tokenizer.end
            else:
                text += words + "\n"
        return _Written(text, tuple(counted))

    def _chat(self, turns: Sequence[Turn]) -> _Written | None:
        """None where the template changes earlier turns when later ones come, so that no response can be found."""
        whole = self._tokenizer.chat(turns, ask=False)
        if self._everything:
            return _Written(whole, ())
        counted = []
        for place, (role, _words) in enumerate(turns):
            if role != "assistant":
                continue
            asked = self._tokenizer.chat(turns[:place], ask=True)
            said = whole if place == len(turns) - 1 else self._tokenizer.chat(turns[: place + 1], ask=False)
            if whole.startswith(said) and said.startswith(asked):
                counted.append((len(asked), len(said)))
        return _Written(whole, tuple(counted)) if counted else None

    def _pieces(self, ids: Sequence[int]) -> list[Document]:
        found = pieces(ids, self._length, self._tokenizer.begin.ids)
        self.counts.cut += len(found) > 1
        if not found:
            self.counts.left_out[ONE_TOKEN] += 1
        return found

    def _document(self, written: _Written, found: Sequence[Sequence[int]]) -> list[Document]:
        whole = found[0]
        places = [0, *map(len, found[1:]), len(whole)]
        if any(list(whole[: len(part)]) != list(part) for part in found[1:]):
            self.counts.joined += 1
            edges = [0, *_edges(written), len(written.text)]
            parts = self._tokenizer.encode([written.text[a:b] for a, b in pairwise(edges)])
            whole = [id for part in parts for id in part]
            places = [0]
            for part in parts:
                places.append(places[-1] + len(part))
        at = dict(zip((0, *_edges(written), len(written.text)), places, strict=True))
        mask = bytearray(len(whole))
        for start, end in written.counted:
            mask[at[start] : at[end]] = b"\1" * (at[end] - at[start])
        ids = self._tokenizer.begin.before(whole)
        mask = bytearray(len(ids) - len(whole)) + mask
        kept = document(ids[: self._length], bytes(mask[: self._length]))
        if not kept.loss_tokens:
            self.counts.left_out[NO_ROOM] += 1
            return []
        self.counts.truncated += len(ids) > self._length
        return [kept]


def _edges(written: _Written) -> list[int]:
    """Where counted stretches begin and end inside the text."""
    inside = {edge for stretch in written.counted for edge in stretch}
    return sorted(inside - {0, len(written.text)})


def _texts(written: _Written) -> list[str]:
    """What is tokenised of a row: all of it, and what comes before each edge."""
    return [written.text, *(written.text[:edge] for edge in _edges(written))]
