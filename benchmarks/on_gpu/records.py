"""Trials of the parts that need a runner: submitted, kept as they came, and turned into figures."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.on_gpu.notes import Notes
from benchmarks.trials import records_of
from engines.protocol.client import RunnerClient
from engines.protocol.orders import Limits, TrialOrder
from engines.protocol.records import PhaseEnded, Record
from workbench.metrics.trial import TrialRecords, arrange

_MARGIN_S = 5.0


def trial(client: RunnerClient, order: TrialOrder, notes: Notes) -> tuple[list[Record], TrialRecords]:
    """Run one trial, no longer than this part may; its records go to the part's file as they come."""
    order = msgspec.structs.replace(order, limits=Limits(time_s=max(1.0, notes.left_s() - _MARGIN_S)))
    found: list[Record] = []
    with notes.records.open("ab") as kept:
        kept.write(msgspec.json.encode({"order": order}) + b"\n")
        for line, record in records_of(client, order):
            kept.write(line.encode() + b"\n")
            kept.flush()
            found.append(record)
    return found, arrange(found)


def end_of(arranged: TrialRecords) -> str:
    """ "completed", "failed: MESSAGE"."""
    if arranged.ended is None:
        return "left no end"
    return f"{arranged.ended.outcome}: {arranged.ended.message}" if arranged.ended.message else arranged.ended.outcome


def phase_s(records: Sequence[Record], name: str) -> float | None:
    """Length of the first phase of that name."""
    found = next((r for r in records if isinstance(r, PhaseEnded) and r.name == name), None)
    return None if found is None else (found.t_ns - found.start_ns) / 1e9
