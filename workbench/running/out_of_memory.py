"""A training trial that ran out of memory gets advice that fits it: the model is looked up again, nothing is loaded.
Any thread; blocking.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engines.models.lookup.resolve import resolve
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import AnyTraining, TrialOrder
from engines.protocol.places import places
from engines.protocol.records import Environment, MemoryParts, MemoryPeak, Record, Telemetry
from engines.techniques import MachineFacts
from engines.techniques.chosen import applied
from workbench.plan.memory.advice import advice
from workbench.plan.memory.changes import Case
from workbench.store.operations import GetOrder, GetTrial, SetAdvice, Store
from workbench.store.records import replay

_FAILURES = frozenset({"out_of_memory", "killed"})
_PACKAGE = "package."


def explain(store: Store, trial: str) -> None:
    """Nothing for other trials, and where the model is not there any more. Raises `StoreError`."""
    row = store.execute(GetTrial(trial=trial))
    if row.failure not in _FAILURES:
        return
    order = store.execute(GetOrder(trial=row.trial))
    if not isinstance(order.workload, AnyTraining):
        return
    model = resolve(order.model.path or order.model.ref, places(), Path("/"))
    if not isinstance(model, ResolvedModel):
        return
    found = _better(order, order.workload, model, list(replay(store, row.trial)))
    said = (row.advice or "").rpartition(" (")[2]
    words = f" ({said}" if said.endswith(")") else ""  # what the library said
    store.execute(SetAdvice(trial=row.trial, advice=f"{found}{words}"))


def _better(order: TrialOrder, workload: AnyTraining, model: ResolvedModel, records: Iterable[Record]) -> str:
    facts: dict[str, str] = {}
    measured: MemoryParts | None = None
    peak = 0.0
    for record in records:
        if isinstance(record, Environment):
            facts |= record.facts
        elif isinstance(record, MemoryParts):
            measured = record
        elif isinstance(record, MemoryPeak):
            peak = max(peak, record.peak_bytes)
        elif isinstance(record, Telemetry):
            peak = max(peak, *(value or 0.0 for value in record.columns.get("rss_bytes", ())), 0.0)
    kind = order.device.partition(":")[0]
    machine = MachineFacts(
        device_kind=kind,
        packages={name.removeprefix(_PACKAGE): v for name, v in facts.items() if name.startswith(_PACKAGE)},
        processor_flags=frozenset(facts.get("cpu.flags", "").split()),
    )
    free = facts.get("memory.free_bytes" if kind == "cpu" else "gpu.0.memory_total_bytes", "")
    known = [int(free)] if free.isdecimal() else []
    if kind == "cpu" and order.limits.address_space_bytes is not None:
        known.append(order.limits.address_space_bytes)
    case = Case(model.facts, applied(order.model, order.techniques), workload, order.engine, machine)
    return advice(case, min(known, default=0), round(peak) if kind == "cpu" else 0, measured)
