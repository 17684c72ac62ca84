"""What a model trains on: documents of tokens, and batches of rows made of them. Pure; worker process.

A document is a row of the data as the model sees it. Its first token is never predicted, so that documents that share
a row stay apart: positions begin again at 0, and what the loss counts never crosses a border.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from engines.data.training.packing import packed


@dataclass(frozen=True)
class Document:
    """Token ids, and of each whether its prediction counts (1) or not (0)."""

    ids: array[int]
    loss_mask: bytes

    @property
    def loss_tokens(self) -> int:
        return self.loss_mask.count(1)


def document(ids: Sequence[int], mask: bytes) -> Document:
    """With a first token that never counts: nothing predicts it."""
    return Document(array("i", ids), b"\0" + mask[1:])


@dataclass(frozen=True)
class Row:
    """One row of a batch: documents one after the other. Three sequences of the same length."""

    ids: list[int]
    loss_mask: bytes
    """1 where the prediction of this token counts, else 0."""
    positions: list[int]
    """From 0 in each document."""


class Batches:
    """Batches of rows, by number: the same for every method with the same documents and seed. Every epoch takes each
    row once, in an order of its own."""

    def __init__(
        self, documents: Sequence[Document], sequence_tokens: int, batch_size: int, seed: str, *, packing: bool = True
    ) -> None:
        """No document is longer than `sequence_tokens`. Raises `ValueError` where there is no document."""
        if not documents:
            raise ValueError("there is no document to train on")
        self._documents, self._batch_size, self._seed = documents, batch_size, seed
        whole = packed([len(one.ids) for one in documents], sequence_tokens) if packing else None
        self._rows = whole or [(place,) for place in range(len(documents))]
        self._epoch, self._order = -1, list[int]()

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self._rows)

    @property
    def shared(self) -> bool:
        """Whether any row holds several documents."""
        return any(len(row) > 1 for row in self._rows)

    @property
    def padding_share(self) -> float:
        """Of what the first epoch computes, in whole batches, each row filled up to the longest of its batch."""
        tokens = computed = 0
        for number in range(max(1, len(self._rows) // self._batch_size)):
            lengths = [sum(len(one.ids) for one in documents) for documents in self._batch(number)]
            computed += max(lengths) * len(lengths)
            tokens += sum(lengths)
        return 1 - tokens / computed

    def batch(self, number: int) -> list[Row]:
        """Batch `number`, from 0."""
        return [joined(documents) for documents in self._batch(number)]

    def _batch(self, number: int) -> list[list[Document]]:
        """The documents of each row."""
        first = number * self._batch_size
        return [self._row(place) for place in range(first, first + self._batch_size)]

    def _row(self, place: int) -> list[Document]:
        epoch, within = divmod(place, len(self._rows))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, list(range(len(self._rows)))
            random.Random(f"training {self._seed} {epoch}").shuffle(self._order)
        return [self._documents[one] for one in self._rows[self._order[within]]]


def joined(documents: Sequence[Document]) -> Row:
    """Documents one after the other."""
    return Row(
        [id for one in documents for id in one.ids],
        b"".join(one.loss_mask for one in documents),
        [position for one in documents for position in range(len(one.ids))],
    )


def pieces(ids: Sequence[int], length: int, begin: Sequence[int], *, whole_only: bool = False) -> list[Document]:
    """A long text as documents of at most `length` tokens, each after `begin`; all predictions count. A last piece of
    one token that follows nothing is left out, since there is nothing to predict; with `whole_only` any that is
    shorter. Raises `ValueError` where `begin` leaves no room."""
    taken = length - len(begin)
    if taken < 1:
        raise ValueError(f"a sequence of {length} tokens has no room after {len(begin)} begin tokens")
    parts = [[*begin, *ids[at : at + taken]] for at in range(0, len(ids), taken)]
    kept = [part for part in parts if len(part) > 1 and (len(part) == length or not whole_only)]
    return [document(part, b"\0" * len(begin) + b"\1" * (len(part) - len(begin))) for part in kept]
