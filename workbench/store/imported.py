"""Samples that no trial said: read by another instrument and imported afterwards. They have record number 0.

Runs in the owner. The file they came from is kept in `artifacts`, by name and hash.
"""

from __future__ import annotations

import msgspec

from engines.protocol.codec import encode_record
from engines.protocol.records import Telemetry
from workbench.store import faults
from workbench.store.operations import AddSamples, ReadImported, StoreError
from workbench.store.rows import Transaction, now


def add_samples(db: Transaction, operation: AddSamples) -> int:
    if db.one("SELECT 1 FROM trials WHERE trial = ?", operation.trial) is None:
        raise faults.not_found("trial", operation.trial)
    count = len(operation.times_ns)
    if count != len(operation.values):
        raise StoreError("Times and values are not equally many. Nothing was stored.", code="samples")
    if db.one("SELECT 1 FROM samples WHERE trial = ? AND source = ? AND seq > 0", operation.trial, operation.source):
        raise StoreError(
            f"The trial has readings of its own named {operation.source}. Nothing was stored.",
            "Import under another name.",
            code="samples",
        )
    db.run("DELETE FROM samples WHERE trial = ? AND source = ? AND seq = 0", operation.trial, operation.source)
    db.insert(
        "samples",
        {
            "trial": [operation.trial] * count,
            "seq": [0] * count,
            "source": [operation.source] * count,
            "quantity": [operation.quantity] * count,
            "t_ns": list(operation.times_ns),
            "value": list(operation.values),
        },
    )
    if operation.file:
        db.insert(
            "artifacts",
            {
                "artifact": [f"{operation.trial}:{operation.source}"],
                "trial": [operation.trial],
                "kind": [operation.source],
                "path": [operation.file],
                "sha256": [operation.sha256],
                "created_at": [now()],
            },
            replace=True,
        )
    return count


def read_imported(db: Transaction, operation: ReadImported) -> tuple[str, ...]:
    rows = db.all(
        "SELECT source, quantity, list(t_ns ORDER BY t_ns), list(value ORDER BY t_ns) FROM samples "
        "WHERE trial = ? AND seq = 0 GROUP BY source, quantity ORDER BY source, quantity",
        operation.trial,
    )
    lines = []
    for row in rows:
        source, quantity, times, values = msgspec.convert(row, tuple[str, str, list[int], list[float | None]])
        record = Telemetry(t_ns=times[-1], source=source, times_ns=times, columns={quantity: values})
        lines.append(encode_record(record).decode())
    return tuple(lines)
