"""From a trial's records to the rows the store keeps: every metric, the reasons, the verdict. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterable

from engines.protocol.records import Record
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.metrics.checks.verdict import judge
from workbench.metrics.model import Metric, NotAvailable
from workbench.metrics.registry import PER_TRIAL
from workbench.metrics.tasks import of_other_tasks
from workbench.metrics.trial import TrialRecords, arrange
from workbench.store.operations import MetricRow, ReasonRow

_TRAINS = "This is a training trial: it generates no text."


def trains(records: TrialRecords) -> bool:
    return bool(records.steps) and not records.requests


def evaluate_trial(
    trial: str, records: Iterable[Record], assumptions: Assumptions = NOTHING_ASSUMED
) -> tuple[tuple[MetricRow, ...], tuple[ReasonRow, ...], str]:
    """Every metric of the registry (available or not), why the figures hold or do not, and the verdict
    ("valid", "warning", "invalid"). `trial` is written into the rows. The session calls it after `TrialEnded` and
    stores the result with `SetMetrics`; from the same records it gives the same rows at any time."""
    arranged = arrange(records, assumptions)
    verdict = judge(arranged)
    rows = tuple(_row(metric, arranged, trial) for metric in (*PER_TRIAL, *of_other_tasks(arranged)))
    reasons = tuple(
        ReasonRow(trial=trial, code=r.code, severity=r.severity, message=r.message) for r in verdict.reasons
    )
    return rows, reasons, verdict.verdict


def _row(metric: Metric, records: TrialRecords, trial: str) -> MetricRow:
    found = metric.compute(records)
    if trains(records) and (metric.task == "generate" or (isinstance(found, NotAvailable) and metric.of_requests)):
        found = NotAvailable(_TRAINS)
    return MetricRow(
        trial=trial,
        metric=metric.id,
        version=metric.version,
        value=None if isinstance(found, NotAvailable) else found.value,
        unit=metric.unit,
        method="" if isinstance(found, NotAvailable) else found.method,
        scope=metric.window if isinstance(found, NotAvailable) else found.scope or metric.window,
        n=found.n,
        reason=found.reason if isinstance(found, NotAvailable) else "",
    )
