"""What a training workload lacks, said before it runs, with changes that mend it."""

from __future__ import annotations

import msgspec
import pytest

from engines.protocol.orders import Training
from engines.techniques import MachineFacts
from workbench.plan.training_rules import training_obstacles

CPU = MachineFacts(device_kind="cpu", packages={"bitsandbytes": "0.50"})
GPU = MachineFacts(device_kind="cuda", packages={"bitsandbytes": "0.50"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop_at": "tokens"}, "no number of tokens"),
        ({"stop_at": "time"}, "no time"),
        ({"stop_at": "loss", "evaluate_every": 5}, "no target loss"),
        ({"stop_at": "loss", "target_loss": 2.0}, "never taken between steps"),
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


def test_that_the_8_bit_optimiser_needs_its_package() -> None:
    load = Training(optimiser="adamw-8bit")
    assert list(training_obstacles(load, CPU)) == []
    [(message, _, fixes)] = training_obstacles(load, MachineFacts(device_kind="cpu"))
    assert "bitsandbytes" in message
    assert fixes[0].value == "adamw"
