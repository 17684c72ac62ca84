"""Rows in and out of DuckDB: columns in by one INSERT ... SELECT, rows out as the structs of `operations`.

`executemany` inserts 300 rows a second; Arrow columns, millions. Called by the owner's handlers, inside their
transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import duckdb
import msgspec
import pyarrow

T = TypeVar("T", bound=msgspec.Struct)
_EPOCH = datetime(1970, 1, 1)
_VIEW = "incoming_rows"


@dataclass(frozen=True)
class Transaction:
    """What a handler works with: a connection inside a transaction, and the file it belongs to."""

    connection: duckdb.DuckDBPyConnection
    path: Path

    def one(self, sql: str, *parameters: object) -> tuple[object, ...] | None:
        """First row of a query, None where it has none."""
        row = self._execute(sql, parameters).fetchone()
        return tuple(row) if row is not None else None

    def all(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        return self._execute(sql, parameters).fetchall()

    def structs(self, kind: type[T], sql: str, *parameters: object) -> tuple[T, ...]:
        """Rows of a query whose columns are named as the fields of `kind`."""
        cursor = self._execute(sql, parameters)
        names = [column[0] for column in cursor.description or ()]
        return tuple(kind(**dict(zip(names, row, strict=True))) for row in cursor.fetchall())

    def run(self, sql: str, *parameters: object) -> None:
        self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[object]) -> duckdb.DuckDBPyConnection:
        for text in (p for p in parameters if isinstance(p, str)):
            text.encode()  # what is not UTF-8 fails in DuckDB without a word of why
        return self.connection.execute(sql, list(parameters))

    def insert(self, table: str, columns: Mapping[str, object], *, replace: bool = False) -> None:
        """Insert equally long columns (lists or arrays) by name. With `replace`, rows of the same key give way."""
        self.insert_table(table, pyarrow.table(dict(columns)), replace=replace)

    def insert_table(self, table: str, rows: pyarrow.Table, *, replace: bool = False, ignore: bool = False) -> None:
        """Insert the rows of an Arrow table by the names of its columns. Of rows with a key that is there already, the
        new ones win with `replace`, the old ones with `ignore`."""
        if not rows.num_rows:
            return
        self.connection.register(_VIEW, rows)
        try:
            verb = "INSERT" + " OR REPLACE" * replace + " OR IGNORE" * ignore
            self.connection.execute(f"{verb} INTO {table} BY NAME SELECT * FROM {_VIEW}")
        finally:
            self.connection.unregister(_VIEW)

    def insert_structs(self, table: str, structs: Sequence[msgspec.Struct], *, replace: bool = False) -> None:
        """Insert structs whose fields are named as the columns."""
        if structs:
            names = structs[0].__struct_fields__
            self.insert(table, {name: [getattr(s, name) for s in structs] for name in names}, replace=replace)


def now() -> datetime:
    """The time as the database keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def wall_time(wall_ns: int) -> datetime | None:
    """Wall-clock nanoseconds since 1970 as the database keeps times; None for a clock that shows nonsense."""
    if wall_ns <= 0:
        return None
    try:
        return _EPOCH + timedelta(microseconds=wall_ns // 1000)
    except OverflowError:
        return None


def iso(column: str) -> str:
    """SQL that shows a timestamp column as ISO 8601 UTC text."""
    return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%fZ')"
