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
    SetBaseline,
    SetMetrics,
    SetNote,
)
from workbench.store.rows import Desk, now

_TABLES_OF_TRIALS = (
    "records", "phases", "requests", "tokens", "samples", "metrics", "verdicts", "logs", "artifacts", "trials",
)  # fmt: skip
_OF_ONE_TRIAL = ("trial", "block", "position", "seed", "environment")


def add_experiment(desk: Desk, operation: AddExperiment) -> str:
    if desk.one("SELECT 1 FROM experiments WHERE experiment = ?", operation.experiment) is None:
        add_experiment_row(
            desk, operation.experiment, operation.name, operation.definition, operation.seed, operation.baseline
        )
        add_configurations(desk, operation.experiment, operation.orders)
        insert_trials(desk, operation.experiment, operation.machine, operation.orders)
    return operation.experiment


def add_trials(desk: Desk, operation: AddTrials) -> None:
    for experiment in dict.fromkeys(order.experiment for order in operation.orders):
        _must_exist(desk, experiment)
        orders = [order for order in operation.orders if order.experiment == experiment]
        add_configurations(desk, experiment, orders)
        insert_trials(desk, experiment, operation.machine, orders)


def add_experiment_row(
    desk: Desk, experiment: str, name: str, definition: str, seed: int, baseline: str | None = None
) -> None:
    desk.run(
        "INSERT INTO experiments (experiment, number, name, definition, seed, baseline, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        experiment,
        next_numbers(desk, "experiments", 1)[0],
        name,
        definition,
        seed,
        baseline,
        now(),
    )


def add_configurations(desk: Desk, experiment: str, orders: Sequence[TrialOrder]) -> None:
    """Rows of the orders' configurations that the experiment does not have yet, in order of first appearance."""
    stored = desk.all("SELECT configuration, position FROM configurations WHERE experiment = ?", experiment)
    known = {str(name) for name, _ in stored}
    first = {order.configuration: order for order in reversed(orders) if order.configuration not in known}
    # palette order is the experiment's order of its cells; running order is shuffled
    new = sorted(first.values(), key=lambda order: (order.color, order.position))
    start = 1 + max((int(str(position)) for _, position in stored), default=-1)
    desk.insert(
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


def insert_trials(desk: Desk, experiment: str, machine: str, orders: Sequence[TrialOrder]) -> None:
    """Rows of the orders' trials, waiting; those stored or deleted before are left alone."""
    asked = [order.trial for order in orders]
    known = {
        str(row[0])
        for row in desk.all(
            "SELECT trial FROM trials WHERE trial IN (SELECT unnest(?::VARCHAR[])) "
            "UNION ALL SELECT trial FROM tombstones WHERE trial IN (SELECT unnest(?::VARCHAR[]))",
            asked,
            asked,
        )
    }
    new = [order for order in orders if order.trial not in known]
    count = len(new)
    desk.insert(
        "trials",
        {
            "trial": [order.trial for order in new],
            "number": next_numbers(desk, "trials", count),
            "experiment": [experiment] * count,
            "configuration": [order.configuration for order in new],
            "title": [order.title for order in new],
            "block": [order.block for order in new],
            "position": [order.position for order in new],
            "seed": [order.seed for order in new],
            "machine": [machine] * count,
            "device": [order.device for order in new],
            "state": ["waiting"] * count,
            "last_seq": [0] * count,
            "submitted_at": [now()] * count,
        },
    )


def set_metrics(desk: Desk, operation: SetMetrics) -> None:
    if desk.one("SELECT 1 FROM trials WHERE trial = ?", operation.trial) is None:
        raise faults.not_found("trial", operation.trial)
    own = [msgspec.structs.replace(row, trial=operation.trial) for row in operation.metrics]
    desk.insert_structs("metrics", own, replace=True)
    desk.run("DELETE FROM verdicts WHERE trial = ?", operation.trial)
    desk.insert_structs("verdicts", [msgspec.structs.replace(row, trial=operation.trial) for row in operation.reasons])
    desk.run("UPDATE trials SET verdict = ? WHERE trial = ?", operation.verdict, operation.trial)


def set_baseline(desk: Desk, operation: SetBaseline) -> None:
    _must_exist(desk, operation.experiment)
    desk.run("UPDATE experiments SET baseline = ? WHERE experiment = ?", operation.configuration, operation.experiment)


def rename(desk: Desk, operation: Rename) -> None:
    _must_exist(desk, operation.experiment)
    desk.run("UPDATE experiments SET name = ? WHERE experiment = ?", operation.name, operation.experiment)


def set_note(desk: Desk, operation: SetNote) -> None:
    _must_exist(desk, operation.experiment)
    desk.run("UPDATE experiments SET note = ? WHERE experiment = ?", operation.note, operation.experiment)


def mark_lost(desk: Desk, operation: MarkLost) -> None:
    desk.run(
        "UPDATE trials SET state = 'ended', outcome = 'lost', failure = 'unknown_to_runner', message = ?, "
        "advice = 'What was stored before is kept. Run the trial again if you need it.', ended_at = ? "
        "WHERE trial = ? AND state <> 'ended'",
        operation.message,
        now(),
        operation.trial,
    )


def delete_trials(desk: Desk, operation: DeleteTrials) -> tuple[str, ...]:
    rows = desk.all(
        "SELECT trial FROM trials WHERE trial IN (SELECT unnest(?::VARCHAR[])) OR (? <> '' AND experiment = ?) "
        "ORDER BY number",
        list(operation.trials),
        operation.experiment,
        operation.experiment,
    )
    doomed = [str(row[0]) for row in rows]
    for table in _TABLES_OF_TRIALS:
        desk.run(f"DELETE FROM {table} WHERE trial IN (SELECT unnest(?::VARCHAR[]))", doomed)
    desk.run("DELETE FROM tags WHERE subject IN (SELECT unnest(?::VARCHAR[]))", [*doomed, operation.experiment])
    drop_unused_environments(desk)
    desk.insert("tombstones", {"trial": doomed, "deleted_at": [now()] * len(doomed)}, replace=True)
    if operation.experiment:
        for table in ("artifacts", "configurations", "experiments"):
            desk.run(f"DELETE FROM {table} WHERE experiment = ?", operation.experiment)
    return tuple(doomed)


def drop_unused_environments(desk: Desk) -> None:
    desk.run(
        "DELETE FROM environments WHERE environment NOT IN "
        "(SELECT environment FROM trials WHERE environment IS NOT NULL)"
    )


def _must_exist(desk: Desk, experiment: str) -> None:
    if desk.one("SELECT 1 FROM experiments WHERE experiment = ?", experiment) is None:
        raise faults.not_found("experiment", experiment)


def next_numbers(desk: Desk, name: str, count: int) -> list[int]:
    """The next `count` numbers of a counter, never given out before."""
    row = desk.one("SELECT last FROM counters WHERE name = ?", name)
    last = 0 if row is None else int(str(row[0]))
    if row is None:
        desk.run("INSERT INTO counters VALUES (?, ?)", name, last + count)
    else:
        desk.run("UPDATE counters SET last = ? WHERE name = ?", last + count, name)
    return list(range(last + 1, last + count + 1))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _resolved(order: TrialOrder) -> str:
    whole: dict[str, object] = msgspec.to_builtins(order)
    return _json({key: value for key, value in whole.items() if key not in _OF_ONE_TRIAL})
