"""Which models keep documents of a row apart: tried on real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from engines.hf.training.apart import check_apart, stay_apart  # noqa: E402
from engines.worker.failures import WorkerFailure  # noqa: E402

SMALL = {"vocab_size": 96, "hidden_size": 32, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_that_a_llama_keeps_documents_apart_in_every_precision(
    llama: Callable[..., Any], attention: str, dtype: Any
) -> None:
    model = llama(attention, lora=True).to(dtype).train()
    assert stay_apart(model)
    assert model.training  # as it was


def test_that_a_model_with_a_state_or_other_positions_does_not() -> None:
    torch.manual_seed(0)
    mamba = transformers.MambaConfig(**SMALL, num_hidden_layers=2, state_size=4)
    bloom = transformers.BloomConfig(**SMALL, n_layer=2, n_head=4)
    for config in (mamba, bloom):
        model = transformers.AutoModelForCausalLM.from_config(config)
        assert not stay_apart(model)
        with pytest.raises(WorkerFailure) as refused:
            check_apart(model)
        assert "packing = false" in refused.value.advice


def test_that_virtual_tokens_are_found(llama: Callable[..., Any]) -> None:
    peft = pytest.importorskip("peft")
    prefix = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    assert not stay_apart(peft.get_peft_model(llama(), prefix))
