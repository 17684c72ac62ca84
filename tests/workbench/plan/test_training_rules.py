"""What a training workload lacks, said before it runs, with changes that mend it."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.orders import Training
from engines.techniques import MachineFacts
from workbench.plan.training_rules import training_obstacles
from workbench.plan.training_time import evaluations, steps_made

CPU = MachineFacts(device_kind="cpu", packages={"bitsandbytes": "0.50"})
GPU = MachineFacts(device_kind="cuda", packages={"bitsandbytes": "0.50"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop_at": "tokens"}, "no number of tokens"),
        ({"stop_at": "time"}, "no time"),
        ({"stop_at": "loss", "evaluate_every": 5}, "no target loss"),
        ({"stop_at": "loss", "target_loss": 2.0}, "never taken between steps"),
        ({"stop_at": "loss", "target_loss": 2.0, "evaluate_every": 63}, "never taken between steps"),
        (
            {"stop_at": "loss", "target_loss": 2.0, "evaluate_every": 1, "steps": 1, "warmup_steps": 0},
            "never taken between steps",
        ),
        (
            {"stop_at": "loss", "target_loss": 2.0, "evaluate_every": 5, "evaluation_tokens": 0},
            "no tokens are evaluated",
        ),
        ({"compile": True}, "GPUs only"),
    ],
)
def test_that_what_is_missing_is_named_with_a_change_that_mends_it(changes: dict[str, object], words: str) -> None:
    load = msgspec.structs.replace(Training(), **changes)
    [(message, hint, fixes)] = training_obstacles(load, CPU)
    assert words in message
    assert hint
    [fix] = fixes
    table, _, key = fix.path.partition(".")
    assert table == "workload"
    mended = msgspec.convert(msgspec.to_builtins(msgspec.structs.replace(load, **{key: fix.value})), Training)
    assert list(training_obstacles(mended, CPU)) == []


def test_that_rules_with_their_amount_and_compiling_on_a_gpu_are_fine() -> None:
    whole = {"token_budget": 1, "time_budget_s": 0.5, "target_loss": 2.0, "evaluate_every": 1}
    for rule in ("steps", "tokens", "time", "loss"):
        load = msgspec.structs.replace(Training(compile=True), stop_at=rule, **whole)
        assert list(training_obstacles(load, GPU)) == []


def test_that_a_number_of_tokens_that_the_steps_never_reach_is_named() -> None:
    load = Training(stop_at="tokens", token_budget=63 * 4 * 2 * 128, accumulation=2)  # 60 steps after 3
    assert list(training_obstacles(load, CPU)) == []
    over = msgspec.structs.replace(load, token_budget=load.token_budget + 1)
    [(message, hint, (more, stop))] = training_obstacles(over, CPU)
    assert "64,513 tokens, and all of its steps have 64,512 at the most" in message
    assert hint
    assert (more.path, more.value, stop.value) == ("workload.steps.60", 61, "steps")
    assert list(training_obstacles(msgspec.structs.replace(over, steps=61), CPU)) == []


@pytest.mark.parametrize(
    ("changes", "steps", "taken"),
    [
        ({}, 63, 3),
        ({"test_share": 0.0, "data": "docstrings"}, 63, 2),
        ({"evaluate_every": 21}, 63, 5),  # not at the last step
        ({"evaluate_every": 20}, 63, 6),
        ({"stop_at": "tokens", "token_budget": 5121, "evaluate_every": 5}, 11, 5),
        ({"stop_at": "tokens", "token_budget": 1}, 4, 3),  # one after the warm-up
        ({"stop_at": "time", "time_budget_s": 20.0}, 10, 3),
        ({"stop_at": "time", "time_budget_s": 1e6}, 63, 3),
        ({"stop_at": "loss", "target_loss": 1.0}, 63, 3),
    ],
)
def test_how_many_steps_and_losses_a_plan_expects(changes: dict[str, object], steps: int, taken: int) -> None:
    load = msgspec.structs.replace(Training(), **changes)
    assert steps_made(load, 2.0) == steps
    assert evaluations(load, steps) == taken


def test_that_the_8_bit_optimiser_needs_its_package() -> None:
    load = Training(optimiser="adamw-8bit")
    assert list(training_obstacles(load, CPU)) == []
    [(message, _, fixes)] = training_obstacles(load, MachineFacts(device_kind="cpu"))
    assert "bitsandbytes" in message
    assert fixes[0].value == "adamw"
