"""A text as tokens of its own vocabulary, made once and kept in the user's cache by what it is made of.

    corpora/KEY/  tokenizer.json  train.npy  validation.npy  test.npy  corpus.json

The vocabulary is made of the training split alone. Each split is one row of tokens: its documents in an order by their
contents, the end token after each. The folder appears in one rename. Imports `tokenizers` late; any process.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engines.data import bpe
from engines.data.filters.chain import Rule, filtered
from engines.data.text_corpus import Text
from engines.data.training.splits import SPLITS, Split
from engines.protocol.canonical import digest
from engines.protocol.private import private_folder
from engines.protocol.text_file import FileError
from engines.protocol.work import Pretraining

_SCHEME = 1
"""Of what is made here: raised when the same text would become other tokens."""
_TOKENIZER, _MANIFEST = "tokenizer.json", "corpus.json"
_AT_ONCE = 64
"""Documents that are tokenised together."""
_MAKING = 0.4
"""Share of the work that the vocabulary takes; tokenising is the rest."""
Report = Callable[[str, float], None]
"""(what is done, share of it that is); may raise to end it."""


class _Split(msgspec.Struct, frozen=True):
    documents: int
    tokens: int
    bytes: int
    sha256: str
    """Over what its documents say, however they are tokenised."""


class _Made(msgspec.Struct, frozen=True):
    name: str
    hash: str
    column: str
    left_out: int
    vocabulary: int
    tokenizer_sha256: str
    splits: dict[Split, _Split]
    filters: dict[str, str] = {}
    """What was left out of the training split, as facts."""
    removed_documents: int = 0
    removed_bytes: int = 0


@dataclass(frozen=True)
class Corpus:
    """A text that was made into tokens, in its folder."""

    folder: Path
    made: _Made

    @property
    def tokenizer_file(self) -> Path:
        return self.folder / _TOKENIZER

    @property
    def vocabulary(self) -> int:
        return self.made.vocabulary

    def ids(self, split: Split) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Token ids, shape (tokens,), read from the disk as they are used."""
        found: npt.NDArray[np.unsignedinteger[Any]] = np.lib.format.open_memmap(self.folder / f"{split}.npy", mode="r")
        return found

    def facts(self) -> dict[str, str]:
        """For the trial's environment."""
        made, train = self.made, self.made.splits["train"]
        facts = {
            "training.data": made.name,
            "training.data_hash": made.hash,
            "training.columns": f"text: {made.column}" if made.column else "",
            "training.rows_left_out": str(made.left_out),
            "training.split_rows": ", ".join(f"{name} {made.splits[name].documents}" for name in SPLITS),
            "training.tokens": str(train.tokens),
            "training.text_bytes": str(train.bytes),
            "training.bytes_per_token": f"{train.bytes / train.tokens:.4f}",
            "tokenizer.vocabulary": str(made.vocabulary),
            "tokenizer.sha256": made.tokenizer_sha256,
            "tokenizer.made_by": f"byte-level BPE of tokenizers {bpe.version()}, of the training split",
        }
        return {name: value for name, value in facts.items() if value} | made.filters


def key_of(load: Pretraining, text: Text, filters: Sequence[object] = ()) -> str:
    """The same for what would become the same tokens. `filters` say what is left out, as JSON values."""
    names = ("split_seed", "validation_share", "test_share", "vocabulary_tokens")
    settings = {name: getattr(load, name) for name in names}
    made_of = {"scheme": _SCHEME, "tokenizers": bpe.version(), "text": text.hash, "column": text.column}
    return digest({**made_of, **settings, **({"filters": list(filters)} if filters else {})})


def kept(cache: Path, key: str) -> Corpus | None:
    """What was made of it before; None where there is nothing whole."""
    folder = cache / key
    try:
        return Corpus(folder, msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Made))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def make(
    cache: Path, key: str, load: Pretraining, text: Text, report: Report, rules: Sequence[tuple[str, Rule]] = ()
) -> Corpus:
    """Make and keep it; `rules` leave out documents of the training split, from which the vocabulary is made before.
    Raises `FileError` where the text is too short, OSError where it cannot be written, and what
    `report` raises; then nothing is left."""
    splits = text.split(load)
    report("Making the vocabulary", 0.0)
    tokenizer = bpe.made_of(splits["train"], load.vocabulary_tokens)
    left = filtered(splits["train"], rules)
    splits["train"] = list(left.documents)
    private_folder(cache)
    draft = Path(tempfile.mkdtemp(prefix=f".{key[:16]}-", dir=cache))
    try:
        tokenizer.save(str(draft / _TOKENIZER))
        total = max(1, sum(map(len, text.documents)))
        done, found = 0, dict[Split, _Split]()
        for name in SPLITS:
            ids = _encoded(tokenizer, splits[name], partial(_tell, report, done, total))
            done += sum(map(len, splits[name]))
            np.save(draft / f"{name}.npy", ids)
            found[name] = _Split(
                len(splits[name]), len(ids), sum(len(d.encode()) for d in splits[name]), _said(splits[name])
            )
        if found["train"].tokens < load.sequence_tokens:
            raise FileError(
                f"{text.name} has {found['train'].tokens:,} tokens to train on, fewer than a sequence of "
                f"{load.sequence_tokens:,}.",
                "Lower sequence_tokens, or choose a longer text.",
            )
        tokens_hash = hashlib.sha256((draft / _TOKENIZER).read_bytes()).hexdigest()
        made = _Made(
            text.name,
            text.hash,
            text.column,
            text.left_out,
            tokenizer.get_vocab_size(),
            tokens_hash,
            found,
            left.facts(),
            sum(r.documents for r in left.removals),
            sum(r.size_bytes for r in left.removals),
        )
        (draft / _MANIFEST).write_bytes(msgspec.json.encode(made))
        shutil.rmtree(cache / key, ignore_errors=True)  # what is not whole
        try:
            draft.rename(cache / key)
        except OSError:
            if kept(cache, key) is None:  # else another process was first, and made the same
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Corpus(cache / key, made)


def _tell(report: Report, before: int, total: int, size: int) -> None:
    report("Tokenising the text", _MAKING + (1 - _MAKING) * (before + size) / total)


def _encoded(tokenizer: Any, documents: Sequence[str], report: Callable[[int], None]) -> npt.NDArray[Any]:
    kind = np.uint16 if tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    end = np.array([tokenizer.token_to_id(bpe.END)], dtype=kind)
    tokenizer.encode_special_tokens = True  # a text that writes the end token out does not end there
    parts: list[npt.NDArray[Any]] = []
    size = 0
    for first in range(0, len(documents), _AT_ONCE):
        some = documents[first : first + _AT_ONCE]
        for encoding in tokenizer.encode_batch(list(some), add_special_tokens=False):
            parts += [np.array(encoding.ids, dtype=kind), end]
        size += sum(map(len, some))
        report(size)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def _said(documents: Sequence[str]) -> str:
    found = hashlib.sha256()
    for document in documents:
        found.update(hashlib.sha256(document.encode()).digest())
    return f"sha256:{found.hexdigest()}"


def lengths_of(tokenizer_file: Path) -> npt.NDArray[np.int64]:
    """Of each token of a kept vocabulary how many bytes of text it stands for."""
    from tokenizers import Tokenizer  # imported late to keep start-up fast

    return np.array(bpe.token_bytes(Tokenizer.from_file(str(tokenizer_file))), dtype=np.int64)
