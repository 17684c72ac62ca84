"""Reading a trial's records back as the lines they came in. Runs in the owner, read-only."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engines.protocol.codec import encode_record
from engines.protocol.records import Stamps, Telemetry
from workbench.store import faults
from workbench.store.operations import ReadKinds, ReadRecords, SaidRow
from workbench.store.reading import find_experiment
from workbench.store.rows import Transaction

_PACKED = "trial = ? AND seq BETWEEN ? AND ?"


def read_records(db: Transaction, operation: ReadRecords) -> tuple[str, ...]:
    if db.one("SELECT 1 FROM trials WHERE trial = ?", operation.trial) is None:
        raise faults.not_found("trial", operation.trial)
    return tuple(line for _, line in numbered_records(db, operation))


def numbered_records(db: Transaction, operation: ReadRecords) -> list[tuple[int, str]]:
    """As `read_records`, with their numbers; "" where the rows that a record was unpacked into are not there."""
    rows = db.all(
        "SELECT seq, kind, t_ns, record FROM records WHERE trial = ? AND seq > ? ORDER BY seq LIMIT ?",
        operation.trial,
        operation.after,
        operation.limit,
    )
    packed = {int(str(seq)): int(str(t_ns)) for seq, _, t_ns, text in rows if text == ""}
    together = dict(_telemetry(db, operation.trial, packed)) | dict(_stamps(db, operation.trial, packed))
    return [(int(str(seq)), str(text) or together.get(int(str(seq)), "")) for seq, _, _, text in rows]


def read_kinds(db: Transaction, operation: ReadKinds) -> tuple[SaidRow, ...]:
    found = find_experiment(db, operation.experiment)
    return db.structs(
        SaidRow,
        "SELECT t.trial, t.configuration, t.block, r.record AS line FROM records r JOIN trials t USING (trial) "
        "WHERE t.experiment = ? AND r.record <> '' AND r.kind IN (SELECT unnest(?::VARCHAR[])) "
        "ORDER BY t.block, t.number, r.seq",
        found.experiment,
        list(operation.kinds),
    )


def _telemetry(db: Transaction, trial: str, packed: dict[int, int]) -> Iterator[tuple[int, str]]:
    """Lines of the packed telemetry records by number. Rows keep the order in which they were written."""
    if not packed:
        return
    rows = db.all(
        "SELECT seq, source, quantity, list(t_ns ORDER BY rowid), list(value ORDER BY rowid) FROM samples "
        f"WHERE {_PACKED} GROUP BY seq, source, quantity ORDER BY seq, min(rowid)",
        trial,
        min(packed),
        max(packed),
    )
    records: dict[int, Telemetry] = {}
    for row in rows:
        seq, source, quantity, times, values = msgspec.convert(row, tuple[int, str, str, list[int], list[float | None]])
        if seq in packed:
            empty = Telemetry(seq=seq, t_ns=packed[seq], source=source, times_ns=times, columns={})
            records.setdefault(seq, empty).columns[quantity] = values
    for seq, record in records.items():
        yield seq, encode_record(record).decode()


def _stamps(db: Transaction, trial: str, packed: dict[int, int]) -> Iterator[tuple[int, str]]:
    if not packed:
        return
    rows = db.all(
        f"SELECT seq, min(stamp), list(t_ns ORDER BY stamp) FROM tokens WHERE {_PACKED} GROUP BY seq",
        trial,
        min(packed),
        max(packed),
    )
    for row in rows:
        seq, first, times = msgspec.convert(row, tuple[int, int, list[int]])
        if seq in packed:
            yield seq, encode_record(Stamps(seq=seq, t_ns=packed[seq], first=first, times_ns=times)).decode()
