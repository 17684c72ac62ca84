"""Operations that change rows, but for taking records in: experiments, trials, metrics, deletion. Each runs in the
owner, in a transaction of its own, and done twice is the same as done once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engines.protocol.orders import TrialOrder
from workbench.store import faults
from workbench.store.operations import (
    AddExperiment,
    AddTrials,
    DeleteTrials,
    MarkLost,
    Rename,
    SetAdvice,
    SetBaseline,
    SetMetrics,
    SetNote,
)
from workbench.store.rows import Transaction, now

_TABLES_OF_TRIALS = (
    "records", "phases", "requests", "tokens", "samples", "metrics", "verdicts", "logs", "artifacts", "trials",
)  # fmt: skip
_OF_ONE_TRIAL = ("trial", "block", "position", "seed", "environment", "resume", "after")


def add_experiment(db: Transaction, operation: AddExperiment) -> str:
    if db.one("SELECT 1 FROM experiments WHERE experiment = ?", operation.experiment) is None:
        add_experiment_row(
            db, operation.experiment, operation.name, operation.definition, operation.seed, operation.baseline
        )
        add_configurations(db, operation.experiment, operation.orders)
        insert_trials(db, operation.experiment, operation.orders)
    return operation.experiment


def add_trials(db: Transaction, operation: AddTrials) -> None:
    for experiment in dict.fromkeys(order.experiment for order in operation.orders):
        _must_exist(db, experiment)
        orders = [order for order in operation.orders if order.experiment == experiment]
        add_configurations(db, experiment, orders)
        insert_trials(db, experiment, orders)


def add_experiment_row(
    db: Transaction, experiment: str, name: str, definition: str, seed: int, baseline: str | None = None
) -> None:
    db.run(
        "INSERT INTO experiments (experiment, number, name, definition, seed, baseline, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        experiment,
        next_numbers(db, "experiments", 1)[0],
        name,
        definition,
        seed,
        baseline,
        now(),
    )


def add_configurations(db: Transaction, experiment: str, orders: Sequence[TrialOrder]) -> None:
    """Rows of the orders' configurations that the experiment does not have yet, in order of first appearance."""
    stored = db.all("SELECT configuration, position FROM configurations WHERE experiment = ?", experiment)
    known = {str(name) for name, _ in stored}
    first = {order.configuration: order for order in reversed(orders) if order.configuration not in known}
    # palette order is the experiment's order of its cells; running order is shuffled
    new = sorted(first.values(), key=lambda order: (order.color, order.position))
    start = 1 + max((int(str(position)) for _, position in stored), default=-1)
    db.insert(
        "configurations",
        {
            "configuration": [order.configuration for order in new],
            "experiment": [experiment] * len(new),
            "title": [order.title for order in new],
            "color": [order.color for order in new],
            "position": list(range(start, start + len(new))),
            "model": [order.model.title for order in new],
            "techniques": [_json(order.techniques) for order in new],
            "resolved": [_resolved(order) for order in new],
        },
    )


def insert_trials(db: Transaction, experiment: str, orders: Sequence[TrialOrder]) -> None:
    """Rows of the orders' trials, waiting; those stored or deleted before are left alone."""
    asked = [order.trial for order in orders]
    known = {
        str(row[0])
        for row in db.all(
            "SELECT trial FROM trials WHERE trial IN (SELECT unnest(?::VARCHAR[])) "
            "UNION ALL SELECT trial FROM tombstones WHERE trial IN (SELECT unnest(?::VARCHAR[]))",
            asked,
            asked,
        )
    }
    new = [order for order in orders if order.trial not in known]
    count = len(new)
    db.insert(
        "trials",
        {
            "trial": [order.trial for order in new],
            "number": next_numbers(db, "trials", count),
            "experiment": [experiment] * count,
            "configuration": [order.configuration for order in new],
            "title": [order.title for order in new],
            "block": [order.block for order in new],
            "position": [order.position for order in new],
            "seed": [order.seed for order in new],
            "machine": [order.machine for order in new],
            "device": [order.device for order in new],
            "state": ["waiting"] * count,
            "last_seq": [0] * count,
            "submitted_at": [now()] * count,
        },
    )


def set_metrics(db: Transaction, operation: SetMetrics) -> None:
    if db.one("SELECT 1 FROM trials WHERE trial = ?", operation.trial) is None:
        raise faults.not_found("trial", operation.trial)
    own = [msgspec.structs.replace(row, trial=operation.trial) for row in operation.metrics]
    db.insert_structs("metrics", own, replace=True)
    db.run("DELETE FROM verdicts WHERE trial = ?", operation.trial)
    db.insert_structs("verdicts", [msgspec.structs.replace(row, trial=operation.trial) for row in operation.reasons])
    db.run("UPDATE trials SET verdict = ? WHERE trial = ?", operation.verdict, operation.trial)


def set_baseline(db: Transaction, operation: SetBaseline) -> None:
    _must_exist(db, operation.experiment)
    db.run("UPDATE experiments SET baseline = ? WHERE experiment = ?", operation.configuration, operation.experiment)


def rename(db: Transaction, operation: Rename) -> None:
    _must_exist(db, operation.experiment)
    db.run("UPDATE experiments SET name = ? WHERE experiment = ?", operation.name, operation.experiment)


def set_note(db: Transaction, operation: SetNote) -> None:
    _must_exist(db, operation.experiment)
    db.run("UPDATE experiments SET note = ? WHERE experiment = ?", operation.note, operation.experiment)


def mark_lost(db: Transaction, operation: MarkLost) -> None:
    db.run(
        "UPDATE trials SET state = 'ended', outcome = 'lost', failure = 'unknown_to_runner', message = ?, "
        "advice = 'What was stored before is kept. Run the trial again if you need it.', ended_at = ? "
        "WHERE trial = ? AND state <> 'ended'",
        operation.message,
        now(),
        operation.trial,
    )


def delete_trials(db: Transaction, operation: DeleteTrials) -> tuple[str, ...]:
    rows = db.all(
        "SELECT trial FROM trials WHERE trial IN (SELECT unnest(?::VARCHAR[])) OR (? <> '' AND experiment = ?) "
        "ORDER BY number",
        list(operation.trials),
        operation.experiment,
        operation.experiment,
    )
    doomed = [str(row[0]) for row in rows]
    for table in _TABLES_OF_TRIALS:
        db.run(f"DELETE FROM {table} WHERE trial IN (SELECT unnest(?::VARCHAR[]))", doomed)
    db.run("DELETE FROM tags WHERE subject IN (SELECT unnest(?::VARCHAR[]))", [*doomed, operation.experiment])
    drop_unused_environments(db)
    db.insert("tombstones", {"trial": doomed, "deleted_at": [now()] * len(doomed)}, replace=True)
    if operation.experiment:
        for table in ("artifacts", "configurations", "experiments"):
            db.run(f"DELETE FROM {table} WHERE experiment = ?", operation.experiment)
    return tuple(doomed)


def drop_unused_environments(db: Transaction) -> None:
    db.run(
        "DELETE FROM environments WHERE environment NOT IN "
        "(SELECT environment FROM trials WHERE environment IS NOT NULL)"
    )


def _must_exist(db: Transaction, experiment: str) -> None:
    if db.one("SELECT 1 FROM experiments WHERE experiment = ?", experiment) is None:
        raise faults.not_found("experiment", experiment)


def next_numbers(db: Transaction, name: str, count: int) -> list[int]:
    """The next `count` numbers of a counter, never given out before."""
    row = db.one("SELECT last FROM counters WHERE name = ?", name)
    last = 0 if row is None else int(str(row[0]))
    if row is None:
        db.run("INSERT INTO counters VALUES (?, ?)", name, last + count)
    else:
        db.run("UPDATE counters SET last = ? WHERE name = ?", last + count, name)
    return list(range(last + 1, last + count + 1))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _resolved(order: TrialOrder) -> str:
    whole: dict[str, object] = msgspec.to_builtins(order)
    return _json({key: value for key, value in whole.items() if key not in _OF_ONE_TRIAL})


def set_advice(db: Transaction, operation: SetAdvice) -> None:
    db.run("UPDATE trials SET advice = ? WHERE trial = ?", operation.advice, operation.trial)
