"""How long training takes, by its floating-point operations: a step, and how many there are. Pure; any thread.

A token costs two operations a weight forward and as many again on its way back through the blocks that have gradients;
trained weights cost as many once more, checkpointing computes those blocks' forward pass twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engines.data.training.built_in import BUILT_IN
from engines.protocol.orders import AnyTraining, EngineOrder, TechniqueOrder
from engines.techniques import MachineFacts, ModelFacts
from engines.techniques.finetune import method_of
from workbench.plan.memory.methods import blocks_with_gradients, kept_of, trained_of, virtual_tokens, with_method
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
    workload: AnyTraining,
    engine: EngineOrder,
    machine: MachineFacts,
) -> float:
    """Of one step, all its micro-batches and the optimiser. 0 where the model's size is unknown."""
    if facts.parameters <= 0:
        return 0.0
    techniques = with_method(techniques, workload)
    pace, method, order = pace_of(facts, techniques, engine, machine), kept_of(techniques), method_of(techniques)
    with_gradients = blocks_with_gradients(facts, techniques) / max(1, facts.layers)
    passes = 1 + with_gradients * (1 + method.weights + workload.checkpointing)
    slower = _SLOWER.get(order.id, 1.0) if order is not None else 1.0
    micro_batch = passes * pace.prefill(workload.batch_size * (workload.sequence_tokens + virtual_tokens(techniques)))
    update = trained_of(facts, techniques) * _UPDATE_BYTES * pace.byte_s
    if workload.optimiser == "adamw-8bit" and machine.device_kind == "cpu":
        update *= _EIGHT_BIT_ON_PROCESSOR
    return workload.accumulation * micro_batch * slower + update


def steps_made(workload: AnyTraining, step_s: float) -> int:
    """All steps, where the budget of tokens or time may end them early: steps of the warm-up count, and one after it is
    made in any case. A target loss is taken as not reached."""
    most, allowed = workload.warmup_steps + workload.steps, math.inf
    if workload.stop_at == "tokens" and workload.token_budget:
        allowed = workload.token_budget / tokens_a_step(workload)
    if workload.stop_at == "time" and workload.time_budget_s and step_s > 0:
        allowed = workload.time_budget_s / step_s
    return most if allowed >= most else max(workload.warmup_steps + 1, math.ceil(allowed))


def tokens_a_step(workload: AnyTraining) -> int:
    """At the most: rows may be shorter."""
    return workload.batch_size * workload.accumulation * workload.sequence_tokens


def evaluations(workload: AnyTraining, steps: int) -> int:
    """How often a loss is taken in training of so many steps: before, between, after, and on test text."""
    every = workload.evaluate_every
    tested = workload.data == BUILT_IN or workload.test_share > 0
    return 2 + tested + (max(0, steps - 1) // every if every else 0)
