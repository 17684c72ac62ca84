"""AdaLoRA: the penalty is peft's, and ranks are cut to the mean that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.engines.finetune.kit import ids, loss_of, make, order


def test_that_the_penalty_is_the_one_that_peft_adds_to_a_loss() -> None:
    import torch

    from engines.hf.finetune import apply, callback, wrapper_of
    from engines.hf.finetune.adapters import AdaLora

    model = make("llama")
    apply(model, order("adalora", rank=4, start_rank=6, orthogonal=0.3), 1)
    around, wrapper = callback(model, 10), wrapper_of(model)
    assert isinstance(around, AdaLora)
    wrapper.eval()
    with torch.no_grad():
        added = wrapper(input_ids=ids(), labels=ids()).loss - model(input_ids=ids(), labels=ids()).loss
    assert around.penalty().item() == pytest.approx(added.item(), rel=1e-4)
    assert all(p.grad is None for p in model.parameters())
    around.before_step()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("steps", "numbers"),
    [(3, range(3)), (20, range(20)), (100, (0, 30, 60, 90)), (100, (0, 69, 70, 70, 71)), (100, (0, 100))],
    ids=["few", "many", "cut short by a budget", "a number twice", "over at once"],
)
def test_that_ranks_are_cut_to_the_mean(steps: int, numbers: Sequence[int]) -> None:
    import torch

    from engines.hf.finetune import apply, callback, parameter_groups

    model, method = make("llama"), order("adalora", rank=4, start_rank=6)
    apply(model, method, 1)
    around = callback(model, steps)
    assert around is not None
    optimiser = torch.optim.AdamW(parameter_groups(model, method, 1e-2))
    for number in numbers:
        loss_of(model).backward()
        around.before_step()
        optimiser.step()
        around.after_step(number)
        optimiser.zero_grad()
    left = [int((p != 0).sum()) for name, p in model.named_parameters() if ".lora_E." in name]
    assert len(left) == 21
    assert sum(left) == 4 * 21


def test_that_other_methods_do_nothing_around_a_step() -> None:
    from engines.hf.finetune import apply, callback

    model = make("llama")
    apply(model, order("lora"), 1)
    assert callback(model, 10) is None
