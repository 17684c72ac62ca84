"""LoRA and its relatives: where they sit, what they start from, what they scale by."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.engines.finetune.kit import ids, loss_of, make, order, step, weights


def test_that_rslora_scales_by_alpha_over_the_root_of_the_rank() -> None:
    from engines.hf.finetune import apply

    assert apply(make("llama"), order("rslora", rank=16, alpha=32), 1)["scale"] == 32 / math.sqrt(16)
    assert apply(make("llama"), order("lora", rank=16, alpha=32), 1)["scale"] == 2


def test_that_lora_plus_gives_the_second_matrices_their_own_rate() -> None:
    from engines.hf.finetune import apply, parameter_groups

    model, method = make("llama"), order("lora-plus", ratio=16.0)
    apply(model, method, 1)
    groups = parameter_groups(model, method, 1e-3, weight_decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    by_rate = {group["lr"]: {names[id(p)].split(".lora_")[1][0] for p in group["params"]} for group in groups}
    assert by_rate == {1e-3: {"A"}, 1e-3 * 16: {"B"}}
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in model.parameters())
    assert all(group["weight_decay"] == 0.1 for group in groups)


def test_that_lora_has_one_rate_and_vectors_no_weight_decay() -> None:
    from engines.hf.finetune import apply, parameter_groups

    model, method = make("llama"), order("dora")
    apply(model, method, 1)
    groups = parameter_groups(model, method, 1e-3, weight_decay=0.1)
    assert {group["lr"] for group in groups} == {1e-3}
    assert {(group["weight_decay"], all(p.ndim == 1 for p in group["params"])) for group in groups} == {
        (0.1, False), (0.0, True)
    }  # fmt: skip


@pytest.mark.parametrize("id", ["lora", "lora-plus", "rslora", "dora", "pissa", "olora"])
def test_that_the_first_step_starts_from_the_model_as_it_was(id: str) -> None:
    from engines.hf.finetune import apply

    model = make("llama")
    before = loss_of(model).item()
    changed = apply(model, order(id), 1)
    assert changed["start_difference"] < 1e-5
    assert loss_of(model).item() == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize(("id", "rewrites"), [("pissa", True), ("olora", True), ("lora", False), ("dora", False)])
def test_that_only_pissa_and_olora_change_the_frozen_weights(id: str, rewrites: bool) -> None:
    from engines.hf.finetune import apply, wrapper_of

    model = make("llama")
    before = loss_of(model).item()
    apply(model, order(id), 1)
    wrapper = wrapper_of(model)
    with wrapper.disable_adapter():
        assert (loss_of(model).item() != pytest.approx(before, abs=1e-6)) is rewrites


@pytest.mark.parametrize("parameters", [{}, {"iterations": 2}])
def test_that_an_ordinary_lora_of_pissa_gives_the_trained_model_on_the_original(
    parameters: dict[str, int], tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel

    from engines.hf.finetune import apply, save_adapter

    model = make("llama")
    apply(model, order("pissa", rank=4, **parameters), 1)
    for _ in range(3):
        step(model)
    with torch.no_grad():
        trained = model(input_ids=ids()).logits
    save_adapter(model, tmp_path)
    again = PeftModel.from_pretrained(make("llama"), str(tmp_path))
    with torch.no_grad():
        assert torch.allclose(again(input_ids=ids()).logits, trained, atol=1e-5)
        with again.disable_adapter():
            assert not torch.allclose(again(input_ids=ids()).logits, trained, atol=1e-3)
    assert again.peft_config["default"].r == 8


@pytest.mark.parametrize("id", ["lora", "pissa"])
def test_that_training_changes_adapters_and_nothing_else(id: str) -> None:
    from engines.hf.finetune import apply

    model = make("llama")
    apply(model, order(id), 1)
    before = weights(model)
    step(model)
    changed = {name for name, tensor in weights(model).items() if not tensor.equal(before[name])}
    assert changed
    assert all(".lora_" in name for name in changed)


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe", "olmoe"])
@pytest.mark.parametrize("experts", [False, True])
def test_that_no_router_of_a_mixture_is_adapted(kind: str, experts: bool) -> None:
    from engines.hf.finetune import apply

    model = make(kind)
    before = loss_of(model).item()
    apply(model, order("lora", experts=experts), 1)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    assert not [name for name in trained if ".gate." in name or "router" in name]
    assert any("experts" in name for name in trained) is experts
    assert loss_of(model).item() == pytest.approx(before, abs=1e-6)
    step(model)
    assert loss_of(model).item() < before


def test_that_layers_by_name_are_those_and_no_others() -> None:
    from engines.hf.finetune import apply

    model = make("llama", tie_word_embeddings=False)
    apply(model, order("lora", modules="q_proj, mlp.down_proj,lm_head"), 1)
    adapted = {name.split(".lora_")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[2] for name in adapted} == {"q_proj", "down_proj", "lm_head"}
    assert len(adapted) == 3 + 3 + 1
