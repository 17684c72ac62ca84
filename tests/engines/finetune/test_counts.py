"""The number of trained parameters by formula is what peft counts in the model, for every method and architecture."""

from __future__ import annotations

import pytest

from engines.protocol.orders import Training
from engines.protocol.settings import Scalar
from engines.techniques import MachineFacts, Use, find, techniques
from engines.techniques.finetune import trained_parameters
from tests.engines.finetune.kit import facts, make, order

KINDS = ("llama", "qwen2", "qwen3", "phi3", "gpt2", "gpt_neox", "mixtral", "qwen3_moe")
MACHINE = MachineFacts(
    device_kind="cpu", packages=dict.fromkeys(("torch", "transformers", "peft", "bitsandbytes"), "1")
)
UNUSUAL: dict[str, dict[str, Scalar]] = {
    "lora": {"rank": 5, "target_modules": "attention"},
    "dora": {"rank": 3, "modules": "o_proj, dense, c_proj"},
}


def reason(kind: str, id: str) -> str | None:
    """Why a method is grey on a model, its parameters and the precision that it needs given."""
    technique = find(f"finetune.{id}")
    use = Use(technique.defaults(), technique.base or "precision.float32", Training(packing=False))
    return technique.cannot_apply(facts(kind), MACHINE) or technique.conflict(facts(kind), use)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("id", [t.short for t in techniques("finetune") if not t.base])  # see test_four_bit
def test_that_a_method_trains_as_many_parameters_as_its_formula_says(kind: str, id: str) -> None:
    from engines.hf.finetune import apply

    if why := reason(kind, id):
        pytest.skip(why)  # test_obstacles looks at these
    for parameters in ({}, UNUSUAL.get(id, {})):
        if parameters.get("modules") and kind not in ("llama", "gpt2", "gpt_neox"):
            continue
        method = order(id, **parameters)
        counted = apply(make(kind), method, seed=1)["trained_parameters"]
        assert counted == trained_parameters(facts(kind), method) > 0


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "olmoe"])
@pytest.mark.parametrize("id", ["lora", "rslora"])
def test_that_adapted_experts_are_counted_each(kind: str, id: str) -> None:
    from engines.hf.finetune import apply

    with_experts, without = order(id, experts=True), order(id)
    counted = apply(make(kind), with_experts, seed=1)["trained_parameters"]
    assert counted == trained_parameters(facts(kind), with_experts) > trained_parameters(facts(kind), without)


def test_that_an_output_head_of_its_own_is_counted_where_it_is_named() -> None:
    from engines.hf.finetune import apply

    named, head = order("lora", rank=4, modules="lm_head, q_proj"), {"tie_word_embeddings": False}
    counted = apply(make("llama", **head), named, seed=1)["trained_parameters"]
    assert counted == trained_parameters(facts("llama", **head), named) == 4 * (3 * (64 + 64) + 64 + 96)


def test_that_attention_only_leaves_the_feed_forward_alone() -> None:
    from engines.hf.finetune import apply

    attention = order("miss", rank=4, target_modules="attention")
    counted = apply(make("phi3"), attention, seed=1)["trained_parameters"]
    assert counted == trained_parameters(facts("phi3"), attention) == 4 * 3 * (64 + 2 * 32 + 64)
