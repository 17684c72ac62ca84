"""How large the trained part is, what the trial kept of it, and what training holds in memory by part. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engines.protocol.records import MemoryParts
from workbench.metrics.model import Metric, NotAvailable, Value
from workbench.metrics.trial import TrialRecords

Found = Value | NotAvailable

_MADE = {
    "mem_tracker": "torch's memory tracker in one untimed step",
    "saved_tensors": "tensors kept for the backward pass in one untimed step, by storage",
}


def _trained(records: TrialRecords) -> Found:
    told = (e.changed["trained_parameters"] for e in records.effects if "trained_parameters" in e.changed)
    found = next(told, records.detail("trained_parameters"))  # older trials have it with the loaded model
    if found is None:
        return NotAvailable("The trial trained nothing.")
    return Value(found, "counted in the loaded model: parameters that require a gradient")


def _trained_share(records: TrialRecords) -> Found:
    found = _trained(records)
    if isinstance(found, NotAvailable):
        return found
    parameters = records.model.parameters if records.model is not None else 0
    if parameters <= 0:
        return NotAvailable("The number of parameters is not known: the model was not loaded.")
    return Value(found.value / parameters, f"{found.value:,.0f} of the model's {parameters:,}")


def _adapter(records: TrialRecords) -> Found:
    kept = [a.bytes for a in records.artifacts if a.artifact == "adapter"]
    if not kept:
        return NotAvailable('The trial kept no adapter: set keep = "adapter".')
    return Value(float(kept[-1]), "bytes of the file that the trial wrote", 1)


def _part(amount: Callable[[MemoryParts], int]) -> Callable[[TrialRecords], Found]:
    def compute(records: TrialRecords) -> Found:
        if records.parts is None:
            return NotAvailable("Memory by part was not counted: the trial had no untimed step for it.")
        return Value(float(amount(records.parts)), f"{_MADE[records.parts.method]}, at its peak", 1)

    return compute


_PARTS: tuple[tuple[str, str, str, Callable[[MemoryParts], int]], ...] = (
    ("weights", "Weights in training", "Weights, frozen and trained,", lambda p: p.weights_bytes),
    ("gradients", "Gradients", "Gradients of the trained weights", lambda p: p.gradients_bytes),
    ("optimiser", "Optimiser states", "States of the optimiser", lambda p: p.optimiser_bytes),
    ("activations", "Activations", "Activations kept for the backward pass", lambda p: p.activations_bytes),
    ("temporary", "Temporary memory", "Other tensors of the step", lambda p: p.temporary_bytes),
    ("peak", "Peak of a step", "All parts together", lambda p: p.peak_bytes),
)

_counted = partial(Metric, better="lower", window="whole trial", group="memory", exact=True, task="train")

METRICS = (
    _counted(
        id="trained_parameters",
        title="Trained parameters",
        definition="Parameters that training changes: those of the adapters for LoRA.",
        unit="count",
        compute=_trained,
        primary=True,
        beside=("trained_ratio",),
        needs=("took_effect",),
    ),
    _counted(
        id="trained_ratio",
        title="Trained share",
        definition="Parameters that training changes / parameters of the model, adapters included.",
        unit="ratio",
        compute=_trained_share,
        shown_unit="%",
        needs=("took_effect", "model_loaded"),
    ),
    _counted(
        id="adapter_bytes",
        title="Adapter on disk",
        definition="Size of the adapter file that the trial kept.",
        unit="B",
        compute=_adapter,
        shown_unit="MiB",
        counts="files",
        needs=("artifact",),
    ),
    *(
        Metric(
            id=f"training_{id}_bytes",
            title=title,
            definition=f"{what} at the peak of one untimed training step.",
            unit="B",
            better="lower",
            window="one untimed step",
            compute=_part(amount),
            shown_unit="MiB",
            group="memory",
            task="train",
            primary=id == "peak",
            counts="steps",
            needs=("memory_parts",),
        )
        for id, title, what, amount in _PARTS
    ),
)
