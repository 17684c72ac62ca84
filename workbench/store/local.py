"""The store over an open file: the one process that owns it runs every operation here.

Safe from any thread. Writing operations run one at a time, each in a transaction; reading ones run beside them on
cursors of their own, each on one snapshot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import duckdb

from engines.protocol.private import narrow
from workbench.store import faults, imported, ingest, operations, query, reading, recording, selfchecks, writing
from workbench.store.bundles.exporting import export_bundle
from workbench.store.bundles.importing import import_bundle
from workbench.store.migrate import Scheme, current_scheme, roll_back
from workbench.store.opening import log_of, open_database, open_to_read
from workbench.store.operations import Operation, not_utf8
from workbench.store.rows import Transaction

R = TypeVar("R")
Handler = Callable[[Transaction, Any], object]

READERS: dict[type[Operation[Any]], Handler] = {
    operations.GetStoreId: reading.store_id,
    operations.GetCounts: reading.counts,
    operations.ListExperiments: reading.experiments,
    operations.ListTrials: reading.trials,
    operations.ListUnfinished: reading.unfinished,
    operations.ListUnjudged: reading.unjudged,
    operations.FindUnused: reading.unused,
    operations.GetTrial: reading.trial,
    operations.GetExperiment: reading.experiment,
    operations.GetOrder: reading.order,
    operations.Durations: reading.durations,
    operations.Losses: reading.losses,
    operations.MemoryRatios: reading.memory_ratios,
    operations.ReadRecords: recording.read_records,
    operations.ReadKinds: recording.read_kinds,
    operations.ReadImported: imported.read_imported,
    operations.ListSelfChecks: selfchecks.listed,
    operations.ExportBundle: export_bundle,
    operations.Query: query.query,
}
WRITERS: dict[type[Operation[Any]], Handler] = {
    operations.AddExperiment: writing.add_experiment,
    operations.AddTrials: writing.add_trials,
    operations.Ingest: ingest.ingest,
    operations.AddSamples: imported.add_samples,
    operations.AddSelfCheck: selfchecks.add,
    operations.ImportBundle: import_bundle,
    operations.SetMetrics: writing.set_metrics,
    operations.SetBaseline: writing.set_baseline,
    operations.Rename: writing.rename,
    operations.SetNote: writing.set_note,
    operations.SetAdvice: writing.set_advice,
    operations.DeleteTrials: writing.delete_trials,
    operations.MarkLost: writing.mark_lost,
}

_CLOSING_TURNS = 100
_CLOSING_TURN_S = 0.05
"""How long readers get to end, in turns: a suspended machine would sleep through a single wait."""


class LocalStore:
    """One open database file. Close it before the process exits: that folds the write-ahead log into the file."""

    def __init__(self, path: Path, *, scheme: Scheme | None = None, read_only: bool = False) -> None:
        """Open, make or migrate `path`. Raises `StoreError`: "newer_schema", "damaged", "locked", "disk_full", ...

        `read_only`: a damaged file as it is; what writes is refused ("read_only")."""
        self.path = path
        self._read_only = read_only
        self._scheme = scheme or current_scheme()
        self._writing = threading.Lock()
        self._readers = threading.Condition()
        self._cursors: dict[duckdb.DuckDBPyConnection, int] = {}
        """Those in use, and by which thread."""
        self._connection: duckdb.DuckDBPyConnection | None = self._open()
        self._closed = False

    def execute(self, operation: Operation[R]) -> R:
        """Run one operation. Raises `StoreError`; whatever failed has changed nothing."""
        kind, used = type(operation), self._connection
        try:
            if kind in WRITERS:
                return cast("R", self._write(WRITERS[kind], operation))
            return cast("R", self._read(READERS[kind], operation))
        except duckdb.Error as error:
            if faults.is_fatal(error):
                self._forget_connection(used or self._connection)
            if self._closed and isinstance(error, duckdb.ConnectionException):  # it outlasted the patience of `close`
                raise faults.closed(self.path) from error
            raise faults.from_duckdb(error, self.path) from error
        except UnicodeEncodeError as error:
            raise not_utf8(error) from error
        except OSError as error:
            raise faults.from_system(error, self.path) from error

    @property
    def reading(self) -> int:
        """Operations that read at this moment."""
        return len(self._cursors)

    def interrupt(self, thread: int) -> None:
        """Give up what this thread reads now, if anything; what is written is written whole. Any thread."""
        with self._readers:
            for cursor, owner in self._cursors.items():
                if owner == thread:
                    cursor.interrupt()

    def close(self) -> None:
        """Interrupt queries that still run, wait for writing to end, and close the file. Twice is once."""
        with self._readers:
            self._closed = True
            for _ in range(_CLOSING_TURNS):
                for cursor in self._cursors:
                    cursor.interrupt()  # again each turn: one that falls between two statements is forgotten
                if self._readers.wait_for(lambda: not self._cursors, _CLOSING_TURN_S):
                    break
        with self._writing:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        return open_to_read(self.path, self._scheme) if self._read_only else open_database(self.path, self._scheme)

    def _write(self, handler: Handler, operation: Operation[R]) -> object:
        if self._read_only:
            raise faults.read_only(self.path)
        with self._writing:
            connection = self._open_connection()
            connection.execute("BEGIN TRANSACTION")
            try:
                result = handler(Transaction(connection, self.path), operation)
                connection.execute("COMMIT")
                narrow(log_of(self.path))
            except BaseException:
                roll_back(connection)
                raise
            return result

    def _read(self, handler: Handler, operation: Operation[R]) -> object:
        with self._cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return handler(Transaction(cursor, self.path), operation)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._readers:
            cursor = self._open_connection().cursor()
            self._cursors[cursor] = threading.get_ident()
        try:
            yield cursor
        finally:
            with self._readers:  # nobody finds a closed cursor to interrupt
                cursor.close()  # ends its transaction
                del self._cursors[cursor]
                self._readers.notify_all()

    def _open_connection(self) -> duckdb.DuckDBPyConnection:
        with self._readers:
            if self._closed:
                raise faults.closed(self.path)
            if self._connection is None:  # given up after a fatal error
                self._connection = self._open()
            return self._connection

    def _forget_connection(self, broken: duckdb.DuckDBPyConnection | None) -> None:
        """DuckDB refuses to work after a fatal error: the next operation opens the file again. One that another thread
        has opened since is good, and stays."""
        with self._writing, self._readers:
            if broken is not None and self._connection is broken:
                self._connection = None
                broken.close()
