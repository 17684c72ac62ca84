"""The tables of a bundle, read within bounds: a file of some kilobytes can say that it holds terabytes, and it can hold
them.

What a file declares is checked before anything of it is unpacked. What its texts really come to is counted in a first
pass by DuckDB, for which a million rows with one text of a megabyte are a megabyte; pyarrow would write it out a
million times.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

import duckdb
import pyarrow
import pyarrow.parquet

from workbench.store.bundles.exporting import fault
from workbench.store.operations import StoreError
from workbench.store.rows import Transaction
from workbench.units import format_bytes

SHARE = 0.5
"""Of the memory that is free."""
MOST_ROWS = {"experiments": 1_000, "configurations": 20_000, "trials": 500_000, "tags": 1_000_000}
"""Of tables that become Python objects: more than any experiment has."""
_ENCODINGS = frozenset({"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
"""What exports are written in. Others unpack to a multiple of what they declare."""
_LEAST_BYTES = 256 << 20
"""DuckDB's own buffers."""
_WIDEST_BYTES = 8
"""Of a value that is no text: a number, a time, or where a text begins."""


class Room:
    """How much a whole bundle may still unpack to."""

    def __init__(self, most_bytes: int | None = None) -> None:
        self.most_bytes = int(_free_bytes() * SHARE) if most_bytes is None else most_bytes
        self._left = self.most_bytes
        limit = f"{max(self.most_bytes, _LEAST_BYTES)}B"
        self.counting = duckdb.connect(config={"threads": 1, "memory_limit": limit})
        """Reads files, which the store's own connection may not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.counting.close()

    def check(self, table: str, size: int) -> None:
        """Raises `StoreError` where so much does not fit."""
        if size > self._left:
            raise self._too_large(table)

    def take(self, table: str, size: int) -> None:
        self.check(table, size)
        self._left -= size

    def _too_large(self, table: str) -> StoreError:
        return fault(
            f"{table} of the bundle would unpack to more than {format_bytes(self.most_bytes)}, half of the memory that "
            "is free here.",
            "If the bundle is what you expect, close other programs or import it on a computer with more memory.",
        )


def _free_bytes() -> int:
    """Memory that programs can have; all there is where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def unpacked(db: Transaction, folder: Path, table: str, room: Room) -> pyarrow.Table:
    """A table with the columns of the store's own, of the same types. Raises `StoreError`."""
    wanted = db.connection.execute(f"SELECT * FROM {table} LIMIT 0").to_arrow_table().schema
    filled = {str(row[0]) for row in db.all(f"SELECT column_name FROM (DESCRIBE {table}) WHERE \"null\" = 'NO'")}
    try:
        rows = _rows(folder / f"{table}.parquet", wanted, table, room)
        rows.validate(full=True)
        for field in wanted:
            if pyarrow.types.is_timestamp(field.type):
                rows.column(field.name).to_pylist()  # a time that no calendar has
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError, MemoryError, duckdb.Error) as error:
        raise fault(f"{table}.parquet of the bundle cannot be read: {error}.", "Export the bundle again.") from error
    empty = [name for name in wanted.names if name in filled and rows.column(name).null_count]
    if empty:
        raise fault(f"{table}.parquet of the bundle has rows without {empty[0]}.", "Export the bundle again.")
    return rows


def _rows(path: Path, wanted: pyarrow.Schema, table: str, room: Room) -> pyarrow.Table:
    with path.open("rb") as opened:
        file = pyarrow.parquet.ParquetFile(opened)
        names = file.schema_arrow.names
        if set(names) != set(wanted.names) or len(names) != len(wanted.names):
            raise fault(
                f"{table}.parquet has other columns than this version's table.", "Use the version that wrote it."
            )
        _check_declared(file, opened.fileno(), wanted, table, room)
        room.take(path.name, _size(room, opened.fileno(), file))
        return file.read().select(wanted.names).cast(wanted)


def _check_declared(
    file: pyarrow.parquet.ParquetFile, descriptor: int, wanted: pyarrow.Schema, table: str, room: Room
) -> None:
    said = file.metadata
    if said.num_rows > MOST_ROWS.get(table, said.num_rows):
        raise fault(f"{table}.parquet has {said.num_rows} rows, more than can be.", "Export the bundle again.")
    sizes, values, encodings = _declared(room, descriptor)
    nested = pyarrow.types.is_nested
    if any(nested(field.type) != nested(wanted.field(field.name).type) for field in file.schema_arrow) or (
        encodings - _ENCODINGS
    ):
        raise fault(f"{table}.parquet is not written as exports are.", "Export the bundle again.")
    room.check(f"{table}.parquet", sizes)
    room.check(f"{table}.parquet", values)


def _declared(room: Room, descriptor: int) -> tuple[int, int, set[str]]:
    """Bytes and values of all columns, and how they are encoded. By DuckDB: pyarrow ends the process where a column's
    statistics contradict its type."""
    room.counting.execute(
        "SELECT coalesce(sum(total_uncompressed_size), 0), coalesce(sum(num_values), 0), string_agg(encodings, ', ') "
        f"FROM parquet_metadata('/proc/self/fd/{descriptor}')"
    )
    sizes, values, encodings = room.counting.fetchone() or (0, 0, None)
    return int(sizes), int(values), {name.strip() for name in str(encodings or "").split(",") if name.strip()}


def _size(room: Room, descriptor: int, file: pyarrow.parquet.ParquetFile) -> int:
    """Bytes of the table once it is written out. By descriptor: DuckDB takes no path that is not UTF-8."""
    fixed, counted = 0, ["0"]
    for field in file.schema_arrow:
        name = '"' + field.name.replace('"', '""') + '"'
        if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type):
            counted.append(f"coalesce(sum(strlen({name})), 0)")
        elif pyarrow.types.is_list(field.type):
            counted.append(f"coalesce(sum(len({name})), 0) * 8")
        fixed += _WIDEST_BYTES
    room.counting.execute(f"SELECT {' + '.join(counted)} FROM read_parquet('/proc/self/fd/{descriptor}')")
    row = room.counting.fetchone()
    return fixed * int(file.metadata.num_rows) + (int(row[0]) if row else 0)
