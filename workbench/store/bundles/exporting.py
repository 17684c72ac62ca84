"""An experiment as a folder of Parquet files, one a table, with a manifest. Runs in the owner.

What is written is what the store holds, records included, so that every figure can be recomputed from the folder with
any tool that reads Parquet. The manifest is written last and names every file's rows and hash: a folder without it is
not a bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import msgspec
import pyarrow.parquet

from engines.protocol.file_errors import what_happened, what_to_do
from workbench.store import reading
from workbench.store.operations import (
    Bundled,
    ExperimentRow,
    ExportBundle,
    GetExperiment,
    StoreError,
)
from workbench.store.rows import Transaction
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
PART = ".part"


class File(msgspec.Struct, frozen=True):
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    schema_version: int
    experiment: str
    written_by: str
    files: dict[str, File]


def export_bundle(db: Transaction, operation: ExportBundle) -> Bundled:
    """Only trials that have ended. A folder with anything in it but an older bundle is refused; that one is replaced
    once the new one is written whole."""
    experiment = reading.experiment(db, GetExperiment(experiment=operation.experiment)).experiment
    folder = Path(operation.folder)
    try:
        return _export(db, experiment, folder)
    except OSError as error:
        _clear_parts(folder)
        raise StoreError(
            f"The bundle could not be written. {what_happened(error, folder)} The database was not touched.",
            f"{what_to_do(error, folder)} Or choose another folder.",
            code="bundle",
        ) from error


def _export(db: Transaction, experiment: ExperimentRow, folder: Path) -> Bundled:
    if db.one("SELECT 1 FROM trials WHERE experiment = ? AND state = 'ended'", experiment.experiment) is None:
        raise fault(f"No trial of {experiment.name} has ended yet: there is nothing to write.", "Wait for one.")
    folder.mkdir(parents=True, exist_ok=True)
    _clear_parts(folder)
    strangers = {p.name for p in folder.iterdir()} - {MANIFEST, *(f"{t}.parquet" for t in TABLES)}
    if strangers:
        raise fault(
            f"The folder {folder} holds something else already ({sorted(strangers)[0]}).", "Choose another one."
        )
    files = {}
    for table in TABLES:
        path = folder / f"{table}.parquet{PART}"
        reader = db.connection.execute(
            f"SELECT * FROM {table} WHERE {_ROWS[table]} ORDER BY rowid", [experiment.experiment]
        ).to_arrow_reader(_BATCH_ROWS)
        rows = 0
        # opened here: pyarrow takes no name that is not UTF-8
        with path.open("wb") as file, pyarrow.parquet.ParquetWriter(file, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        files[table] = File(rows, file_hash(path))
    manifest = Manifest(TABLES_VERSION, experiment.experiment, version(), files)
    last = folder / f"{MANIFEST}{PART}"
    last.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    # what takes space is done: from here on there are only renames, the manifest's last
    (folder / MANIFEST).unlink(missing_ok=True)
    for table in TABLES:
        (folder / f"{table}.parquet{PART}").replace(folder / f"{table}.parquet")
    last.replace(folder / MANIFEST)
    trials = files["trials"].rows
    return Bundled(experiment=experiment.experiment, trials=trials, left_out=experiment.trials - trials)


def _clear_parts(folder: Path) -> None:
    """What an export that did not come to its end has left."""
    for name in (*(f"{t}.parquet" for t in TABLES), MANIFEST):
        with contextlib.suppress(OSError):
            (folder / f"{name}{PART}").unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fault(message: str, advice: str) -> StoreError:
    return StoreError(f"{message} Nothing was changed.", advice, code="bundle")
