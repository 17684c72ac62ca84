"""Stored self-checks: what measuring costs on each machine. Runs in the owner."""

from __future__ import annotations

import msgspec

from workbench.selfcheck.result import SelfCheck
from workbench.store.operations import AddSelfCheck, ListSelfChecks
from workbench.store.rows import Transaction, now


def add(db: Transaction, operation: AddSelfCheck) -> None:
    result = operation.result
    db.insert(
        "selfchecks",
        {
            "selfcheck": [result.id],
            "machine": [result.machine],
            "created_at": [now()],
            "experiment": [result.experiment],
            "result": [msgspec.json.encode(result).decode()],
        },
        replace=True,
    )


def listed(db: Transaction, operation: ListSelfChecks) -> tuple[SelfCheck, ...]:
    rows = db.all(
        "SELECT result FROM selfchecks WHERE ? = '' OR machine = ? ORDER BY created_at DESC, selfcheck DESC LIMIT ?",
        operation.machine,
        operation.machine,
        operation.limit,
    )
    return tuple(found for row in rows if (found := _decoded(str(row[0]))) is not None)


def _decoded(text: str) -> SelfCheck | None:
    """None for one that another version of the application wrote in a form this one does not know."""
    try:
        return msgspec.json.decode(text, type=SelfCheck)
    except msgspec.MsgspecError:
        return None
