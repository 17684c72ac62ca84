"""An experiment as a folder of Parquet files, one a table, with a manifest; and back. Runs in the owner.

What is written is what the store holds, records included, so that every figure can be recomputed from the folder with
any tool that reads Parquet. The manifest is written last and names every file's rows and hash: a folder without it is
not a bundle.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.compute
import pyarrow.parquet

from workbench.store import reading
from workbench.store.operations import (
    Bundled,
    ExperimentRow,
    ExportBundle,
    GetExperiment,
    ImportBundle,
    StoreError,
)
from workbench.store.rows import Desk
from workbench.store.writing import next_numbers
from workbench.version import version

MANIFEST = "bundle.json"
TABLES_VERSION = 1
"""Of the tables below: the schema version at which one of them last changed."""
_OF_TRIALS = ("records", "phases", "requests", "tokens", "samples", "metrics", "verdicts", "logs", "artifacts")
TABLES = ("experiments", "configurations", "trials", "environments", "tags", *_OF_TRIALS)
_ENDED = "(SELECT trial FROM trials WHERE experiment = $1 AND state = 'ended')"
_ROWS = {
    "experiments": "experiment = $1",
    "configurations": "experiment = $1",
    "trials": "experiment = $1 AND state = 'ended'",
    "environments": "environment IN (SELECT environment FROM trials WHERE experiment = $1 AND state = 'ended')",
    "tags": f"subject = $1 OR subject IN {_ENDED}",
} | dict.fromkeys(_OF_TRIALS, f"trial IN {_ENDED}")
_BATCH_ROWS = 100_000
_PART = ".part"


class _File(msgspec.Struct, frozen=True):
    rows: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    schema_version: int
    experiment: str
    written_by: str
    files: dict[str, _File]


def export_bundle(desk: Desk, operation: ExportBundle) -> Bundled:
    """Only trials that have ended. A folder with anything in it but an older bundle is refused; that one is replaced
    once the new one is written whole."""
    experiment = reading.experiment(desk, GetExperiment(experiment=operation.experiment)).experiment
    folder = Path(operation.folder)
    try:
        return _export(desk, experiment, folder)
    except OSError as error:
        _clear_parts(folder)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "the disk is full" if full else error.strerror or str(error)
        raise StoreError(
            f"The bundle could not be written to {folder}: {why}. The database was not touched.",
            "Free some space there, or choose another folder.",
            code="bundle",
        ) from error


def _export(desk: Desk, experiment: ExperimentRow, folder: Path) -> Bundled:
    if desk.one("SELECT 1 FROM trials WHERE experiment = ? AND state = 'ended'", experiment.experiment) is None:
        raise _fault(f"No trial of {experiment.name} has ended yet: there is nothing to write.", "Wait for one.")
    folder.mkdir(parents=True, exist_ok=True)
    _clear_parts(folder)
    strangers = {p.name for p in folder.iterdir()} - {MANIFEST, *(f"{t}.parquet" for t in TABLES)}
    if strangers:
        raise _fault(
            f"The folder {folder} holds something else already ({sorted(strangers)[0]}).", "Choose another one."
        )
    files = {}
    for table in TABLES:
        path = folder / f"{table}.parquet{_PART}"
        reader = desk.connection.execute(
            f"SELECT * FROM {table} WHERE {_ROWS[table]} ORDER BY rowid", [experiment.experiment]
        ).to_arrow_reader(_BATCH_ROWS)
        rows = 0
        with pyarrow.parquet.ParquetWriter(path, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        files[table] = _File(rows, _sha256(path))
    manifest = _Manifest(TABLES_VERSION, experiment.experiment, version(), files)
    last = folder / f"{MANIFEST}{_PART}"
    last.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    # what takes space is done: from here on there are only renames, the manifest's last
    (folder / MANIFEST).unlink(missing_ok=True)
    for table in TABLES:
        (folder / f"{table}.parquet{_PART}").replace(folder / f"{table}.parquet")
    last.replace(folder / MANIFEST)
    trials = files["trials"].rows
    return Bundled(experiment=experiment.experiment, trials=trials, left_out=experiment.trials - trials)


def _clear_parts(folder: Path) -> None:
    """What an export that did not come to its end has left."""
    for name in (*(f"{t}.parquet" for t in TABLES), MANIFEST):
        with contextlib.suppress(OSError):
            (folder / f"{name}{_PART}").unlink(missing_ok=True)


def import_bundle(desk: Desk, operation: ImportBundle) -> Bundled:
    """Trials that the store has already are left alone: twice is once. A deleted trial comes back, for that is what
    was asked. Numbers are given out anew."""
    folder = Path(operation.folder)
    manifest = _checked(folder)
    tables = {table: _read(desk, folder, table) for table in TABLES}
    _import_experiment(desk, manifest.experiment, tables)
    known = {str(row[0]) for row in desk.all("SELECT trial FROM trials")}
    told = tables["trials"].column("trial").to_pylist()
    new = [trial for trial in told if trial not in known]
    rows = _only(tables["trials"], "trial", new)
    rows = _with(rows, "number", next_numbers(desk, "trials", len(new)))
    desk.insert_table("trials", rows)
    desk.run("DELETE FROM tombstones WHERE trial IN (SELECT unnest(?::VARCHAR[]))", new)
    for table in _OF_TRIALS:
        desk.insert_table(table, _only(tables[table], "trial", new))
    stored = {str(row[0]) for row in desk.all("SELECT environment FROM environments")}
    facts = tables["environments"]
    missing = [name for name in facts.column("environment").to_pylist() if name not in stored]
    desk.insert_table("environments", _only(facts, "environment", missing))
    desk.insert_table("tags", _only(tables["tags"], "subject", [manifest.experiment, *new]), replace=True)
    return Bundled(experiment=manifest.experiment, trials=len(new), left_out=len(told) - len(new))


def _import_experiment(desk: Desk, experiment: str, tables: dict[str, pyarrow.Table]) -> None:
    if desk.one("SELECT 1 FROM experiments WHERE experiment = ?", experiment) is None:
        rows = tables["experiments"]
        desk.insert_table("experiments", _with(rows, "number", next_numbers(desk, "experiments", rows.num_rows)))
    own = desk.all("SELECT configuration FROM configurations WHERE experiment = ?", experiment)
    stored = {str(row[0]) for row in own}
    rows = tables["configurations"]
    missing = [name for name in rows.column("configuration").to_pylist() if name not in stored]
    rows = _only(rows, "configuration", missing)
    # an order names the store it belongs to; run again, it must belong to this one
    row = desk.one("SELECT id FROM store")
    store = "" if row is None else str(row[0])
    resolved = [json.dumps(json.loads(text) | {"store": store}) for text in rows.column("resolved").to_pylist()]
    desk.insert_table("configurations", _with(rows, "resolved", resolved))


def _checked(folder: Path) -> _Manifest:
    """The manifest of a folder whose files are whole."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (FileNotFoundError, NotADirectoryError):
        if any((folder / f"{table}.parquet{end}").exists() for table in TABLES for end in ("", _PART)):
            raise _fault(
                f"{folder} is half a bundle: its {MANIFEST}, which is written last, is missing.",
                "Export it again, or copy the whole folder.",
            ) from None
        raise _fault(f"{folder} is no bundle: it has no {MANIFEST}.", "Name the folder that an export wrote.") from None
    except OSError as error:
        raise _fault(f"{folder / MANIFEST} cannot be read: {error.strerror or error}.", "Check the folder.") from error
    except msgspec.MsgspecError as error:
        raise _fault(f"{folder / MANIFEST} cannot be read: {error}.", "Export the bundle again.") from error
    if manifest.schema_version != TABLES_VERSION:
        newer = manifest.schema_version > TABLES_VERSION
        raise _fault(
            f"The bundle was written by LLM Workbench {manifest.written_by} with version {manifest.schema_version} of "
            f"the tables; this one reads version {TABLES_VERSION}.",
            "Install that version or a newer one." if newer else "Export it again with the version that runs here.",
        )
    for table in TABLES:
        path = folder / f"{table}.parquet"
        told = manifest.files.get(table)
        if told is None or not path.is_file() or _sha256(path) != told.sha256:
            raise _fault(f"{path.name} of the bundle is missing or not as it was written.", "Copy the bundle again.")
    return manifest


def _read(desk: Desk, folder: Path, table: str) -> pyarrow.Table:
    try:
        rows = pyarrow.parquet.read_table(folder / f"{table}.parquet")
    except pyarrow.ArrowException as error:
        raise _fault(f"{table}.parquet of the bundle cannot be read: {error}.", "Export the bundle again.") from error
    columns = {str(row[0]) for row in desk.all(f"SELECT column_name FROM (DESCRIBE {table})")}
    if set(rows.column_names) != columns:
        raise _fault(f"{table}.parquet has other columns than this version's table.", "Use the version that wrote it.")
    return rows


def _only(rows: pyarrow.Table, column: str, wanted: list[str]) -> pyarrow.Table:
    keep: Any = pyarrow.compute.is_in(rows.column(column), value_set=pyarrow.array(wanted, type=pyarrow.string()))
    return rows.filter(keep)


def _with(rows: pyarrow.Table, column: str, values: list[Any]) -> pyarrow.Table:
    place = rows.column_names.index(column)
    return rows.set_column(place, column, pyarrow.array(values, type=rows.schema.field(column).type))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(message: str, advice: str) -> StoreError:
    return StoreError(f"{message} Nothing was changed.", advice, code="bundle")
