"""Opening a database file: made if it is not there, looked at before it is touched, migrated if it is older.

Runs on the thread that opens the store, in the process that owns it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from engines.protocol.private import narrow
from workbench.store import faults, migrate
from workbench.store.migrate import Scheme
from workbench.store.operations import not_utf8
from workbench.store.rows import now

_CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    # a neighbour on the machine under test would disturb what is measured: no pool of worker threads
    "threads": 1,
    "memory_limit": "2GB",
    # folding the write-ahead log into the file costs more than writing it: four times rarer than DuckDB's default
    "wal_autocheckpoint": "64MB",
    # queries of people go through this connection: no reading or writing of other files
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


@dataclass(frozen=True)
class _Found:
    version: int
    written_by: str


def open_database(path: Path, scheme: Scheme) -> duckdb.DuckDBPyConnection:
    """The open connection of `path`, at the scheme's version. Raises `StoreError`; a file it refuses is untouched."""
    with _in_words(path):
        if not path.exists():
            _create(path, scheme)
        found = _look(path)
        if found.version > scheme.version:
            raise faults.newer_schema(path, found.version, scheme.version, found.written_by)
        if found.version < scheme.version:
            return _migrated(path, found.version, scheme)
        return connect(path)


def open_to_read(path: Path, scheme: Scheme) -> duckdb.DuckDBPyConnection:
    """A damaged file, as far as DuckDB reads it: nothing is written, and missing blocks show when they are read. Raises
    `StoreError`."""
    with _in_words(path):
        connection = connect(path, read_only=True)
        try:
            found = _found(path, connection)
            if found.version != scheme.version:
                raise faults.damaged(path, f"and its schema has version {found.version}, not {scheme.version}")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """What DuckDB and the system raise meanwhile becomes a `StoreError`."""
    try:
        yield
    except duckdb.Error as error:
        raise faults.from_duckdb(error, path) from error
    except UnicodeEncodeError as error:
        raise not_utf8(error) from error
    except OSError as error:
        raise faults.from_system(error, path) from error


def connect(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path), read_only=read_only, config=_CONFIGURATION)
    narrow(path)
    narrow(log_of(path))
    return connection


def log_of(path: Path) -> Path:
    """The write-ahead log of a database, which DuckDB makes and removes as it needs it."""
    return path.with_name(f"{path.name}.wal")


def _look(path: Path) -> _Found:
    """Read the version without changing a byte: opening for writing would fold the write-ahead log into the file."""
    connection = connect(path, read_only=True)
    try:
        found = _found(path, connection)
        check_length(path, connection)
        return found
    finally:
        connection.close()


def _found(path: Path, connection: duckdb.DuckDBPyConnection) -> _Found:
    try:
        row = connection.execute("SELECT schema_version, written_by FROM store").fetchone()
    except duckdb.CatalogException as error:
        raise faults.foreign(path) from error
    if row is None:
        raise faults.foreign(path)
    return _Found(int(row[0]), str(row[1]))


def check_length(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Blocks are read late: a file cut short must be refused now, not in the middle of a comparison.

    Only blocks in use count: DuckDB cuts free ones off the end of a healthy file and still numbers them.
    """
    row = connection.execute("SELECT block_size, used_blocks FROM pragma_database_size()").fetchone()
    if row is None:
        return
    needed = 3 * 4096 + int(row[0]) * int(row[1])
    there = path.stat().st_size  # never open the file here: closing it would give DuckDB's lock away
    if there < needed:
        raise faults.damaged(path, f"it should be at least {needed} bytes long and is {there}")


def _create(path: Path, scheme: Scheme) -> None:
    """Make the file under another name and link it into place: a crash leaves no half-made database behind."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        connection = connect(unfinished)
        try:
            connection.execute("BEGIN TRANSACTION")
            connection.execute(scheme.schema)
            connection.execute(
                "INSERT INTO store VALUES (?, ?, ?, ?)",
                [f"s-{uuid.uuid4().hex}", scheme.version, now(), migrate.application_version()],
            )
            connection.execute("COMMIT")
        finally:
            connection.close()
        try:
            path.hardlink_to(unfinished)
        except FileExistsError:
            return  # somebody else was first; theirs is as good
        except OSError:  # a file system without links
            unfinished.rename(path)
    finally:
        for leftover in (unfinished, log_of(unfinished)):
            leftover.unlink(missing_ok=True)


def _migrated(path: Path, found: int, scheme: Scheme) -> duckdb.DuckDBPyConnection:
    connection = connect(path)
    try:
        connection.execute("CHECKPOINT")  # rows still in the write-ahead log would be missing from the copy
    finally:
        connection.close()
    backup = migrate.back_up(path, found)
    connection = connect(path)
    try:
        migrate.apply_steps(connection, path, found, scheme, backup)
        connection.execute("CHECKPOINT")
    except BaseException:
        connection.close()
        raise
    return connection
