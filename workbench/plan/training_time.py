"""How long training takes, by its floating-point operations: a step, and how many there are. Pure; any thread.

A token costs two operations a weight forward and as many again on its way back through the blocks that have gradients;
trained weights cost as many once more, checkpointing computes those blocks' forward pass twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.protocol.orders import EngineOrder, TechniqueOrder, Training
from engines.techniques import MachineFacts, ModelFacts
from engines.techniques.finetune import method_of
from workbench.plan.memory.methods import blocks_with_gradients, kept_of, trained_of, virtual_tokens
from workbench.plan.pace import pace_of

_UPDATE_BYTES = 28
"""Of a trained parameter: AdamW reads it, its gradient and two moments, and writes all but the gradient, in float32."""
_EIGHT_BIT_ON_PROCESSOR = 25
"""bitsandbytes' AdamW took so many times as long as torch's fused one (209 against 8 ms, 3.7 M parameters)."""
_SLOWER = {"finetune.dora": 1.2, "finetune.loha": 2.1}
"""Steps of methods that build whole matrices, against LoRA's: measured with SmolLM2-135M, 256 tokens, float32."""


def training_step_seconds(
    facts: ModelFacts,
    techniques: Sequence[TechniqueOrder],
    workload: Training,
    engine: EngineOrder,
    machine: MachineFacts,
) -> float:
    """Of one step, all its micro-batches and the optimiser. 0 where the model's size is unknown."""
    if facts.parameters <= 0:
        return 0.0
    pace, method, order = pace_of(facts, techniques, engine, machine), kept_of(techniques), method_of(techniques)
    with_gradients = blocks_with_gradients(facts, techniques) / max(1, facts.layers)
    passes = 1 + with_gradients * (1 + method.weights + workload.checkpointing)
    slower = _SLOWER.get(order.id, 1.0) if order is not None else 1.0
    micro_batch = passes * pace.prefill(workload.batch_size * (workload.sequence_tokens + virtual_tokens(techniques)))
    update = trained_of(facts, techniques) * _UPDATE_BYTES * pace.byte_s
    if workload.optimiser == "adamw-8bit" and machine.device_kind == "cpu":
        update *= _EIGHT_BIT_ON_PROCESSOR
    return workload.accumulation * micro_batch * slower + update


def steps_seconds(workload: Training, step_s: float) -> float:
    """Of all steps, where the budget of tokens or time may end them early. A target loss is taken as not reached."""
    steps = workload.steps
    if workload.stop_at == "tokens" and workload.token_budget:
        tokens = workload.batch_size * workload.accumulation * workload.sequence_tokens
        steps = min(steps, math.ceil(workload.token_budget / tokens))
    measured = steps * step_s
    if workload.stop_at == "time" and workload.time_budget_s:
        measured = min(measured, workload.time_budget_s)
    return measured + workload.warmup_steps * step_s


def evaluations(workload: Training) -> int:
    """How often held-out loss is taken: before, after, and between."""
    every = workload.evaluate_every
    return 2 + (max(0, workload.steps - 1) // every if every else 0)
