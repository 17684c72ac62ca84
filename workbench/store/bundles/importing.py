"""A bundle taken in: a folder that `workbench.store.bundles.exporting` wrote, whole or not at all. Runs in the owner.

Only what was said is believed: records, with the readings and stamps that belong to them, what was imported beside
them, and what was asked for. They go the way that lines from a runner go, so that phases, requests, environments and
how a trial ended come from its records; figures and verdicts are made again by whoever asked for the import.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow
import pyarrow.compute

from engines.protocol.codec import decoded, order_of
from engines.protocol.orders import TrialOrder, is_safe_name
from workbench.store import recording
from workbench.store.bundles.exporting import MANIFEST, PART, TABLES, TABLES_VERSION, Manifest, fault, file_hash
from workbench.store.bundles.unpacking import Room, unpacked
from workbench.store.ingest import ingest
from workbench.store.operations import Bundled, ImportBundle, Ingest, ReadRecords, StoreError
from workbench.store.renewed_hashes import renewed_rows
from workbench.store.rows import Transaction
from workbench.store.writing import next_numbers

_SAID = ("records", "samples", "tokens")
_ASKED = (
    "trial",
    "experiment",
    "configuration",
    "title",
    "block",
    "position",
    "seed",
    "machine",
    "device",
    "submitted_at",
)
_LOST = ("failure", "message", "advice", "ended_at")
_PAGE = 5_000
_LONGEST_MANIFEST = 1 << 20
_manifest_decoder = msgspec.json.Decoder(Manifest)


def import_bundle(db: Transaction, operation: ImportBundle) -> Bundled:
    """Trials that the store has already are left alone: twice is once. A deleted trial comes back, for that is what
    was asked. Numbers are given out anew."""
    folder = Path(operation.folder)
    manifest = _manifest(folder)
    with Room() as room:
        tables = {table: unpacked(db, folder, table, room) for table in TABLES}
    _check(manifest.experiment, tables)
    _renew(tables)
    try:
        return _take_in(db, manifest.experiment, tables)
    except (duckdb.IntegrityError, duckdb.DataError) as error:
        raise _contradiction(f"{str(error).partition(chr(10))[0].rstrip('.')}.") from error


def _renew(tables: dict[str, pyarrow.Table]) -> None:
    """Names of configurations by today's rules, in a bundle of an earlier version."""
    rows = tables["configurations"].to_pylist()
    changed = renewed_rows((row["experiment"], row["configuration"], row["resolved"]) for row in rows)
    if not changed:
        return
    names = {old: new for (_, old), (new, _) in changed.items()}
    resolved = [changed.get((r["experiment"], r["configuration"]), ("", r["resolved"]))[1] for r in rows]
    tables["configurations"] = _with(tables["configurations"], "resolved", resolved)
    for table, column in (
        ("configurations", "configuration"),
        ("trials", "configuration"),
        ("experiments", "baseline"),
    ):
        new = [names.get(name, name) for name in tables[table].column(column).to_pylist()]
        tables[table] = _with(tables[table], column, new)


def _take_in(db: Transaction, experiment: str, tables: dict[str, pyarrow.Table]) -> Bundled:
    _add_experiment(db, experiment, tables)
    known = {str(row[0]) for row in db.all("SELECT trial FROM trials")}
    trials = tables["trials"].to_pylist()
    new = [row["trial"] for row in trials if row["trial"] not in known]
    rows = _only(tables["trials"], "trial", new).select(_ASKED)
    rows = rows.append_column("number", pyarrow.array(next_numbers(db, "trials", len(new)), type=pyarrow.int32()))
    rows = rows.append_column("state", pyarrow.array(["waiting"] * len(new)))
    db.insert_table("trials", rows)
    db.run("DELETE FROM tombstones WHERE trial IN (SELECT unnest(?::VARCHAR[]))", new)
    for table in _SAID:
        db.insert_table(table, _only(tables[table], "trial", new))
    for row in trials:
        if row["trial"] in new:
            _say_again(db, row)
    for table in ("samples", "artifacts"):  # what was imported beside the records
        beside = _only(tables[table], "trial", new)
        db.insert_table(table, _only(beside, "seq", [0]) if table == "samples" else beside)
    db.insert_table("tags", _only(tables["tags"], "subject", [experiment, *new]), replace=True)
    return Bundled(experiment=experiment, trials=len(new), left_out=len(trials) - len(new))


def _say_again(db: Transaction, row: dict[str, Any]) -> None:
    """Take a trial's records in as lines, in the place of the rows that they were put together from."""
    trial = row["trial"]
    lines: list[str] = []
    after = 0
    while page := recording.numbered_records(db, ReadRecords(trial=trial, after=after, limit=_PAGE)):
        lines += [line for _, line in page]
        after = page[-1][0]
    for table in _SAID:
        db.run(f"DELETE FROM {table} WHERE trial = ?", trial)
    if ingest(db, Ingest(trial=trial, lines=tuple(lines))).ended:
        return
    if row["outcome"] != "lost":
        raise _contradiction(f"The records of trial {trial} have no end.")
    # what the store said of it: the trial never came to say how it ended
    changes = ", ".join(f"{column} = ?" for column in _LOST)
    db.run(
        f"UPDATE trials SET state = 'ended', outcome = 'lost', {changes} WHERE trial = ?",
        *(row[column] for column in _LOST),
        trial,
    )


def _add_experiment(db: Transaction, experiment: str, tables: dict[str, pyarrow.Table]) -> None:
    if db.one("SELECT 1 FROM experiments WHERE experiment = ?", experiment) is None:
        rows = tables["experiments"]
        db.insert_table("experiments", _with(rows, "number", next_numbers(db, "experiments", rows.num_rows)))
    own = db.all("SELECT configuration FROM configurations WHERE experiment = ?", experiment)
    stored = {str(row[0]) for row in own}
    rows = tables["configurations"]
    missing = [name for name in rows.column("configuration").to_pylist() if name not in stored]
    rows = _only(rows, "configuration", missing)
    # an order names the store it belongs to; run again, it must belong to this one
    row = db.one("SELECT id FROM store")
    store = "" if row is None else str(row[0])
    resolved = [json.dumps(json.loads(text) | {"store": store}) for text in rows.column("resolved").to_pylist()]
    db.insert_table("configurations", _with(rows, "resolved", resolved))


# --- whether it is a bundle, and whole --------------------------------------------------------------


def _manifest(folder: Path) -> Manifest:
    """The manifest of a folder whose files are as they were written."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            manifest = decoded(_manifest_decoder, file.read(_LONGEST_MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        if any((folder / f"{table}.parquet{end}").exists() for table in TABLES for end in ("", PART)):
            raise fault(
                f"{folder} is half a bundle: its {MANIFEST}, which is written last, is missing.",
                "Export it again, or copy the whole folder.",
            ) from None
        raise fault(f"{folder} is no bundle: it has no {MANIFEST}.", "Name the folder that an export wrote.") from None
    except OSError as error:
        raise fault(f"{folder / MANIFEST} cannot be read: {error.strerror or error}.", "Check the folder.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise fault(f"{folder / MANIFEST} cannot be read: {error}.", "Export the bundle again.") from error
    if manifest.schema_version != TABLES_VERSION:
        newer = manifest.schema_version > TABLES_VERSION
        raise fault(
            f"The bundle was written by LLM Workbench {manifest.written_by} with version {manifest.schema_version} of "
            f"the tables; this one reads version {TABLES_VERSION}.",
            "Install that version or a newer one." if newer else "Export it again with the version that runs here.",
        )
    for table in TABLES:
        path = folder / f"{table}.parquet"
        listed = manifest.files.get(table)
        if listed is None or not path.is_file() or _hash(path) != listed.sha256:
            raise fault(f"{path.name} of the bundle is missing or not as it was written.", "Copy the bundle again.")
    return manifest


def _hash(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError as error:
        raise fault(f"{path} cannot be read: {error.strerror or error}.", "Check the folder.") from error


def _check(experiment: str, tables: dict[str, pyarrow.Table]) -> None:
    """What the tables say of each other. Raises `StoreError`."""
    if tables["experiments"].column("experiment").to_pylist() != [experiment]:
        raise _contradiction("It has no row of its experiment, or more than one.")
    known = tables["configurations"].column("configuration").to_pylist()
    for row in tables["configurations"].to_pylist():
        try:
            json.loads(row["techniques"])
            order = _order(row["resolved"])
        except (ValueError, TypeError, RecursionError) as error:
            raise _contradiction(f"What configuration {row['configuration']} ran is not readable: {error}.") from error
        if (order.experiment, order.configuration, row["experiment"]) != (experiment, row["configuration"], experiment):
            raise _contradiction(f"Configuration {row['configuration']} is of another experiment.")
    for row in tables["trials"].to_pylist():
        if not is_safe_name(row["trial"]):
            raise _contradiction(f"{row['trial']!r} cannot be a trial's name.")
        if row["state"] != "ended":
            raise _contradiction(f"Trial {row['trial']} has not ended.")
        if row["experiment"] != experiment or row["configuration"] not in known:
            raise _contradiction(f"Trial {row['trial']} is of another experiment.")


def _order(resolved: str) -> TrialOrder:
    """Raises ValueError (of JSON, of msgspec), TypeError."""
    return order_of(json.loads(resolved) | {"trial": "", "block": 0, "position": 0, "seed": 0})


def _contradiction(what: str) -> StoreError:
    return fault(f"The tables of the bundle do not fit together. {what}", "Export the bundle again.")


def _only(rows: pyarrow.Table, column: str, wanted: list[Any]) -> pyarrow.Table:
    kind = rows.schema.field(column).type
    keep: Any = pyarrow.compute.is_in(rows.column(column), value_set=pyarrow.array(wanted, type=kind))
    return rows.filter(keep)


def _with(rows: pyarrow.Table, column: str, values: list[Any]) -> pyarrow.Table:
    place = rows.column_names.index(column)
    return rows.set_column(place, column, pyarrow.array(values, type=rows.schema.field(column).type))
