"""Rows of training data as the model sees them: tokens, and which of them the loss counts. Any process with a
tokenizer; prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engines.data.training.dataset import read_table, splits_of
from engines.data.training.documents import Document
from engines.data.training.masks import Encoder, Tokenizer
from engines.data.training.splits import SPLITS
from engines.protocol.settings import settings_of
from engines.protocol.work import Training

OPTIONS = tuple(s.name for s in settings_of(Training) if s.group == "Data" or s.name == "sequence_tokens")
"""Settings of the workload that decide what rows look like."""
_BAD = 100
"""Bad rows that are named."""
_DOCUMENTS = 4
"""Of one row that are shown."""
_CHARACTERS = 20_000
"""Of a text that are shown."""


class ShownDocument(msgspec.Struct, frozen=True):
    """A document: `tokens` are the texts of `ids`; `counts` says of each whether the loss counts its prediction."""

    ids: list[int]
    tokens: list[str]
    counts: list[bool]
    trained: int
    masked: int


class ShownRow(msgspec.Struct, frozen=True, kw_only=True):
    place: str
    """ "line 3"."""
    split: str
    """ "train", "validation", "test"; "" for a copy of a held-out row."""
    turns: tuple[tuple[str, str], ...] = ()
    """(role, text) as they are in the data."""
    text: str = ""
    documents: tuple[ShownDocument, ...] = ()
    """One; of a long text the first four."""
    more_documents: int = 0
    truncated: bool = False
    left_out: str = ""
    """Why there are no documents."""


class BadRow(msgspec.Struct, frozen=True):
    place: str
    reason: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What `python -m engines data-preview` prints."""

    name: str
    hash: str
    columns: dict[str, str]
    """By kind (prompt, response, messages, text); "" for those that are not used."""
    names: tuple[str, ...]
    """All columns of the data."""
    rows: int
    bad: int
    bad_rows: tuple[BadRow, ...]
    """The first 100."""
    splits: dict[str, int]
    """Usable rows of each."""
    template: str = ""
    """ "chat" or "plain"; "" without a tokenizer."""
    has_template: bool = False
    first: int = 0
    """Place of the first of `shown` among the usable rows, from 0."""
    shown: tuple[ShownRow, ...] = ()


def preview(
    workload: Training,
    rows: range,
    tokenizer: Tokenizer | None,
    show: Callable[[Sequence[int]], list[str]],
    base: Path = Path(),
) -> Preview:
    """Some of the usable rows. `show`: the text of each token. Raises `FileError`."""
    table = read_table(workload, base)
    splits = splits_of(table, workload)
    encoder = Encoder(tokenizer, workload) if tokenizer is not None else None
    shown = []
    for place in range(len(table.examples))[rows.start : rows.stop]:
        example, split = table.examples[place], splits[place] or ""
        made, found = list[Document](), list[ShownDocument]()
        why, truncated = "", False
        if tokenizer is not None:
            alone = Encoder(tokenizer, workload)
            made = next(alone.documents([example]))
            found = [_shown(one, show) for one in made[:_DOCUMENTS]]
            why, truncated = "; ".join(alone.counts.left_out), alone.counts.truncated > 0
        shown.append(
            ShownRow(
                place=table.places[place],
                split=split,
                turns=example.turns,
                text=example.text[:_CHARACTERS],
                documents=tuple(found),
                more_documents=len(made) - len(found),
                truncated=truncated,
                left_out=why,
            )
        )
    return Preview(
        name=table.name,
        hash=table.hash,
        columns=dict(vars(table.columns)),
        names=table.names,
        rows=len(table.examples) + len(table.bad),
        bad=len(table.bad),
        bad_rows=tuple(BadRow(bad.place, bad.reason) for bad in table.bad[:_BAD]),
        splits={name: splits.count(name) for name in SPLITS},
        template=encoder.template if encoder is not None else "",
        has_template=tokenizer is not None and tokenizer.has_template,
        first=rows.start,
        shown=tuple(shown),
    )


def _shown(one: Document, show: Callable[[Sequence[int]], list[str]]) -> ShownDocument:
    ids = list(one.ids)
    counts = [bool(n) for n in one.loss_mask]
    return ShownDocument(ids, show(ids), counts, sum(counts), len(ids) - sum(counts))
