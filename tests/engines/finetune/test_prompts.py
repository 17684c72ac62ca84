"""Virtual tokens: put in by hooks, computed as peft computes them, and never scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engines.finetune.kit import ids, make, order

METHODS = ("prefix", "prompt", "p-tuning")


def adapted(id: str, kind: str) -> Any:
    import torch

    from engines.hf.finetune import apply

    model = make(kind)
    apply(model, order(id, virtual_tokens=5), 1)
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():  # away from the start
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=random))
    return model


def by_peft(id: str, kind: str, state: dict[str, Any]) -> Any:
    """The same through peft's own forward pass."""
    import torch
    from peft import get_peft_model

    from engines.hf.finetune import prompts

    model = make(kind)
    wrapper = get_peft_model(model, prompts.config(model, f"finetune.{id}", order(id, virtual_tokens=5).parameters))
    wrapper.prompt_encoder.load_state_dict(state)
    with torch.no_grad():
        return wrapper.eval()(input_ids=ids()).logits[:, -12:]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
@pytest.mark.parametrize("id", METHODS)
def test_that_logits_are_those_of_peft_without_the_virtual_tokens(id: str, kind: str) -> None:
    import torch

    model = adapted(id, kind)
    with torch.no_grad():
        logits = model(input_ids=ids(), use_cache=False).logits
        plain = make(kind)(input_ids=ids(), use_cache=False).logits
    assert logits.shape == plain.shape == (2, 12, 96)
    assert not torch.allclose(logits, plain, atol=1e-3)
    assert torch.allclose(logits, by_peft(id, kind, model.virtual_tokens.state_dict()), atol=1e-5)


@pytest.mark.parametrize("id", METHODS)
def test_that_positions_and_masks_of_the_caller_are_carried_over(id: str) -> None:
    import torch

    model = adapted(id, "llama")
    tokens = ids()
    with torch.no_grad():
        plain = model(input_ids=tokens, use_cache=False).logits
        given = model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            position_ids=torch.arange(12).expand(2, -1),
            use_cache=False,
        ).logits
        last = model(input_ids=tokens, use_cache=False, logits_to_keep=3).logits
    assert torch.allclose(given, plain, atol=1e-5)
    assert torch.allclose(last, plain[:, -3:], atol=1e-5)


@pytest.mark.parametrize("id", METHODS)
def test_that_a_saved_prompt_loads_into_a_plain_model(id: str, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    from engines.hf.finetune import save_adapter

    model = adapted(id, "llama")
    save_adapter(model, tmp_path)
    again = PeftModel.from_pretrained(make("llama"), str(tmp_path)).eval()
    with torch.no_grad():
        logits = model(input_ids=ids(), use_cache=False).logits
        assert torch.allclose(again(input_ids=ids()).logits[:, -12:], logits, atol=1e-5)
