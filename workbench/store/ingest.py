"""Taking a trial's spool lines in: numbered, so that twice is the same as once; a gap is filled with `LostRecord`s.

Runs in the owner, each batch in one transaction: rows and the trial's `last_seq` are written together or not at all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from engines.protocol.codec import decoded
from engines.protocol.orders import TrialOrder
from engines.protocol.records import TrialEnded, TrialStarted
from workbench.store import faults
from workbench.store.operations import Ingest, Ingested, StoreError
from workbench.store.renewed_hashes import renewed
from workbench.store.rows import Transaction, now, wall_time
from workbench.store.unpack import Unpacked, unpack
from workbench.store.writing import add_configurations, add_experiment_row, drop_unused_environments, insert_trials

_started_decoder = msgspec.json.Decoder(TrialStarted)


@dataclass(frozen=True)
class _Stored:
    last_seq: int
    state: str
    outcome: str | None
    environment: str | None


def ingest(db: Transaction, operation: Ingest) -> Ingested:
    if db.one("SELECT 1 FROM tombstones WHERE trial = ?", operation.trial) is not None:
        return Ingested(last_seq=0, new_records=0, buried=True)
    stored = _stored(db, operation.trial)
    if stored is None:
        if operation.order is None:
            raise faults.not_found("trial", operation.trial)
        _adopt(db, renewed(operation.order))
        stored = _Stored(0, "waiting", None, None)
    if _has_end(db, operation.trial, stored):  # whatever a runner says later is no part of the trial
        return Ingested(last_seq=stored.last_seq, new_records=0, ended=True)
    batch = unpack(operation.trial, operation.lines, stored.last_seq)
    if batch.count:
        for table, columns in batch.tables().items():
            db.insert(table, columns)
        _update_trial(db, batch, stored)
    return Ingested(last_seq=batch.last_seq, new_records=batch.count, ended=batch.ended is not None)


def _stored(db: Transaction, trial: str) -> _Stored | None:
    rows = db.all("SELECT last_seq, state, outcome, environment FROM trials WHERE trial = ?", trial)
    return _Stored(*rows[0]) if rows else None  # type: ignore[arg-type]


def _has_end(db: Transaction, trial: str, stored: _Stored) -> bool:
    """Whether the trial's own last record is stored; one marked lost has ended without it."""
    if stored.state != "ended":
        return False
    return db.one("SELECT 1 FROM records WHERE trial = ? AND kind = 'trial_ended' LIMIT 1", trial) is not None


def _adopt(db: Transaction, order: TrialOrder) -> None:
    """Make the rows of a trial whose experiment was lost (a database restored from an old copy)."""
    row = db.one("SELECT id FROM store")
    if row is not None and order.store != row[0]:
        raise StoreError(
            f"Trial {order.trial} belongs to another database. It was not stored.",
            "Its spool is kept; open the database it was started from.",
            code="foreign",
        )
    if db.one("SELECT 1 FROM experiments WHERE experiment = ?", order.experiment) is None:
        add_experiment_row(db, order.experiment, order.experiment_title, definition="", seed=order.seed)
    add_configurations(db, order.experiment, (order,))
    insert_trials(db, order.experiment, (order,))


def _update_trial(db: Transaction, batch: Unpacked, stored: _Stored) -> None:
    changes: dict[str, object] = {"last_seq": batch.last_seq}
    if stored.state != "ended" or stored.outcome == "lost":
        changes |= _progress(db, batch, stored)
    if batch.facts:
        changes["environment"] = _merge_environment(db, batch.facts, stored.environment)
    assignments = ", ".join(f"{column} = ?" for column in changes)
    db.run(f"UPDATE trials SET {assignments} WHERE trial = ?", *changes.values(), batch.trial)
    if batch.facts and stored.environment is not None:
        drop_unused_environments(db)


def _progress(db: Transaction, batch: Unpacked, stored: _Stored) -> dict[str, object]:
    changes: dict[str, object] = {}
    if batch.started is not None:
        changes |= {"state": "running", "started_at": wall_time(batch.started.clock.wall_ns)}
    if stored.outcome == "lost":  # the runner has it after all
        nothing = ("outcome", "failure", "message", "advice", "ended_at")
        changes |= {"state": "running"} | dict.fromkeys(nothing)
    if batch.ended is not None:
        ended = batch.ended
        changes |= {
            "state": "ended",
            "outcome": ended.outcome,
            "failure": ended.failure,
            "message": ended.message,
            "advice": ended.advice,
            "ended_at": wall_time(ended.clock.wall_ns) or now(),
            "duration_s": _duration(batch.started or _stored_start(db, batch.trial), ended),
        }
    return changes


def _stored_start(db: Transaction, trial: str) -> TrialStarted | None:
    row = db.one(
        "SELECT record FROM records WHERE trial = ? AND kind = 'trial_started' ORDER BY seq DESC LIMIT 1", trial
    )
    try:
        return None if row is None else decoded(_started_decoder, str(row[0]).encode())
    except msgspec.MsgspecError:
        return None


def _duration(started: TrialStarted | None, ended: TrialEnded) -> float | None:
    """Seconds from start to end; None where the trial never started or the machine was started again in between."""
    if started is None:
        return None
    elapsed = ended.clock.mono_ns - started.clock.mono_ns
    return elapsed / 1e9 if elapsed >= 0 else None


def _merge_environment(db: Transaction, facts: dict[str, str], stored: str | None) -> str:
    """Store what runner and worker said together, once for all trials that share it. -> its key"""
    row = db.one("SELECT facts FROM environments WHERE environment = ?", stored) if stored else None
    known = msgspec.json.decode(str(row[0]), type=dict[str, str]) if row else {}
    text = msgspec.json.encode(dict(sorted((known | facts).items())))
    key = hashlib.sha256(text).hexdigest()[:32]
    db.run("INSERT INTO environments VALUES (?, ?) ON CONFLICT DO NOTHING", key, text.decode())
    return key
