"""Divergence of a student from its teacher: a worked example, its gradient, and which places count."""

from __future__ import annotations

import math

import pytest

pytestmark = pytest.mark.real


def test_the_worked_example_in_both_directions() -> None:
    """Teacher (3/4, 1/4), student (1/2, 1/2): forward 3/4 ln 3/2 + 1/4 ln 1/2, reverse 1/2 ln 2/3 + 1/2 ln 2."""
    import torch

    from engines.hf.training.distillation import divergence

    teacher, student = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    reverse = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    assert float(divergence(student, teacher)) == pytest.approx(forward, rel=1e-5)
    assert float(divergence(student, teacher, "reverse")) == pytest.approx(reverse, rel=1e-5)
    # at T = 2 the teacher's odds are the root of 3, and all is multiplied by 4
    p = math.sqrt(3) / (1 + math.sqrt(3))
    softer = 4 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    assert float(divergence(student, teacher, temperature=2.0)) == pytest.approx(softer, rel=1e-5)


def test_that_it_is_zero_for_equal_logits_up_to_a_constant_and_never_negative() -> None:
    import torch

    from engines.hf.training.distillation import divergence

    torch.manual_seed(1)
    logits, others = torch.randn(6, 11), torch.randn(6, 11)
    for direction in ("forward", "reverse"):
        assert float(divergence(logits + 3.0, logits, direction, 2.0).abs().max()) < 1e-5
        assert float(divergence(logits, others, direction).min()) > 0


def test_that_the_gradient_of_the_forward_one_is_the_difference_of_the_probabilities() -> None:
    import torch

    from engines.hf.training.distillation import divergence

    torch.manual_seed(2)
    student, teacher = torch.randn(3, 7, requires_grad=True), torch.randn(3, 7)
    divergence(student, teacher, temperature=1.5).sum().backward()
    wanted = 1.5 * (torch.softmax(student / 1.5, -1) - torch.softmax(teacher / 1.5, -1))
    assert torch.allclose(student.grad, wanted.detach(), atol=1e-5)


def test_that_other_vocabularies_are_refused() -> None:
    import torch

    from engines.hf.training.distillation import divergence

    with pytest.raises(ValueError, match="other tokens"):
        divergence(torch.zeros(2, 5), torch.zeros(2, 6))


def test_that_only_places_with_a_target_count_and_weight_0_is_plain_training() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from engines.data.training.documents import Row
    from engines.hf.training.distillation import Distillation, distilled_loss
    from engines.hf.training.micro_batches import micro_batch, token_losses

    def made(seed: int) -> torch.nn.Module:
        torch.manual_seed(seed)
        common = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
        return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=32, **common)).eval()

    student, teacher = made(1), made(2)
    rows = [Row([1, 2, 3, 4, 5], bytes([0, 0, 1, 1, 1]), [0, 1, 2, 3, 4]), Row([6, 7, 8], bytes([0, 1, 1]), [0, 1, 2])]
    batch = micro_batch(rows, torch.device("cpu"))
    plain = distilled_loss(student, teacher, batch, Distillation(weight=0.0))
    assert float(plain.detach()) == pytest.approx(float(token_losses(student, batch, "sum").detach()), rel=1e-5)
    whole = Distillation(weight=1.0, temperature=1.0)
    assert float(distilled_loss(student, student, batch, whole).detach()) == pytest.approx(0, abs=1e-5)
    # place by place, without the batch: the five that predict a token that counts
    alone = 0.0
    for row in rows:
        ids = torch.tensor([row.ids])
        s, t = (torch.log_softmax(model(ids).logits[0].detach(), -1) for model in (student, teacher))
        alone += sum(float((t[n].exp() * (t[n] - s[n])).sum()) for n in range(len(row.ids) - 1) if row.loss_mask[n + 1])
    loss = distilled_loss(student, teacher, batch, whole)
    assert float(loss.detach()) == pytest.approx(alone, rel=1e-4)
    loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in student.parameters())
