"""What to do after a training ran out of memory: its largest part, and changes that would fit. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping

from engines.protocol.records import MemoryParts
from workbench.plan.memory.changes import Case, fitting_changes
from workbench.plan.memory.estimate import estimate_memory
from workbench.units import format_bytes

_SPARE = 0.2
_KEPT = "What was measured before is kept, and the queue continues; nothing is tried again with other settings."
_SHOWN = 3


def advice(case: Case, available_bytes: int, peak_bytes: int = 0, measured: MemoryParts | None = None) -> str:
    """`available_bytes`: what was free, or what the trial was limited to; 0 where that is not known. `peak_bytes`: what
    the trial had reached; more than was estimated raises every estimate as much. `measured`: the parts of a step, where
    one was measured before the end."""
    estimate = estimate_memory(case.facts, case.techniques, case.workload, case.engine, case.machine)
    if not estimate.weights:
        return _KEPT
    expected = estimate.needed
    had = min(available_bytes or expected, expected)
    budget = round((1 - _SPARE) * had * min(1.0, expected / peak_bytes if peak_bytes else 1.0))
    said = [_KEPT, _largest(measured, estimate.parts, expected)]
    changes = fitting_changes(case, budget)[:_SHOWN]
    if changes:
        fair = "" if any(change.is_fair for change in changes) else " None keeps the comparison as it is."
        said.append(f"With a fifth of the memory to spare, one of these would fit.{fair}")
        said += [f"{change.label}: {change.note}." for change in changes]
    else:
        said.append(
            "No smaller batch, sequence or rank would fit with a fifth of the memory to spare: choose a smaller model "
            "or a base in fewer bits, or close other programs."
        )
    return " ".join(said)


def _largest(measured: MemoryParts | None, estimated: Mapping[str, int], expected: int) -> str:
    if measured is not None:
        parts = {
            "weights": measured.weights_bytes,
            "gradients": measured.gradients_bytes,
            "optimiser states": measured.optimiser_bytes,
            "activations": measured.activations_bytes,
            "temporary tensors": measured.temporary_bytes,
        }
        name = max(parts, key=parts.__getitem__)
        whole = format_bytes(measured.peak_bytes)
        return f"Its largest part was {name}: {format_bytes(parts[name])} of {whole} in a step that was measured."
    name = max(estimated, key=estimated.__getitem__)
    return f"By the estimate its largest part is {name}: {format_bytes(estimated[name])} of {format_bytes(expected)}."
