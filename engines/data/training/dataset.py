"""Training data from a workload: read, split, tokenised, and what happened to them. Worker process; no torch."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from engines.data.training import built_in, docstrings
from engines.data.training.columns import Columns, Example, columns_of, example_of
from engines.data.training.documents import Document, pieces
from engines.data.training.files import Bad, Raw, read_rows
from engines.data.training.masks import Counts, Encoder, Tokenizer
from engines.data.training.sources import Source, find, fingerprint
from engines.data.training.splits import SPLITS, Split, key_of, named_split, split
from engines.models.identity import Digests
from engines.protocol.places import places
from engines.protocol.text_file import FileError
from engines.protocol.work import Training

SAMPLE_ROWS = 100
"""That columns are guessed from."""
_NAMED = 5
"""Bad rows that a record names."""
_SPLIT_COLUMN = "split"


@dataclass(frozen=True)
class Table:
    """The usable rows of some data, and the others."""

    name: str
    hash: str
    columns: Columns
    names: tuple[str, ...]
    """All columns."""
    examples: tuple[Example, ...]
    places: tuple[str, ...]
    own_splits: tuple[Split | None, ...]
    bad: tuple[Bad, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Documents by split, and what there is to say of them."""

    table: Table
    documents: dict[Split, list[Document]]
    hashes: dict[Split, str]
    """Of what each split holds, however it is stored."""
    template: str
    counts: Counts
    copies: int = 0
    """Rows for training left out because a held-out split has them too."""
    without_template: bool = False
    """A chat template was asked for, and the tokenizer has none."""
    rows: Counter[Split] = field(default_factory=Counter)
    used: Counter[Split] = field(default_factory=Counter)
    """Rows of each split that were tokenised."""

    @property
    def train(self) -> Sequence[Document]:
        return self.documents["train"]

    @property
    def validation(self) -> Sequence[Document]:
        return self.documents["validation"]

    @property
    def test(self) -> Sequence[Document]:
        return self.documents["test"]

    def facts(self) -> dict[str, str]:
        """For the trial's environment."""
        table, counts = self.table, self.counts
        left_out = Counter({str(bad.reason): 0 for bad in table.bad})
        left_out.update(bad.reason for bad in table.bad)
        left_out.update(counts.left_out)
        if self.copies:
            left_out["also in a held-out split"] = self.copies
        tokens = sum(len(one.ids) for one in self.train)
        facts = {
            "data": table.name,
            "data_hash": table.hash,
            "columns": table.columns.said,
            "rows": str(len(table.examples) + len(table.bad)),
            "rows_left_out": str(left_out.total()),
            "rows_tokenised": str(self.used.total()),
            "rows_unfit": str(counts.left_out.total()),
            "rows_truncated": str(counts.truncated),
            "split_rows": ", ".join(f"{name} {self.rows[name]}" for name in SPLITS),
            "split_rows_used": ", ".join(f"{name} {self.used[name]}" for name in SPLITS),
            "tokens": str(tokens),
            "loss_tokens": str(sum(one.loss_tokens for one in self.train)),
            "template": self.template + (" (the tokenizer has no chat template)" if self.without_template else ""),
        }
        if left_out:
            facts["rows_left_out_because"] = "; ".join(f"{count} {why}" for why, count in left_out.most_common(_NAMED))
        if table.bad:
            facts["bad_rows"] = "; ".join(map(str, table.bad[:_NAMED])) + (" …" if len(table.bad) > _NAMED else "")
        if counts.cut:
            facts["texts_cut"] = str(counts.cut)
        if counts.joined:
            facts["rows_tokenised_apart"] = str(counts.joined)
        return {f"training.{name}": value for name, value in facts.items() if value}


def read(workload: Training, tokenizer: Tokenizer, seed: str = "0", base: Path = Path()) -> Dataset:
    """As many rows as the workload can use are tokenised: for training by lot with `seed`, of held-out splits in an
    order by contents, which is the same for every seed. Raises `FileError` where the data cannot be used, or are not
    those that were planned."""
    if workload.data == built_in.BUILT_IN:
        return _built_in(workload, tokenizer)
    table = read_table(workload, base)
    keys = [key_of(example) for example in table.examples]
    splits = splits_of(table, workload)
    places: dict[Split, list[int]] = {
        name: sorted((n for n, its in enumerate(splits) if its == name), key=keys.__getitem__) for name in SPLITS
    }
    random.Random(f"rows {seed}").shuffle(places["train"])
    encoder = Encoder(tokenizer, workload)
    enough: dict[Split, Callable[[Document], float]] = {
        "train": _share_of_training(workload),
        "validation": lambda one: one.loss_tokens / max(1, workload.evaluation_tokens),
        "test": lambda one: one.loss_tokens / max(1, workload.evaluation_tokens),
    }
    documents, used = dict[Split, list[Document]](), Counter[Split]()
    for name in SPLITS:
        documents[name], used[name] = _documents(encoder, [table.examples[n] for n in places[name]], enough[name])
    if not documents["train"]:
        raise FileError(
            f"No row of {table.name} is left to train on: {_most_frequent(encoder.counts.left_out)}.",
            "Raise sequence_tokens, or choose other columns or another template.",
        )
    how = f"{encoder.template} {workload.loss_on} {workload.sequence_tokens}"
    return Dataset(
        table,
        documents,
        {name: _hash(how, [keys[place] for place in places[name]]) for name in SPLITS},
        encoder.template,
        encoder.counts,
        copies=splits.count(None),
        without_template=workload.template == "chat" and not tokenizer.has_template,
        rows=Counter({name: len(places[name]) for name in SPLITS}),
        used=used,
    )


def _share_of_training(workload: Training) -> Callable[[Document], float]:
    """How much of what training can use at the most a document is."""
    rows = (workload.warmup_steps + workload.steps) * workload.accumulation * workload.batch_size
    tokens = rows * workload.sequence_tokens
    return (lambda one: len(one.ids) / tokens) if workload.packing else (lambda _one: 1 / rows)


def _documents(
    encoder: Encoder, examples: Sequence[Example], share: Callable[[Document], float]
) -> tuple[list[Document], int]:
    """Documents of the first examples whose shares add up to 1, or of all; and how many examples that took."""
    found, taken, used = list[Document](), 0.0, 0
    for made in encoder.documents(examples):
        found += made
        taken += sum(map(share, made))
        used += 1
        if taken >= 1:
            break
    return found, used


def splits_of(table: Table, workload: Training) -> list[Split | None]:
    """Of each usable row its split; None for a copy of a held-out row."""
    keys = [key_of(example) for example in table.examples]
    return split(keys, table.own_splits, workload.split_seed, workload.validation_share, workload.test_share)


def read_table(workload: Training, base: Path = Path()) -> Table:
    """The rows of the workload's data. Raises `FileError`."""
    if workload.data == built_in.BUILT_IN:
        text, name, hash = built_in.training_part(), built_in.training_name(), built_in.training_hash()
        return Table(name, hash, Columns(text="text"), ("text",), (Example(text=text),), ("text",), ("train",))
    if workload.data == docstrings.DOCSTRINGS:
        found = tuple(Example((("user", ask), ("assistant", said))) for ask, said in docstrings.pairs())
        numbers = tuple(f"function {number}" for number in range(1, len(found) + 1))
        columns = Columns("function", "docstring")
        name, hash = docstrings.pairs_name(), docstrings.pairs_hash()
        return Table(name, hash, columns, ("function", "docstring"), found, numbers, (None,) * len(found))
    source = find(workload.data, base)
    return table_of(source, as_planned(source, workload.data_hash), workload)


def as_planned(source: Source, planned: str) -> str:
    """The fingerprint of data that are still those that were planned ("" where nobody planned). Raises `FileError`."""
    hash = fingerprint_of(source)
    if planned and hash != planned:
        raise FileError(
            f"{source.title} is not the data that was planned: it has changed since.",
            "Nothing was trained with other data than the experiment's. Plan the experiment again.",
        )
    return hash


def fingerprint_of(source: Source) -> str:
    """ "sha256:…" of its files; those of large ones are remembered. Raises `FileError`."""
    return fingerprint(source, Digests(places().digests))


def table_of(source: Source, hash: str, workload: Training) -> Table:
    """All rows, with the columns that the workload names or that are guessed. Raises `FileError`."""
    rows = list(rows_of(source))
    columns = columns_of(workload, sample_of(source, rows))
    all_names = tuple(
        dict.fromkeys(name for _, row in rows[:SAMPLE_ROWS] if isinstance(row, Raw) for name in row.fields)
    )
    examples, places_of, own, bad = list[Example](), list[str](), list[Split | None](), list[Bad]()
    for file_split, row in rows:
        example = row.reason if isinstance(row, Bad) else example_of(row.fields, columns)
        if isinstance(example, str):
            bad.append(Bad(row.place, example))
        else:
            assert isinstance(row, Raw)
            examples.append(example)
            places_of.append(row.place)
            own.append(file_split or named_split(str(row.fields.get(_SPLIT_COLUMN, ""))))
    if not examples:
        raise FileError(f"No row of {source.title} can be used: {bad[0]}.", f"The columns used are {columns.said}.")
    return Table(source.title, hash, columns, all_names, tuple(examples), tuple(places_of), tuple(own), tuple(bad))


def sample_of(source: Source, rows: Sequence[tuple[Split | None, Raw | Bad]]) -> list[dict[str, object]]:
    """Rows to guess columns from. Raises `FileError` where there is none."""
    sample = list(islice((row.fields for _, row in rows if isinstance(row, Raw)), SAMPLE_ROWS))
    if not sample:
        bad = next((row for _, row in rows if isinstance(row, Bad)), None)
        why = f"holds no row that can be read: {bad}" if bad is not None else "holds no rows"
        raise FileError(f"{source.title} {why}.", "Write at least one row under the names of the columns.")
    return sample


def first_rows(source: Source) -> list[tuple[Split | None, Raw | Bad]]:
    """Enough to guess columns from. Raises `FileError`."""
    return list(islice(rows_of(source), SAMPLE_ROWS))


def rows_of(source: Source) -> Iterator[tuple[Split | None, Raw | Bad]]:
    several = len(source.files) > 1
    for file, named in source.files:
        for row in read_rows(file):
            if several:
                place = f"{file.relative_to(source.folder)}, {row.place}"
                row = Raw(place, row.fields) if isinstance(row, Raw) else Bad(place, row.reason)
            yield named, row


def _built_in(workload: Training, tokenizer: Tokenizer) -> Dataset:
    """The built-in text, of which only whole sequences are used."""
    table = read_table(workload)
    [ids] = tokenizer.encode([table.examples[0].text])
    found = pieces(ids, workload.sequence_tokens, tokenizer.begin.ids, whole_only=True)
    documents: dict[Split, list[Document]] = {"train": found, "validation": [], "test": []}
    if not found:
        raise FileError(
            f"The built-in text has {len(ids):,} tokens, less than a sequence of {workload.sequence_tokens:,}.",
            "Lower sequence_tokens.",
        )
    one: Counter[Split] = Counter()
    one["train"] = 1
    return Dataset(table, documents, dict.fromkeys(SPLITS, ""), "plain", Counts(), rows=one, used=one)


def _hash(how: str, keys: Sequence[bytes]) -> str:
    return "sha256:" + hashlib.sha256(how.encode() + b"".join(sorted(keys))).hexdigest()


def _most_frequent(reasons: Counter[str]) -> str:
    return reasons.most_common(1)[0][0] if reasons else "all are in the held-out splits"
