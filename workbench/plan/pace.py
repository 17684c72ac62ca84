"""How fast a machine computes and reads, by round figures: what estimates of times are made of. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.protocol.orders import EngineOrder, TechniqueOrder
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory.weights import compute_bits, storing, weight_bytes

# Throughputs behind the time estimate: round figures of ordinary hardware, good to a factor of three.
_CPU_FLOPS_A_THREAD = 4.0e10
_CPU_BYTES_A_THREAD = 8.0e9
_CPU_BYTES = 6.0e10
_GPU_FLOPS = 5.0e13
_GPU_BYTES = 1.0e12
_LAYER_CALL_S = 2.0e-4
"""Python and kernel calls of one layer for one token."""
_LOAD_BYTES = 5.0e8
_SLOW = 4.0
"""A format without instructions on a processor is emulated: about so much slower."""


@dataclass(frozen=True)
class Pace:
    """A roofline: a token costs its weights' bytes or its arithmetic, whichever is longer, and its calls."""

    read_s: float
    """All weights once."""
    work_s: float
    """The arithmetic of one token."""
    calls_s: float
    load_s: float
    byte_s: float
    """Reading or writing one byte of memory."""

    def prefill(self, tokens: int) -> float:
        return self.calls_s + max(self.read_s, self.work_s * tokens)

    def token(self, sequences: int = 1) -> float:
        return self.calls_s + max(self.read_s, self.work_s * sequences)


def pace_of(
    facts: ModelFacts, techniques: Sequence[TechniqueOrder], engine: EngineOrder, machine: MachineFacts
) -> Pace:
    if machine.device_kind == "cuda":
        flops, speed = _GPU_FLOPS, _GPU_BYTES
    else:
        threads = engine.threads or machine.threads_default
        flops, speed = threads * _CPU_FLOPS_A_THREAD, min(_CPU_BYTES, threads * _CPU_BYTES_A_THREAD)
        if _is_emulated(techniques, machine):
            flops, speed = flops / _SLOW, speed / _SLOW
    weights = read = weight_bytes(facts, techniques, machine)
    if _is_widened(techniques, machine):
        read = max(read, facts.parameters * compute_bits(facts, techniques, machine) // 8)
    return Pace(
        read_s=read / speed,
        work_s=2.0 * facts.parameters / flops,
        calls_s=facts.layers * _LAYER_CALL_S,
        load_s=weights / _LOAD_BYTES,
        byte_s=1 / speed,
    )


def _is_emulated(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether this processor has no instructions for a 16-bit technique."""
    technique, _ = storing(techniques)
    return technique is not None and technique.changes == "all" and technique.slow(machine)


def _is_widened(techniques: Sequence[TechniqueOrder], machine: MachineFacts) -> bool:
    """Whether smaller weights are unpacked at every use here: they save memory and no time."""
    technique, _ = storing(techniques)
    return technique is not None and technique.changes == "linear" and technique.slow(machine)
