"""Whether a trial's figures hold: a verdict with reasons, from its records alone. Pure.

"invalid" figures stay visible and out of summaries; "warning" figures count and say so. A worker or a telemetry source
reports what only it can see as a `Cue`: its code is in `CUES`, or makes a warning under its own code; codes that
begin with "failure:" belong to the outcome, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.metrics.checks.machine import MACHINE_CHECKS
from workbench.metrics.checks.pace import PACE_CHECKS
from workbench.metrics.checks.reason import Reason
from workbench.metrics.checks.steps import STEP_CHECKS
from workbench.metrics.checks.timing import TIMING_CHECKS
from workbench.metrics.trial import TrialRecords

VerdictName = Literal["valid", "warning", "invalid"]

CUES: dict[str, Literal["warning", "invalid"]] = {
    "output_length": "invalid",
    "token_count": "invalid",
    "foreign_process": "warning",
    "not_steady": "warning",
    "short_window": "warning",
    "task_failed": "warning",
    "text_failed": "warning",
}
"""Severity of the cues a worker may give; any other code is a warning."""


@dataclass(frozen=True)
class Verdict:
    verdict: VerdictName
    reasons: tuple[Reason, ...]


CHECKS: tuple[Callable[[TrialRecords], tuple[Reason, ...]], ...] = (
    *TIMING_CHECKS,
    *STEP_CHECKS,
    *PACE_CHECKS,
    *MACHINE_CHECKS,
)
"""To add one: a function in a checks module and its entry there."""


def judge(records: TrialRecords) -> Verdict:
    """The verdict on one trial: the worst of its reasons. No message appears twice."""
    reported = _cues(records)
    said = {reason.code for reason in reported}
    # what the worker said itself is not said again in other words
    checked = (r for check in CHECKS for r in check(records) if r.code not in said)
    found = {(r.code, r.message): r for r in (*_outcome(records), *reported, *checked)}
    reasons = tuple(sorted(found.values(), key=lambda r: r.severity != "invalid"))
    if any(r.severity == "invalid" for r in reasons):
        return Verdict("invalid", reasons)
    return Verdict("warning" if reasons else "valid", reasons)


def measurement_complete(records: TrialRecords) -> bool:
    """Whether a trial that did not complete had finished what it measures: its measure phase ended and a later phase
    (evaluate, idle) was finished. A politely stopped worker also ends its measure phase, so that alone says nothing.
    Evaluations divide training: only those after its last step say that it is done."""
    if records.steps:
        return any(e.name in ("held_out_after", "test") for e in records.evaluations)
    measured = max((s.end_ns for s in records.spans if s.name == "measure"), default=None)
    if measured is None or records.window() is None:
        return False
    return any(s.name in ("evaluate", "idle") and s.start_ns >= measured for s in records.spans)


def _outcome(records: TrialRecords) -> tuple[Reason, ...]:
    ended = records.ended
    if ended is None:
        return (Reason("not_ended", "invalid", "The trial has not ended: its figures are provisional."),)
    if ended.outcome != "completed":
        what = f"The trial was {ended.outcome}" if ended.outcome != "failed" else "The trial failed"
        if measurement_complete(records):
            return (Reason("not_completed", "warning", f"{what} after its measurement was complete."),)
        return (Reason("not_completed", "invalid", f"{what} before its measurement was complete."),)
    if records.window() is None:
        return (Reason("no_measurement", "invalid", "The trial completed without a measured request or step."),)
    return ()


def _cues(records: TrialRecords) -> tuple[Reason, ...]:
    return tuple(
        Reason(cue.code, CUES.get(cue.code, "warning"), cue.text)
        for cue in records.cues
        if not cue.code.startswith("failure:")
    )
