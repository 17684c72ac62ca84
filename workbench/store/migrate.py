"""The schema's version and the way from an older one to it. Runs in the owner, while it alone has the file.

`schema.sql` is the newest schema whole; `migrations/NNN.sql`, or a function in `_IN_PYTHON`, leads from version NNN - 1
to NNN. A migration runs once: checkpoint, a backup copy beside the file, then every step in one transaction. If it
fails, the file is as before.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import duckdb

from engines.protocol.private import write_private
from workbench.store import faults
from workbench.store.operations import StoreError
from workbench.store.renewed_hashes import renew_store

SCHEMA_VERSION = 5
_IN_PYTHON: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {3: renew_store}
"""Steps that SQL alone cannot make."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Scheme:
    """What a database should look like: its version, its whole schema, and the steps up to it by version reached."""

    version: int
    schema: str
    steps: Mapping[int, str | Callable[[duckdb.DuckDBPyConnection], None]] = field(default_factory=dict)


def current_scheme() -> Scheme:
    """The scheme this application writes."""
    written = {int(file.stem): file.read_text("utf-8") for file in sorted((_HERE / "migrations").glob("[0-9]*.sql"))}
    return Scheme(SCHEMA_VERSION, (_HERE / "schema.sql").read_text("utf-8"), {**written, **_IN_PYTHON})


def application_version() -> str:
    """Version of the installed application, for people; "unknown" when run from a folder that was never installed."""
    try:
        return version("llm-workbench")
    except PackageNotFoundError:
        return "unknown"


def backup_path(path: Path, found: int) -> Path:
    """Where the copy of a database of version `found` is kept: "NAME.v1.backup.duckdb" for NAME.duckdb."""
    return path.with_name(f"{path.stem}.v{found}.backup.duckdb")


def back_up(path: Path, found: int) -> Path:
    """Copy a closed, checkpointed file; the copy appears whole or not at all. Raises OSError.

    The file must be closed: POSIX locks of a file fall when *any* descriptor of it in the process is closed, so copying
    an open database would silently give DuckDB's lock away.
    """
    backup = backup_path(path, found)
    unfinished = backup.with_suffix(".part")
    try:
        write_private(unfinished, b"")
        shutil.copyfile(path, unfinished)
        with unfinished.open("rb+") as copy:
            os.fsync(copy.fileno())
        unfinished.replace(backup)
    finally:
        unfinished.unlink(missing_ok=True)
    return backup


def apply_steps(connection: duckdb.DuckDBPyConnection, path: Path, found: int, scheme: Scheme, backup: Path) -> None:
    """Run every step from `found` to the scheme's version in one transaction. Raises `StoreError`, file as before."""
    missing = [number for number in range(found + 1, scheme.version + 1) if number not in scheme.steps]
    if missing:
        raise StoreError(
            f"{path.name} has schema version {found}, and this application has no way from there to {scheme.version}. "
            "The file is untouched.",
            "Open it once with an application version in between, or choose another file with --database.",
            code="newer_schema",
        )
    connection.execute("BEGIN TRANSACTION")
    try:
        for number in range(found + 1, scheme.version + 1):
            step = scheme.steps[number]
            connection.execute(step) if isinstance(step, str) else step(connection)
        connection.execute(
            "UPDATE store SET schema_version = ?, written_by = ?", [scheme.version, application_version()]
        )
        connection.execute("COMMIT")
    except duckdb.Error as error:
        roll_back(connection)
        cause = faults.from_duckdb(error, path)
        raise StoreError(
            f"{path.name} could not be brought from schema version {found} to {scheme.version}: {cause}",
            f"It is still of version {found}, with all its data; the copy made before is {backup.name}.",
            code=cause.code if cause.code == "disk_full" else "migration",
        ) from error


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back, if the failure has not done so already (a failed COMMIT has)."""
    try:
        connection.execute("ROLLBACK")
    except duckdb.TransactionException:
        return
