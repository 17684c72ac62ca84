"""A llama of two layers in memory: each test its own copy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def _made() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def llama(_made: Any) -> Callable[..., Any]:
    """Copies: `llama("eager")` by attention, with `lora` adapters or all parameters to train."""

    def make(attention: str = "sdpa", *, lora: bool = False) -> Any:
        model = copy.deepcopy(_made)
        model.set_attn_implementation(attention)
        if lora:
            from engines.hf.finetune import apply
            from engines.protocol.orders import TechniqueOrder

            parameters = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"}
            apply(model, TechniqueOrder(id="finetune.lora", parameters=parameters), seed=3)
        return model

    return make
