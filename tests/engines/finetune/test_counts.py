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
    assert technique is not None
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
