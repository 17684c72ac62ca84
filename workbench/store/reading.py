"""Operations that list and look up: experiments, trials, metrics, counts. Read-only handlers of the local store."""

from __future__ import annotations

import json

import msgspec

from engines.protocol.codec import order_of
from engines.protocol.orders import TrialOrder
from workbench.store import faults
from workbench.store.operations import (
    ConfigurationRow,
    Counts,
    Durations,
    ExperimentDetail,
    ExperimentRow,
    FindUnused,
    GetCounts,
    GetExperiment,
    GetOrder,
    GetStoreId,
    GetTrial,
    ListExperiments,
    ListTrials,
    ListUnfinished,
    ListUnjudged,
    Losses,
    MemoryRatios,
    MetricRow,
    ReasonRow,
    StoreError,
    TrialRow,
)
from workbench.store.rows import Transaction, iso

_TRIALS = f"""
    SELECT t.trial, t.number, t.experiment, coalesce(e.name, '') AS experiment_name, t.configuration, t.title,
           coalesce(c.color, 0) AS color, t.block, t.position, t.machine, t.device, t.state, t.outcome, t.failure,
           t.message, t.advice, t.verdict, t.last_seq, {iso("t.submitted_at")} AS submitted_at,
           {iso("t.started_at")} AS started_at, {iso("t.ended_at")} AS ended_at, t.duration_s, t.seed
    FROM trials t
    LEFT JOIN experiments e ON e.experiment = t.experiment
    LEFT JOIN configurations c ON c.experiment = t.experiment AND c.configuration = t.configuration
"""

_EXPERIMENTS = f"""
    SELECT e.experiment, e.number, e.name, {iso("e.created_at")} AS created_at, e.baseline, e.definition, e.note,
           count(t.trial) AS trials,
           count(t.trial) FILTER (t.state = 'waiting') AS waiting,
           count(t.trial) FILTER (t.state = 'running') AS running,
           count(t.trial) FILTER (t.outcome = 'completed') AS completed,
           count(t.trial) FILTER (t.outcome = 'stopped') AS stopped,
           count(t.trial) FILTER (t.outcome IN ('failed', 'lost')) AS failed
    FROM experiments e LEFT JOIN trials t ON t.experiment = e.experiment
    {{where}}
    GROUP BY ALL ORDER BY e.number DESC
"""


def store_id(db: Transaction, operation: GetStoreId) -> str:
    return _text(db.one("SELECT id FROM store"))


def counts(db: Transaction, operation: GetCounts) -> Counts:
    row = db.one(
        "SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM trials), (SELECT count(*) FROM samples)"
    )
    experiments, trials, samples = (int(str(n)) for n in row or (0, 0, 0))
    log = db.path.with_name(f"{db.path.name}.wal")
    size = sum(file.stat().st_size for file in (db.path, log) if file.exists())
    return Counts(experiments=experiments, trials=trials, samples=samples, size_bytes=size)


def experiments(db: Transaction, operation: ListExperiments) -> tuple[ExperimentRow, ...]:
    return db.structs(ExperimentRow, _EXPERIMENTS.format(where="") + " LIMIT ?", operation.limit)


def trials(db: Transaction, operation: ListTrials) -> tuple[TrialRow, ...]:
    return db.structs(
        TrialRow,
        f"{_TRIALS} WHERE (? = '' OR t.experiment = ?) AND (? = '' OR t.state = ?) "
        "ORDER BY t.number DESC LIMIT ? OFFSET ?",
        operation.experiment,
        operation.experiment,
        operation.state,
        operation.state,
        operation.limit,
        operation.offset,
    )


def unfinished(db: Transaction, operation: ListUnfinished) -> tuple[TrialRow, ...]:
    return db.structs(TrialRow, f"{_TRIALS} WHERE t.state <> 'ended' ORDER BY t.number")


def unused(db: Transaction, operation: FindUnused) -> tuple[str, ...]:
    rows = db.all(
        "WITH asked AS (SELECT trial, '/' || trial || '/' AS folder FROM tombstones "
        "WHERE trial IN (SELECT unnest(?::VARCHAR[])) AND trial NOT IN (SELECT trial FROM trials)), "
        "said AS (SELECT DISTINCT resolved AS text FROM configurations JOIN trials USING (experiment, configuration) "
        "UNION ALL SELECT r.record FROM records r JOIN trials t USING (trial) "
        "WHERE r.kind = 'resumed' AND t.outcome IS DISTINCT FROM 'completed') "
        "SELECT trial FROM asked WHERE NOT EXISTS (SELECT 1 FROM said WHERE contains(text, folder)) ORDER BY trial",
        list(operation.trials),
    )
    return tuple(str(row[0]) for row in rows)


def unjudged(db: Transaction, operation: ListUnjudged) -> tuple[str, ...]:
    rows = db.all("SELECT trial FROM trials WHERE state = 'ended' AND verdict IS NULL ORDER BY number")
    return tuple(str(row[0]) for row in rows)


def trial(db: Transaction, operation: GetTrial) -> TrialRow:
    found = db.structs(TrialRow, f"{_TRIALS} WHERE t.trial = ?", operation.trial)
    if not found and operation.trial.isdecimal():
        found = db.structs(TrialRow, f"{_TRIALS} WHERE t.number = TRY_CAST(? AS INTEGER)", operation.trial)
    if not found:
        raise faults.not_found("trial", operation.trial)
    return found[0]


def experiment(db: Transaction, operation: GetExperiment) -> ExperimentDetail:
    row = find_experiment(db, operation.experiment)
    id = row.experiment
    of_trials = "WHERE {0}.trial IN (SELECT trial FROM trials WHERE experiment = ?)"
    said: dict[str, tuple[str, ...]] = {}
    for trial, line in db.all(
        "SELECT r.trial, r.record FROM records r JOIN trials t USING (trial) "
        "WHERE t.experiment = ? AND r.kind IN ('evaluation', 'task_score') AND r.record <> '' ORDER BY r.trial, r.seq",
        id,
    ):
        said[str(trial)] = (*said.get(str(trial), ()), str(line))
    facts = db.all(
        "SELECT t.trial, n.facts FROM trials t JOIN environments n USING (environment) WHERE t.experiment = ?", id
    )
    return ExperimentDetail(
        experiment=row,
        configurations=db.structs(
            ConfigurationRow,
            "SELECT configuration, experiment, title, color, position, model, resolved FROM configurations "
            "WHERE experiment = ? ORDER BY position",
            id,
        ),
        trials=db.structs(TrialRow, f"{_TRIALS} WHERE t.experiment = ? ORDER BY t.number", id),
        metrics=db.structs(
            MetricRow,
            "SELECT m.trial, metric, version, value, unit, method, scope, n, reason FROM metrics m "
            f"{of_trials.format('m')} ORDER BY m.trial, metric, version",
            id,
        ),
        reasons=db.structs(
            ReasonRow,
            "SELECT v.trial, code, severity, v.message FROM verdicts v "
            f"{of_trials.format('v')} ORDER BY v.trial, v.rowid",
            id,
        ),
        environments={str(name): msgspec.json.decode(str(text), type=dict[str, str]) for name, text in facts},
        evaluations=said,
    )


def find_experiment(db: Transaction, name: str) -> ExperimentRow:
    """By id, number as text, unique name, or "" for the newest. Raises `StoreError` code "not_found"."""
    if not name:
        found = db.structs(ExperimentRow, _EXPERIMENTS.format(where="") + " LIMIT 1")
        if not found:
            raise StoreError(
                "There is no experiment in this database yet.",
                "`llm-workbench demo` makes a first one.",
                code="not_found",
            )
        return found[0]
    for where, usable in (
        ("WHERE e.experiment = ?", True),
        ("WHERE e.number = TRY_CAST(? AS INTEGER)", name.isdecimal()),
        ("WHERE e.name = ?", True),
    ):
        found = db.structs(ExperimentRow, _EXPERIMENTS.format(where=where), name) if usable else ()
        if len(found) == 1:
            return found[0]
        if found:
            numbers = ", ".join(str(row.number) for row in found)
            raise StoreError(
                f"{len(found)} experiments are named {name!r}.", f"Say which by number: {numbers}.", code="not_found"
            )
    raise faults.not_found("experiment", name)


def order(db: Transaction, operation: GetOrder) -> TrialOrder:
    row = trial(db, GetTrial(trial=operation.trial))
    found = db.one(
        "SELECT c.resolved, t.seed FROM trials t JOIN configurations c USING (experiment, configuration) "
        "WHERE t.trial = ?",
        row.trial,
    )
    if found is None:
        raise faults.not_found("configuration of trial", operation.trial)
    resolved = json.loads(str(found[0]))
    resolved |= {"trial": row.trial, "block": row.block, "position": row.position, "seed": found[1]}
    return order_of(resolved)


def durations(db: Transaction, operation: Durations) -> dict[str, tuple[float, ...]]:
    rows = db.all(
        "SELECT configuration, duration_s FROM trials "
        "WHERE outcome = 'completed' AND duration_s IS NOT NULL "
        "AND trial NOT IN (SELECT trial FROM verdicts WHERE code = 'resumed') "
        "AND configuration IN (SELECT unnest(?::VARCHAR[])) ORDER BY number",
        list(operation.configurations),
    )
    found: dict[str, list[float]] = {}
    for name, seconds in rows:
        found.setdefault(str(name), []).append(float(str(seconds)))
    return {name: tuple(seconds) for name, seconds in found.items()}


def losses(db: Transaction, operation: Losses) -> dict[str, dict[str, float]]:
    rows = db.all(
        "SELECT t.configuration, t.experiment || ' ' || t.block, arg_max(m.value, (m.metric = 'test_loss', m.version)) "
        "FROM trials t JOIN metrics m USING (trial) WHERE t.verdict IN ('valid', 'warning') AND m.value IS NOT NULL "
        "AND m.metric IN ('test_loss', 'held_out_loss') AND t.configuration IN (SELECT unnest(?::VARCHAR[])) "
        "GROUP BY ALL ORDER BY ALL",
        list(operation.configurations),
    )
    found: dict[str, dict[str, float]] = {}
    for configuration, seed, loss in rows:
        found.setdefault(str(configuration), {})[str(seed)] = float(str(loss))
    return found


def memory_ratios(db: Transaction, operation: MemoryRatios) -> dict[str, tuple[float, ...]]:
    """The resident set's peak on a processor, on a GPU what the driver attributes to the worker."""
    rows = db.all(
        """
        SELECT kind, ratio FROM (
            SELECT split_part(t.device, ':', 1) AS kind, arg_max(m.value, m.version) AS measured, t.ended_at,
                any_value((c.resolved->>'expected_bytes')::DOUBLE) AS expected, measured / expected AS ratio
            FROM trials t JOIN configurations c USING (experiment, configuration) JOIN metrics m ON m.trial = t.trial
            WHERE t.outcome = 'completed' AND t.machine = ? AND (c.resolved->>'expected_by')::INTEGER = ?
                AND (c.resolved->>'expected_bytes')::BIGINT > 0 AND m.value > 0
                AND m.metric = CASE WHEN t.device = 'cpu' THEN 'memory_rss_peak_bytes'
                    ELSE 'device_process_peak_bytes' END
            GROUP BY t.trial, t.device, t.ended_at
        ) ORDER BY ended_at DESC LIMIT ?
        """,
        operation.machine,
        operation.expected_by,
        operation.limit,
    )
    found: dict[str, list[float]] = {}
    for kind, ratio in rows:
        found.setdefault(str(kind), []).append(float(str(ratio)))
    return {kind: tuple(ratios) for kind, ratios in found.items()}


def _text(row: tuple[object, ...] | None) -> str:
    return "" if row is None else str(row[0])
