"""A configuration's memory on its device. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence

from engines.protocol.orders import AnyTraining, EngineOrder, Inference, TechniqueOrder, Workload
from engines.techniques import MachineFacts, ModelFacts
from workbench.plan.memory.inference import activation_bytes, cache_bits, cache_bytes
from workbench.plan.memory.training import CUDA_CONTEXT_BYTES, training_parts
from workbench.plan.memory.weights import compute_bits, weight_bytes
from workbench.plan.types import MemoryEstimate

PROCESS_BYTES = 430 * 2**20
"""What a worker takes before it holds a model: measured 397 MiB of proportional set size with torch 2.13 (CPU),
transformers 5.23 and torchao 0.18 imported and one forward pass done (Linux x86-64); a tenth more for the rest."""


def estimate_memory(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: Workload | AnyTraining,
    engine: EngineOrder,
    machine: MachineFacts,
) -> MemoryEstimate:
    """Bytes on the device. All parts are 0 but the overhead where nothing is known of the model (a hub id)."""
    if isinstance(workload, AnyTraining):
        parts = training_parts(facts, techniques, workload, machine, engine)
        return MemoryEstimate(
            weights=parts.weights,
            gradients=parts.gradients,
            optimiser=parts.optimiser,
            cache_or_activations=parts.activations + parts.temporary,
            overhead=parts.overhead,
            trained_parameters=parts.trained_parameters,
            parameters=facts.parameters,
            device_total=machine.memory_total_bytes,
            device_free=machine.memory_free_bytes,
        )
    held = 0
    if isinstance(workload, Inference):
        bits = compute_bits(facts, techniques, machine)
        cache = cache_bytes(facts, workload, engine, cache_bits(techniques, bits))
        held = cache + activation_bytes(facts, workload, engine, bits)
    return MemoryEstimate(
        weights=weight_bytes(facts, techniques, machine),
        cache_or_activations=held,
        optimiser=0,
        overhead=CUDA_CONTEXT_BYTES if machine.device_kind == "cuda" else PROCESS_BYTES,
        device_total=machine.memory_total_bytes,
        device_free=machine.memory_free_bytes,
    )
