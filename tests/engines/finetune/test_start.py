"""Every method: nothing changes before the first step but what it says, and training lowers the loss."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engines.protocol.orders import Training
from engines.techniques import techniques
from tests.engines.finetune.kit import loss_of, make, order, weights
from tests.engines.worker_harness import folder_model, trial_order

NOT_A_NO_OP = ("prefix", "prompt", "p-tuning")
METHODS = [t.short for t in techniques("finetune") if t.short != "qlora"]
LAYERS = {"lora": 21, "rslora": 21, "freeze": None, "prefix": None}


def test_that_each_block_begins_with_its_own_random_numbers() -> None:
    import torch

    from engines.hf.engine import HfEngine
    from engines.hf.generate import Discarded
    from engines.worker.stop import Stop

    def first(block: int) -> torch.Tensor:
        plain = trial_order(folder_model(Path("/nowhere")))
        its = msgspec.structs.replace(plain, workload=Training(), techniques=(order("lora"),), block=block)
        engine = HfEngine(its, Discarded(), Stop())  # type: ignore[arg-type]
        engine._model = make("llama")
        engine.adapt()
        return next(p.detach() for name, p in engine._model.named_parameters() if ".lora_A." in name)

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


@pytest.mark.parametrize("id", METHODS)
def test_that_a_method_starts_from_the_model_as_it_was_and_learns(id: str) -> None:
    import torch

    from engines.hf.finetune import apply, parameter_groups

    model = make("qwen2")  # it has biases
    method = order(id)
    before = loss_of(model).item()
    changed = apply(model, method, 1)
    assert changed["trained_bytes"] == 4 * changed["trained_parameters"] > 0
    if id in LAYERS:
        assert changed.get("adapted_modules") == LAYERS[id]
    if id in NOT_A_NO_OP:
        assert changed["start_difference"] > 1e-3
    else:
        assert changed["start_difference"] < 1e-5
        assert loss_of(model).item() == pytest.approx(before, abs=1e-5)
    started, start = loss_of(model).item(), weights(model)
    optimiser = torch.optim.AdamW(parameter_groups(model, method, float(method.parameters["learning_rate"] or 0)))
    model.train()
    for _ in range(6):
        loss_of(model).backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    assert loss_of(model).item() < started
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    moved = {name for name, tensor in weights(model).items() if not tensor.equal(start[name])}
    assert moved
    assert moved <= trained


@pytest.mark.parametrize("id", ["lora", "p-tuning"])
def test_that_a_seed_gives_the_same_start_twice_and_another_seed_another(id: str) -> None:
    from engines.hf.finetune import apply

    def start(seed: int) -> list[float]:
        model = make("llama")
        apply(model, order(id), seed)
        return [float(p.detach().double().abs().sum()) for p in model.parameters() if p.requires_grad]

    assert start(1) == start(1) != start(2)


@pytest.mark.parametrize("id", ["lora", "vera", "full"])
def test_that_adapters_are_float32_on_a_bfloat16_base(id: str) -> None:
    import torch

    from engines.hf.finetune import apply

    model = make("llama").to(torch.bfloat16)
    changed = apply(model, order(id), 1)
    assert changed["trained_bytes"] == (2 if id == "full" else 4) * changed["trained_parameters"]
    assert changed["start_difference"] == 0
