"""A damaged database made whole again, as far as it can be: what is readable goes into a new file, what is not comes
from spools and from the copies that migrations made. The damaged file is kept beside it under another name.

    done = salvage(database, places.spools)

Runs in the process that would own the file, on any thread; nobody may have it open. The damaged file and the copies are
opened read-only. Figures of repaired trials are made again by whoever opens the new file next.

What is lost of a trial that was stored has stand-ins (`LostRecord`) in its place, so that the trial becomes invalid
rather than wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import msgspec
import pyarrow

from engines.protocol.codec import decode_order, encode_record, order_of
from engines.protocol.orders import TrialOrder
from engines.protocol.private import sync_folder
from engines.protocol.records import LostRecord
from engines.protocol.sound_lines import SoundLines
from workbench.store import faults
from workbench.store.ingest import ingest
from workbench.store.local import LocalStore
from workbench.store.opening import check_length, connect, log_of
from workbench.store.operations import Ingest, ReadRecords, StoreError
from workbench.store.recording import numbered_records
from workbench.store.rows import Transaction
from workbench.store.sharing import lockfile
from workbench.store.writing import add_experiment_row

SPOOLS = "spools"
Report = Callable[[float | None, str], None]
"""Called with the share done, None where that is not known, and what is being done."""

_NAMED = (  # by their own keys; those first that others refer to
    "counters", "experiments", "configurations", "trials", "environments", "metrics", "artifacts", "selfchecks", "tags",
    "tombstones",
)  # fmt: skip
_OF_TRIALS = ("records", "tokens", "samples", "phases", "requests", "logs", "verdicts")
_SAID = ("records", "tokens", "samples", "phases", "requests", "logs")
_MADE_FROM_RECORDS = ("phases", "requests", "logs", "environments")
_ROWS_AT_ONCE = (122_880, 6_144)
"""Rows of a part of a table: first as DuckDB groups them, then smaller where a part cannot be read."""
_PAGE = 5_000
_BROKEN_ENTRY = re.compile(r"Corrupt WAL file: entry at byte position (\d+)")


@dataclass(frozen=True)
class Salvaged:
    """What became of a damaged database."""

    database: Path
    """The new file, under the old one's name."""
    kept: Path
    """The damaged one."""
    trials: int
    """In the new file."""
    found: Mapping[str, int] = field(default_factory=dict)
    """How many of them by where they come from: names of files, "spools"."""
    restored: tuple[str, ...] = ()
    """Trials that are whole because of spools or copies."""
    incomplete: tuple[str, ...] = ()
    """Trials with stand-ins for lost records: they become invalid."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Rows of the damaged file that could not be read, by table; all of a table whose size is unknown count as one."""


def salvage(database: Path, spools: Path, report: Report = lambda _share, _text: None) -> Salvaged:
    """See the module. Raises `StoreError`: "locked" where somebody has the file open, "healthy" where nothing is wrong
    with it, "disk_full"; the old file is then as it was."""
    path = database.expanduser().resolve()
    if not path.exists():
        raise faults.from_system(FileNotFoundError(2, os.strerror(2), str(path)), path)
    try:
        lock = lockfile.try_lock(path)
        if lock is None:
            raise faults.locked(path)
        try:
            with tempfile.TemporaryDirectory(prefix=f".{path.stem}-salvage-", dir=path.parent) as folder:
                return _Salvage(path, spools, Path(folder), report).run()
        finally:
            lock.release()
    except duckdb.Error as error:
        raise faults.from_duckdb(error, path) from error
    except OSError as error:
        raise faults.from_system(error, path) from error


class _Salvage:
    def __init__(self, path: Path, spools: Path, folder: Path, report: Report) -> None:
        self._path = path
        self._folder = folder
        self._report = report
        self._spools = _find_spools(spools)
        self._unread: Counter[str] = Counter()
        self._from: dict[str, str] = {}
        """The file that each trial was read from."""

    def run(self) -> Salvaged:
        damaged = _Source.opened(_copied(self._path, self._folder / "damaged.duckdb"))
        copies = [_Source.migrated(_copied(copy, self._folder / copy.name)) for copy in _backups(self._path)]
        sources = [source for source in (damaged, *copies) if source is not None]
        if damaged is None:
            self._unread |= dict.fromkeys((*_NAMED, *_OF_TRIALS), 1)
        new = self._folder / "new.duckdb"
        LocalStore(new).close()
        try:
            with closing(connect(new)) as connection:
                db = Transaction(connection, new)
                db.run("BEGIN TRANSACTION")
                self._identify(db, sources)
                for source in sources:
                    self._copy(db, source, is_damaged=source is damaged)
                if damaged is not None and not self._unread and damaged.is_whole():
                    raise StoreError(f"{self._path.name} is not damaged.", "Nothing needs repair.", code="healthy")
                self._make_consistent(db)
                restored, incomplete = self._complete(db, sources)
                adopted = self._adopt(db)
                trials = _trials_in(db)
                if damaged is None and not trials:
                    raise _nothing_found(self._path)
                db.run("COMMIT")
                db.run("CHECKPOINT")
        finally:
            for source in sources:
                source.close()
        kept = self._replace(new)
        self._from |= dict.fromkeys(adopted, SPOOLS)
        found = dict(Counter(self._from[trial] for trial in trials))
        return Salvaged(self._path, kept, len(trials), found, (*restored, *adopted), incomplete, dict(self._unread))

    def _identify(self, db: Transaction, sources: list[_Source]) -> None:
        """The new store has the old one's identity: spools and queues belong to it."""
        stores = Counter(spool.order.store for spool in self._spools.values())
        found = next((name for name in (source.store_id() for source in sources) if name), None)
        name = found or next((name for name, _ in stores.most_common(1)), None)
        if name is not None:
            db.run("UPDATE store SET id = ?", name)
        row = db.one("SELECT id FROM store")
        self._spools = {t: s for t, s in self._spools.items() if row is not None and s.order.store == row[0]}

    def _copy(self, db: Transaction, source: _Source, *, is_damaged: bool) -> None:
        """Everything that can be read and that is not there yet; of a trial, all rows come from one source."""
        name = self._path.name if is_damaged else source.path.name
        before = _trials_in(db)
        for number, table in enumerate((*_NAMED, *_OF_TRIALS)):
            self._report(number / len((*_NAMED, *_OF_TRIALS)), f"Reading {table} of {name}")
            unread = 0
            for rows in source.parts(table):
                if isinstance(rows, int):
                    unread += rows
                elif table in _NAMED:
                    _insert_new(db, table, rows)
                else:
                    keep = [trial not in before for trial in rows.column("trial").to_pylist()]
                    db.insert_table(table, rows.filter(pyarrow.array(keep)))
            if is_damaged and unread:
                self._unread[table] = unread
        self._from |= dict.fromkeys(_trials_in(db) - before, name)
        _drop_orphans(db)  # the next source may have the trials that they belong to, with all their rows

    def _make_consistent(self, db: Transaction) -> None:
        """No row without what it belongs to, and counters beyond every number given out."""
        for experiment, resolved in db.all(
            "SELECT experiment, any_value(resolved) FROM configurations c "
            "WHERE NOT EXISTS (FROM experiments e WHERE e.experiment = c.experiment) GROUP BY experiment"
        ):
            order = _order_in(str(resolved))
            if order is not None:
                add_experiment_row(db, str(experiment), order.experiment_title, definition="", seed=order.seed)
        db.run(
            "DELETE FROM trials t WHERE NOT EXISTS (FROM experiments e WHERE e.experiment = t.experiment) OR "
            "NOT EXISTS (FROM configurations c WHERE c.experiment = t.experiment AND c.configuration = t.configuration)"
        )
        _drop_orphans(db)
        for counter in ("experiments", "trials"):
            db.run(
                f"INSERT INTO counters SELECT ?, coalesce(max(number), 0) FROM {counter} "
                "ON CONFLICT DO UPDATE SET last = greatest(last, excluded.last)",
                counter,
            )

    def _complete(self, db: Transaction, sources: list[_Source]) -> tuple[list[str], tuple[str, ...]]:
        """Trials whose records have holes take them from spools and copies. -> whole again, still incomplete"""
        restored: list[str] = []
        incomplete: list[str] = []
        if self._unread:
            db.run("UPDATE trials SET verdict = NULL WHERE state = 'ended'")  # figures and reasons may be among it
        everything = any(self._unread[table] for table in _MADE_FROM_RECORDS)
        rows = db.all("SELECT trial, last_seq FROM trials ORDER BY number")
        for number, (name, last) in enumerate(rows):
            self._report(number / len(rows), f"Checking trial {name}")
            trial, last_seq = str(name), int(str(last))
            spool = self._spools[trial].lines() if trial in self._spools else {}
            lines = _lines_of(db, trial) if self._unread else {}
            holes = set(range(1, last_seq + 1)) - set(lines) if self._unread else set()
            if not holes and not everything:
                if max(spool, default=0) > last_seq:
                    ingest(db, Ingest(trial=trial, lines=tuple(spool[seq] for seq in sorted(spool))))
                    restored.append(trial)
                continue
            for source in sources[1:]:
                lines = source.lines(trial) | lines
            lines = spool | lines
            lost = holes - set(lines)
            lines |= {seq: encode_record(LostRecord(seq=seq)).decode() for seq in lost}
            _say_again(db, trial, [lines[seq] for seq in sorted(lines)])
            if holes:
                (incomplete if lost else restored).append(trial)
        return restored, tuple(incomplete)

    def _adopt(self, db: Transaction) -> list[str]:
        """Trials that only their spools still know."""
        gone = "SELECT trial FROM trials UNION ALL SELECT trial FROM tombstones"
        known = {str(row[0]) for row in db.all(gone)}
        new = [spool for trial, spool in sorted(self._spools.items()) if trial not in known]
        for spool in new:
            lines = spool.lines()
            ingest(db, Ingest(trial=spool.order.trial, lines=tuple(lines[n] for n in sorted(lines)), order=spool.order))
        return [spool.order.trial for spool in new]

    def _replace(self, new: Path) -> Path:
        """The damaged file gets a second name before the new one takes its first: at no moment is there none. Its log
        goes first, for it must not be folded into the new file."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        kept = self._path.with_name(f"{self._path.stem}.damaged-{stamp}{self._path.suffix}")
        try:
            kept.hardlink_to(self._path)
        except PermissionError:  # a file system without links
            shutil.copyfile(self._path, kept)
        if log_of(self._path).exists():
            log_of(self._path).rename(log_of(kept))
        _sync(new)
        new.replace(self._path)
        sync_folder(self._path.parent)
        return kept


# --- what is read from ------------------------------------------------------------------------------


class _Source:
    """A database opened read-only, a private copy of the file it is about."""

    def __init__(self, path: Path, *, log_is_whole: bool = True) -> None:
        self.path = path
        self._log_is_whole = log_is_whole
        self._connection = connect(path, read_only=True)

    @classmethod
    def opened(cls, path: Path) -> _Source | None:
        """The damaged file with as much of its log as is sound; None where nothing can be read."""
        for log_is_whole in (True, False, False):
            try:
                return cls(path, log_is_whole=log_is_whole)
            except OSError:
                return None
            except duckdb.Error as error:
                broken = _BROKEN_ENTRY.search(str(error))
                if broken is None:
                    log_of(path).unlink(missing_ok=True)
                else:
                    os.truncate(log_of(path), int(broken.group(1)))
        return None

    @classmethod
    def migrated(cls, path: Path) -> _Source | None:
        try:
            LocalStore(path).close()
            return cls(path)
        except (StoreError, duckdb.Error):
            return None

    def is_whole(self) -> bool:
        """Whether nothing is missing at its end, and its indexes take rows. Its rows show damage when they are read."""
        try:
            check_length(self.path, self._connection)
            self._connection.close()
            self._connection = connect(self.path)
            self._ask("BEGIN TRANSACTION")
            for table in _NAMED:
                self._ask(f"INSERT OR IGNORE INTO {table} SELECT * FROM {table}")
            self._ask("ROLLBACK")
        except (StoreError, duckdb.Error):
            return False
        return self._log_is_whole

    def close(self) -> None:
        self._connection.close()

    def store_id(self) -> str:
        try:
            row = self._connection.execute("SELECT id FROM store").fetchone()
        except duckdb.Error:
            return ""
        return "" if row is None else str(row[0])

    def parts(self, table: str) -> Iterator[pyarrow.Table | int]:
        """The rows of a table, part by part; in the place of a part that cannot be read, the number of its rows."""
        try:
            row = self._ask(f"SELECT max(rowid) FROM {table}").fetchone()
        except duckdb.Error:
            yield 1
            return
        if row is not None and row[0] is not None:
            yield from self._parts(table, 0, int(row[0]) + 1, _ROWS_AT_ONCE)

    def _parts(self, table: str, start: int, end: int, sizes: tuple[int, ...]) -> Iterator[pyarrow.Table | int]:
        for first in range(start, end, sizes[0]):
            last = min(first + sizes[0], end) - 1
            try:
                rows = self._ask(f"SELECT * FROM {table} WHERE rowid BETWEEN {first} AND {last}").to_arrow_table()
            except duckdb.Error:
                if len(sizes) > 1:
                    yield from self._parts(table, first, last + 1, sizes[1:])
                else:
                    yield last + 1 - first
                continue
            yield rows

    def _ask(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Opened again where DuckDB gave the file up. Raises `duckdb.Error`."""
        try:
            return self._connection.execute(sql)
        except duckdb.FatalException:
            self._connection.close()
            self._connection = connect(self.path, read_only=True)
            raise

    def lines(self, trial: str) -> dict[int, str]:
        try:
            return _lines_of(Transaction(self._connection, self.path), trial)
        except duckdb.Error:
            return {}


@dataclass(frozen=True)
class _Spool:
    """What a runner on this computer still keeps of a trial."""

    order: TrialOrder
    records: Path

    def lines(self) -> dict[int, str]:
        """Sound lines by number. A spool that cannot be read has none."""
        try:
            sound = SoundLines()
            pairs = sound.feed(self.records.read_bytes().split(b"\n"))
            return {seq: line.decode() for seq, line in (*pairs, *sound.settle())}
        except OSError:
            return {}


def _find_spools(folder: Path) -> dict[str, _Spool]:
    """By trial. Files as `engines.runner.spools.spool` writes them."""
    found = {}
    for path in folder.glob("*/order.json"):
        try:
            order = decode_order(path.read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
            continue
        if order.trial == path.parent.name:
            found[order.trial] = _Spool(order, path.with_name("records.jsonl"))
    return found


def _backups(path: Path) -> list[Path]:
    """Copies that migrations made, newest first."""
    found = path.parent.glob(f"{path.stem}.v*.backup.duckdb")
    return sorted(found, key=lambda copy: copy.stat().st_mtime, reverse=True)


def _copied(path: Path, to: Path) -> Path:
    """A private copy: opening the file itself, even to read, would take and drop locks on it."""
    shutil.copyfile(path, to)
    if log_of(path).exists():
        shutil.copyfile(log_of(path), log_of(to))
    return to


# --- rows -------------------------------------------------------------------------------------------


def _insert_new(db: Transaction, table: str, rows: pyarrow.Table) -> None:
    """Rows whose keys are not there yet; columns that an older version had are left out."""
    own = {str(row[0]) for row in db.all(f"SELECT column_name FROM (DESCRIBE {table})")}
    db.insert_table(table, rows.select([name for name in rows.column_names if name in own]), ignore=True)


def _trials_in(db: Transaction) -> set[str]:
    return {str(row[0]) for row in db.all("SELECT trial FROM trials")}


def _drop_orphans(db: Transaction) -> None:
    for table in (*_OF_TRIALS, "metrics"):
        db.run(f"DELETE FROM {table} WHERE trial NOT IN (SELECT trial FROM trials)")


def _lines_of(db: Transaction, trial: str) -> dict[int, str]:
    """Lines by number, those that can be put together."""
    lines: dict[int, str] = {}
    after = 0
    while page := numbered_records(db, ReadRecords(trial=trial, after=after, limit=_PAGE)):
        lines |= {seq: line for seq, line in page if line}
        after = page[-1][0]
    return lines


def _say_again(db: Transaction, trial: str, lines: Iterable[str]) -> None:
    """Take a stored trial's records in anew. How it ended stays as its row says where no record says it."""
    ended = ("state", "outcome", "failure", "message", "advice", "started_at", "ended_at", "duration_s")
    row = db.one(f"SELECT {', '.join(ended)} FROM trials WHERE trial = ?", trial)
    for table in _SAID:
        beside = " AND seq > 0" if table == "samples" else ""  # what was imported has no number
        db.run(f"DELETE FROM {table} WHERE trial = ?{beside}", trial)
    db.run(
        "UPDATE trials SET last_seq = 0, state = 'waiting', verdict = NULL, environment = NULL WHERE trial = ?", trial
    )
    if not ingest(db, Ingest(trial=trial, lines=tuple(lines))).ended and row is not None:
        changes = ", ".join(f"{name} = ?" for name in ended)
        db.run(f"UPDATE trials SET {changes} WHERE trial = ?", *row, trial)


def _order_in(resolved: str) -> TrialOrder | None:
    try:
        fields = msgspec.json.decode(resolved, type=dict[str, object])
        return order_of(fields | {"trial": "", "block": 0, "position": 0, "seed": 0})
    except msgspec.MsgspecError:
        return None


def _nothing_found(path: Path) -> StoreError:
    return StoreError(
        f"Nothing of {path.name} can be read, and no spool and no copy beside it has a trial of it. It stays.",
        "Restore a copy if you have one, or continue with a new database: --database with another name.",
        code="damaged",
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
