"""What a training workload lacks or cannot have: budgets without an amount, what only GPUs or packages can do. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from engines.protocol.orders import AnyTraining
from engines.protocol.problems import Fix
from engines.techniques import MachineFacts
from workbench.plan.training_time import tokens_a_step

INTERVALS = 10
"""Validation losses in a training that a target loss ends, where a fix chooses how often."""


def training_obstacles(load: AnyTraining, machine: MachineFacts) -> Iterator[tuple[str, str, tuple[Fix, ...]]]:
    """Message, hint and fixes of each; all of them stop a trial."""
    if load.stop_at == "tokens" and not load.token_budget:
        hint = "Set token_budget, or stop at steps."
        yield "Training stops at tokens, and no number of tokens is set.", hint, (_stop_at_steps(),)
    most = (load.warmup_steps + load.steps) * tokens_a_step(load)
    if load.stop_at == "tokens" and load.token_budget > most:
        wanted = math.ceil(load.token_budget / tokens_a_step(load)) - load.warmup_steps
        yield (
            f"Training stops at {load.token_budget:,} tokens, and all of its steps have {most:,} at the most.",
            "Raise steps, which end it before, or stop at steps.",
            (Fix(f"{wanted:,} steps", f"workload.steps.{load.steps}", wanted), _stop_at_steps()),
        )
    if load.stop_at == "time" and not load.time_budget_s:
        hint = "Set time_budget_s, or stop at steps."
        yield "Training stops at a time, and no time is set.", hint, (_stop_at_steps(),)
    if load.stop_at == "loss":
        if not load.target_loss:
            hint = "Set target_loss, or stop at steps."
            yield "Training stops at a loss, and no target loss is set.", hint, (_stop_at_steps(),)
        if not load.evaluation_tokens:
            hint = "Set evaluation_tokens to at least 1,024, or stop at steps."
            yield "Training stops at a validation loss, and no tokens are evaluated.", hint, (_stop_at_steps(),)
        total = load.warmup_steps + load.steps
        if not 0 < load.evaluate_every < total:
            every = max(1, load.steps // INTERVALS)
            hint = "Set evaluate_every below the number of steps: the loss is judged there."
            often = Fix(f"Evaluate every {every} steps", "workload.evaluate_every", every)
            fixes = (often,) if total > 1 else (_stop_at_steps(),)
            yield "Training stops at a validation loss, which is never taken between steps.", hint, fixes
    if load.compile and machine.device_kind == "cpu":
        yield (
            "torch.compile is offered on GPUs only.",
            "On a processor it compiles for longer than it saves: 25 s for 2 layers, and 3 ms of 37 a step afterwards.",
            (Fix("Do not compile", "workload.compile", value=False),),
        )
    if load.optimiser == "adamw-8bit" and "bitsandbytes" not in machine.packages:
        yield (
            "8-bit AdamW needs bitsandbytes, which is not installed.",
            "Install it (pip install bitsandbytes), or choose adamw.",
            (Fix("AdamW", "workload.optimiser", "adamw"),),
        )


def _stop_at_steps() -> Fix:
    return Fix("Stop at steps", "workload.stop_at", "steps")
