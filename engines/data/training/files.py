"""Rows of data files: CSV, JSON, JSON Lines, Parquet, Arrow. Pure but for reading; any thread.

A row that cannot be read is a `Bad` with its place, and reading continues; a file that cannot be read raises.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engines.protocol.text_file import FileError, decoded, read_bytes

MAX_BYTES = 2 << 30
_SMALLER = "Take a part of it: training uses far fewer rows."
_ROWS_AT_ONCE = 1024
_ARROW_FILE = b"ARROW1"


@dataclass(frozen=True)
class Raw:
    """A row as it is written. `place`: "line 318", or "row 318" where a file has no lines."""

    place: str
    fields: dict[str, object]


@dataclass(frozen=True)
class Bad:
    """A row that is not used. `place` and `reason` make a sentence: "line 318" "has no response"."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place} {self.reason}"


def read_rows(path: Path) -> Iterator[Raw | Bad]:
    """The rows of one file, in order. Raises `FileError`."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(
            f"{path.name} is not a kind of data file that can be read.", f"Use one of {', '.join(sorted(READERS))}."
        )
    return reader(path)


def _text(path: Path) -> str:
    return decoded(path.name, read_bytes(path, MAX_BYTES, _SMALLER))


def _csv(path: Path) -> Iterator[Raw | Bad]:
    text = _text(path)
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count)
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise FileError(
                f"{path.name} is not a CSV file: the row that begins in line {line} cannot be read ({error}).",
                'Check its quotes: a value with quotes in it is written "like ""this""".',
            ) from error
        if values is None:
            return
        if not values:
            continue
        if header is None:
            header = [name.strip() for name in values]
            twice = [name for name in header if name and header.count(name) > 1]
            if twice:
                raise FileError(f"{path.name} has two columns called {twice[0]}.", "Rename one in its first line.")
        elif len(values) != len(header):
            yield Bad(f"line {line}", f"has {len(values)} values for {len(header)} columns")
        else:
            yield Raw(f"line {line}", dict(zip(header, values, strict=True)))


def _json_lines(path: Path) -> Iterator[Raw | Bad]:
    return _of_lines(_text(path))


def _of_lines(text: str) -> Iterator[Raw | Bad]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value: object = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                yield Bad(f"line {number}", f"is not JSON: {error}")
            else:
                yield _object(f"line {number}", value)


def _json(path: Path) -> Iterator[Raw | Bad]:
    """A list of objects; many files of JSON Lines are called .json too."""
    text = _text(path)
    try:
        values: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        if "\n" in text.strip() and isinstance(next(_of_lines(text), None), Raw):
            return _of_lines(text)
        raise FileError(f"{path.name} is not JSON: {error}.", "Write a list of objects, one for each row.") from error
    if not isinstance(values, list):
        raise FileError(f"{path.name} does not hold a list.", 'Write a list of objects: [{"prompt": "…"}, …].')
    return (_object(f"row {number}", value) for number, value in enumerate(values, 1))


def _object(place: str, value: object) -> Raw | Bad:
    return Raw(place, value) if isinstance(value, dict) else Bad(place, "is not an object with named values")


def _parquet(path: Path) -> Iterator[Raw | Bad]:
    import pyarrow.parquet as parquet  # imported late to keep start-up fast

    def batches() -> Iterator[object]:
        with parquet.ParquetFile(path) as file:
            yield from file.iter_batches(_ROWS_AT_ONCE)

    return _of_tables(path, batches())


def _arrow(path: Path) -> Iterator[Raw | Bad]:
    """As the datasets library saves them: a stream, or a file."""
    import pyarrow  # imported late to keep start-up fast

    def batches() -> Iterator[object]:
        with path.open("rb") as raw:
            if raw.read(len(_ARROW_FILE)) != _ARROW_FILE:
                raw.seek(0)
                yield from pyarrow.ipc.open_stream(raw)
            else:
                file = pyarrow.ipc.open_file(raw)
                yield from map(file.get_batch, range(file.num_record_batches))

    return _of_tables(path, batches())


def _of_tables(path: Path, batches: Iterator[object]) -> Iterator[Raw | Bad]:
    import pyarrow  # imported late to keep start-up fast

    number = 0
    try:
        for batch in batches:
            rows: list[dict[str, object]] = _with_times_as_text(batch).to_pylist()  # type: ignore[attr-defined]
            for fields in rows:
                number += 1
                yield Raw(f"row {number}", fields)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = str(error).partition("\n")[0]
        raise FileError(
            f"{path.name} cannot be read after {number:,} rows: {said}.",
            "It was cut short or is of another kind. Make it again.",
        ) from error


def _with_times_as_text(batch: object) -> object:
    """Python has no times of nanoseconds: without pandas pyarrow refuses rows with such a column."""
    import pyarrow  # imported late to keep start-up fast

    for place, field in enumerate(batch.schema):  # type: ignore[attr-defined]
        if pyarrow.types.is_temporal(field.type):
            text = pyarrow.int64() if pyarrow.types.is_duration(field.type) else pyarrow.string()
            batch = batch.set_column(place, field.name, batch.column(place).cast(text))  # type: ignore[attr-defined]
    return batch


READERS: dict[str, Callable[[Path], Iterator[Raw | Bad]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
"""By a file name's ending."""
