"""Orders, records and machines in which all that a test does not name is filled in."""

from __future__ import annotations

from typing import Any

from engines.protocol.messages import Device, ProbeResult
from engines.protocol.orders import ModelOrder, TrialOrder
from engines.protocol.records import ModelLoaded, Request
from workbench.store.operations import ExperimentRow, TrialRow


def trial_order(trial: str = "t-1", **changes: Any) -> TrialOrder:
    """A trial of one configuration, of a model with random weights."""
    fields: dict[str, Any] = {
        "experiment": "e-1",
        "store": "s-1",
        "configuration": "c-1",
        "title": "test",
        "block": 0,
        "position": 0,
        "total": 1,
        "seed": 1,
        "experiment_title": "test",
        "model": ModelOrder(ref="m", title="m", kind="random"),
    }
    return TrialOrder(trial=trial, **(fields | changes))


def request(index: int, start_ns: int, end_ns: int, first_stamp: int, stamps: int, **changes: Any) -> Request:
    """A measured request of one sequence, a token for each stamp."""
    fields: dict[str, Any] = {"warmup": False, "prompt_tokens": 10, "generated_tokens": stamps, "batch_size": 1}
    times = {"start_ns": start_ns, "end_ns": end_ns}
    return Request(index=index, first_stamp=first_stamp, stamps=stamps, **times, **(fields | changes))


def model_loaded(**changes: Any) -> ModelLoaded:
    """A thousand parameters in float32."""
    fields: dict[str, Any] = {
        "parameters": 1_000,
        "tensor_bytes": 4_000,
        "bytes_by_dtype": {},
        "original_bytes": 4_000,
        "nominal_bits": 32.0,
    }
    return ModelLoaded(**(fields | changes))


def trial_row(trial: str = "t-1", **changes: Any) -> TrialRow:
    """A completed trial of one configuration, as the store lists it."""
    fields: dict[str, Any] = {
        "number": 1,
        "experiment": "e-1",
        "experiment_name": "test",
        "configuration": "c-1",
        "title": "test",
        "color": 0,
        "block": 0,
        "position": 0,
        "machine": "this",
        "device": "cpu",
        "state": "ended",
        "outcome": "completed",
        "failure": None,
        "message": None,
        "advice": None,
        "verdict": "valid",
        "last_seq": 1,
        "submitted_at": "",
        "started_at": None,
        "ended_at": None,
        "duration_s": 1.0,
    }
    return TrialRow(trial=trial, **(fields | changes))


def experiment_row(trials: int, experiment: str = "e-1", name: str = "test", **changes: Any) -> ExperimentRow:
    """An experiment all of whose trials have completed."""
    fields: dict[str, Any] = {"number": 1, "created_at": "", "baseline": None, "waiting": 0, "failed": 0}
    counts = {"trials": trials, "completed": trials}
    return ExperimentRow(experiment=experiment, name=name, **(fields | counts | changes))


def processor(total: int = 16 << 30, free: int = 12 << 30, **changes: Any) -> Device:
    """The processor of a machine, with its memory in bytes."""
    fields = {"id": "cpu", "title": "CPU"}
    return Device(memory_total_bytes=total, memory_free_bytes=free, **(fields | changes))


def probe_result(*devices: Device, machine: str = "here", **changes: Any) -> ProbeResult:
    """A machine with a processor, unless devices are named; without sensors and packages."""
    fields: dict[str, Any] = {"sensors": (), "packages": (), "facts": {}}
    return ProbeResult(machine=machine, devices=devices or (processor(),), **(fields | changes))
