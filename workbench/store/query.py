"""SQL of people and exports: one reading statement, its answer as plain values. Runs in the owner, read-only three
times over: by the parser's word, by the transaction, and by a connection that may open no other file."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import duckdb

from workbench.store.operations import Query, StoreError, Table
from workbench.store.rows import Transaction

_READING = {"SELECT", "EXPLAIN"}
"""Statement types; WITH, FROM, VALUES, SHOW, DESCRIBE and SUMMARIZE are SELECT to DuckDB's parser."""


def query(db: Transaction, operation: Query) -> Table:
    try:
        statements = db.connection.extract_statements(operation.sql)
        types = [statement.type.name for statement in statements]
        if len(types) != 1 or types[0] not in _READING:
            raise _refused(f"This is {len(types)} statements." if len(types) != 1 else f"This is {types[0]}.")
        cursor = db.connection.execute(statements[0])
        columns = tuple(str(column[0]) for column in cursor.description or ())
        rows = cursor.fetchmany(operation.limit + 1)
    except duckdb.PermissionException as error:
        raise StoreError(
            "A query reads this database and no other file.", "`llm-workbench export` writes files.", code="query"
        ) from error
    except (duckdb.IOException, duckdb.InterruptException, duckdb.OutOfMemoryException, duckdb.FatalException):
        raise  # about the file or the store, not about the query
    except duckdb.Error as error:
        raise StoreError(str(error).strip(), "docs/store.md lists every table and column.", code="query") from error
    return Table(
        columns=columns,
        rows=tuple(tuple(_plain(value) for value in row) for row in rows[: operation.limit]),
        truncated=len(rows) > operation.limit,
    )


def _refused(what: str) -> StoreError:
    return StoreError(
        f"Only one SELECT (or WITH, SHOW, DESCRIBE) can be asked. {what} Nothing was changed.",
        "Rows change through the application only.",
        code="query",
    )


def _plain(value: object) -> object:
    """A value of DuckDB as JSON: times as ISO 8601 (UTC), bytes in hexadecimal, integers over 64 bits as text."""
    match value:
        case None | bool() | float() | str():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case Decimal():
            return float(value)
        case datetime():
            return value.isoformat() + ("Z" if value.tzinfo is None else "")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case uuid.UUID():
            return str(value)
        case Mapping():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case _:
            return str(value)
