"""The text of a pretraining as documents, and which of them judge it. Reads files, no engine's library; any process.

Built in are the sources of Python's standard library with their docstrings (PSF licence), a document for each module;
nothing is imported. They differ by Python version: their hash is in every trial. Of the user's own a folder of text
files has a document for each file, data files one for each row; a text file alone is divided at empty lines, else there
would be nothing to hold out.
"""

from __future__ import annotations

import hashlib
import platform
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from engines.data.training.built_in import BUILT_IN
from engines.data.training.columns import Columns, Example, example_of, text_column
from engines.data.training.dataset import SAMPLE_ROWS, as_planned, fingerprint_of, rows_of, sample_of
from engines.data.training.files import MAX_BYTES, READERS, Raw
from engines.data.training.sources import NOTES, Source, find, is_hub_id, split_of
from engines.data.training.splits import SPLITS, Split, key_of, named_split, split
from engines.protocol.text_file import FileError, decoded, own_path, read_bytes
from engines.protocol.work import Pretraining

TEXTS = frozenset({".txt", ".md", ".rst", ".text"})
"""Ends of the names of a folder's text files."""
_PASSAGE = 4000
"""Characters of a document at the least where one text file is divided."""
_NO_SOURCES = frozenset({"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"})
"""Folders of the standard library whose modules are no part of the text: installed packages, tests, two programs."""
_WHOLE_BYTES = 64 << 20
"""Up to here a plan counts the documents."""


@dataclass(frozen=True)
class Text:
    """Documents in their order, none of them empty."""

    name: str
    hash: str
    column: str
    """Of data files the column that is read; "" of text files."""
    documents: tuple[str, ...]
    own_splits: tuple[Split | None, ...]
    """That the files name themselves."""
    left_out: int = 0
    """Rows and files without text."""

    def split(self, load: Pretraining) -> dict[Split, list[str]]:
        """The documents of each split in an order by their contents: the same for every order of files."""
        keys = [key_of(Example(text=document)) for document in self.documents]
        splits = split(keys, self.own_splits, load.split_seed, load.validation_share, load.test_share)
        places = sorted(range(len(keys)), key=keys.__getitem__)
        return {name: [self.documents[n] for n in places if splits[n] == name] for name in SPLITS}


@dataclass(frozen=True)
class TextLook:
    """What a plan knows of a text. `data` is what an order names: "built-in", a hub id or an absolute path."""

    data: str
    hash: str = ""
    """ "" of the built-in text, which the worker's Python has."""
    column: str = ""
    documents: int | None = None
    """None where they were not counted."""
    left_out: int = 0
    own_splits: frozenset[Split] = frozenset()


def read_text(load: Pretraining, base: Path = Path()) -> Text:
    """Raises `FileError` where it cannot be used, or is not what was planned."""
    if load.data == BUILT_IN:
        return _library()
    source = find_text(load.data, base)
    hash = as_planned(source, load.data_hash)
    return _of_files(source, hash) if _is_text(source.files[0][0]) else _of_rows(source, hash, load.text_column)


def look_text(load: Pretraining, base: Path) -> TextLook:
    """Raises `FileError`."""
    if load.data == BUILT_IN:
        return TextLook(load.data)
    source = find_text(load.data, base)
    path = own_path(load.data, base)
    data = load.data if is_hub_id(load.data) and not path.exists() else str(path)
    hash, is_text = fingerprint_of(source), _is_text(source.files[0][0])
    if sum(file.stat().st_size for file, _ in source.files) > _WHOLE_BYTES:
        return TextLook(data, hash, "" if is_text else _column(source, load.text_column))
    text = _of_files(source, hash) if is_text else _of_rows(source, hash, load.text_column)
    own = frozenset(split for split in text.own_splits if split is not None)
    return TextLook(data, hash, text.column, len(text.documents), text.left_out, own)


def find_text(data: str, base: Path = Path()) -> Source:
    """The files of a text: a text file whatever its name ends in, a folder's files of the most frequent kind, data
    files, or a dataset of the hub. Raises `FileError`."""
    path = own_path(data, base)
    if path.is_file() and path.suffix.lower() not in READERS:
        return Source(path.name, path.parent, ((path, None),))
    texts = _text_files(path) if path.is_dir() else []
    if not texts:
        return find(data, base)
    files = [(file, split_of(file.relative_to(path))) for file in texts]
    if any(split is not None for _, split in files):
        files = [(file, split) for file, split in files if split is not None]
    return Source(path.name, path, tuple(files))


def _text_files(folder: Path) -> list[Path]:
    """At any depth; none where it holds more data files."""
    found = [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in TEXTS | READERS.keys() and file.name not in NOTES and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]  # fmt: skip
    kinds = Counter("text" if _is_text(file) else file.suffix.lower() for file in found)
    is_text = kinds.pop("text", 0) > max(kinds.values(), default=0)  # a README beside data is not the text
    return [file for file in found if _is_text(file)] if is_text else []


def _is_text(file: Path) -> bool:
    return file.suffix.lower() not in READERS


def _of_files(source: Source, hash: str) -> Text:
    alone = len(source.files) == 1
    documents, own, left_out = list[str](), list[Split | None](), 0
    for file, named in source.files:
        text = decoded(file.name, read_bytes(file, MAX_BYTES, "Divide it into several files."))
        parts = [part for part in (passages(text) if alone else [text]) if part.strip()]
        documents += parts
        own += [named] * len(parts)
        left_out += not parts
    return _made(source.title, hash, "", documents, own, left_out)


def passages(text: str) -> list[str]:
    """A text divided at empty lines; joined they are the text."""
    parts, part, size = list[str](), list[str](), 0
    for paragraph in text.splitlines(keepends=True):
        part.append(paragraph)
        size += len(paragraph)
        if size >= _PASSAGE and not paragraph.strip():
            parts.append("".join(part))
            part, size = [], 0
    return [*parts, "".join(part)] if part else parts


def _of_rows(source: Source, hash: str, named: str) -> Text:
    column = _column(source, named)
    documents, own, left_out = list[str](), list[Split | None](), 0
    for file_split, row in rows_of(source):
        example = example_of(row.fields, Columns(text=column)) if isinstance(row, Raw) else ""
        if isinstance(example, str):
            left_out += 1
            continue
        assert isinstance(row, Raw)
        documents.append(example.text)
        own.append(file_split or named_split(str(row.fields.get("split", ""))))
    return _made(source.title, hash, column, documents, own, left_out)


def _column(source: Source, named: str) -> str:
    sample: Sequence[Mapping[str, object]] = sample_of(source, list(islice(rows_of(source), SAMPLE_ROWS)))
    return text_column(sample, named)


def _made(name: str, hash: str, column: str, documents: list[str], own: list[Split | None], left_out: int) -> Text:
    if not documents:
        raise FileError(f"{name} holds no text.", "Choose another text, or another column.")
    return Text(name, hash, column, tuple(documents), tuple(own), left_out)


@cache
def _library() -> Text:
    documents = tuple(_modules(Path(sysconfig.get_path("stdlib"))))
    major, minor, _ = platform.python_version_tuple()
    found = hashlib.sha256()
    for document in documents:
        found.update(hashlib.sha256(document.encode()).digest())
    name = f"Python {major}.{minor} standard library, sources and docstrings"
    return Text(name, f"sha256:{found.hexdigest()}", "", documents, (None,) * len(documents))


def _modules(library: Path) -> Iterator[str]:
    for file in sorted(library.rglob("*.py")):
        if _NO_SOURCES.isdisjoint(file.relative_to(library).parts):
            text = file.read_bytes().decode("utf-8", errors="replace")
            if text.strip():
                yield text
