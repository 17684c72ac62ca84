"""A base in 4 bits: evaluation between steps leaves its weights as they are, and gradients pass through every layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engines.finetune.kit import loss_of, make, order

pytest.importorskip("bitsandbytes")
METHODS = ("qlora", "lora", "dora", "olora", "adalora", "ia3", "vera", "oft", "miss", "prefix", "prompt", "p-tuning")


def four_bit(folder: Path, *, trains: bool = True) -> Any:
    import torch

    from engines.hf.load import LoadRequest
    from engines.hf.precision_bitsandbytes import load_four_bit
    from tests.engines.worker_harness import folder_model

    if not (folder / "config.json").exists():
        make("llama", attention_bias=False, mlp_bias=False).save_pretrained(folder)
    request = LoadRequest(
        model=folder_model(folder),
        technique="precision.nf4",
        device=torch.device("cpu"),
        attention="sdpa",
        parameters={"compute": "float32"},
        trains=trains,
    )
    return load_four_bit(request)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("four_bit")


def test_that_an_evaluation_does_not_repack_the_weights(folder: Path) -> None:
    import bitsandbytes
    import torch

    model = four_bit(folder)
    layer = next(m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit))
    before = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).clone()
    model.train()
    model.eval()
    with torch.no_grad():
        loss_of(model)
    assert layer.training, "whatever the processor: only those with AVX-512 bfloat16 repack"
    assert not model.model.norm.training
    after = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    assert not getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
    assert torch.equal(before, after)


@pytest.mark.parametrize("id", METHODS)
def test_that_a_method_on_four_bits_learns_after_an_evaluation(id: str, folder: Path) -> None:
    import torch

    from engines.hf.finetune import apply, callback, parameter_groups
    from engines.models.lookup.facts import inspect_folder
    from engines.techniques.finetune import trained_parameters

    model, method = four_bit(folder), order(id)
    with torch.no_grad():
        before = loss_of(model).item()
    changed = apply(model, method, 1)
    assert changed["trained_parameters"] == trained_parameters(inspect_folder(folder)[0], method)
    if id not in ("prefix", "prompt", "p-tuning", "olora"):  # OLoRA rounds what is left to 4 bits again
        assert loss_of(model).item() == pytest.approx(before, abs=1e-4)
    rate = float(method.parameters["learning_rate"] or 0) * 3
    optimiser = torch.optim.AdamW(parameter_groups(model, method, rate))
    around = callback(model, 4)
    model.eval()
    started = loss_of(model).item()
    for number in range(4):
        model.train()
        loss_of(model).backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimiser.step()
        if around is not None:
            around.after_step(number)
        optimiser.zero_grad()
        model.eval()
        with torch.no_grad():
            loss_of(model)
    assert loss_of(model).item() < started


def test_that_qlora_on_a_plain_base_is_refused() -> None:
    from engines.hf.finetune import apply
    from engines.worker.failures import WorkerFailure

    with pytest.raises(WorkerFailure, match="not quantised"):
        apply(make("llama"), order("qlora"), 1)


def test_that_gradients_are_those_of_the_dequantised_base(folder: Path) -> None:
    import bitsandbytes
    import torch

    from engines.hf.finetune import apply

    model, twin = four_bit(folder), make("llama", attention_bias=False, mlp_bias=False)
    for name, module in model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            wide = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            twin.get_submodule(name).weight.data = wide.float()
    for one in (model, twin):
        apply(one, order("lora"), 1)
        with torch.no_grad():
            loss_of(one)  # an evaluation in between
        one.train()
        loss_of(one).backward()
    ours, theirs = dict(model.named_parameters()), dict(twin.named_parameters())
    for name, parameter in theirs.items():
        if parameter.requires_grad and parameter.grad is not None:
            gradient = ours[name].grad
            assert gradient is not None
            assert torch.allclose(gradient, parameter.grad, atol=1e-5), name
