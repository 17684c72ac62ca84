"""Small models of several architectures, and orders for fine-tuning methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engines.models.lookup.facts import facts_of_config
from engines.protocol.orders import TechniqueOrder
from engines.protocol.settings import Scalar
from engines.techniques import ModelFacts, find

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

SMALL: dict[str, dict[str, object]] = {
    "llama": {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
    "mistral": {"num_key_value_heads": 2, "head_dim": 32},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 32},
    "gemma": {"num_key_value_heads": 1, "head_dim": 32},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 32},
    "gemma3_text": {"num_key_value_heads": 2, "head_dim": 32},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4},
    "qwen3_moe": {"num_key_value_heads": 2, "head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2,
                  "moe_intermediate_size": 32},
    "olmoe": {"num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0},
    "falcon": {"multi_query": True, "parallel_attn": True, "new_decoder_architecture": False},
    "gpt_neox": {},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4},
}  # fmt: skip


def config_of(kind: str) -> dict[str, object]:
    common = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
              "num_attention_heads": 4}  # fmt: skip
    return {"model_type": kind, **({"vocab_size": 96} if kind == "gpt2" else common), **SMALL[kind]}


def built(config: dict[str, object]) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {key: value for key, value in config.items() if key != "model_type"}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(str(config["model_type"]), **settings))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def make(kind: str, **more: object) -> PreTrainedModel:
    """A model with seeded random weights, frozen, as the engine loads one."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {key: value for key, value in {**config_of(kind), **more}.items() if key != "model_type"}
    torch.manual_seed(3)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
    return model.eval().requires_grad_(False)


def facts(kind: str, **more: object) -> ModelFacts:
    """What is known of it before it is loaded."""
    config = {**config_of(kind), **more}
    parameters = sum(p.numel() for p in make(kind, **more).parameters())
    return facts_of_config(
        config, kind="random", parameters=parameters, linear_parameters=0, stored_bytes=0, stored_dtype="float32"
    )


def order(id: str, **parameters: Scalar) -> TechniqueOrder:
    """Of a method, its parameters complete."""
    technique = find(f"finetune.{id}")
    known = technique.defaults()
    return TechniqueOrder(id=technique.id, parameters=known | {n: v for n, v in parameters.items() if n in known})


def ids(rows: int = 2, length: int = 12) -> torch.Tensor:
    import torch

    return torch.randint(0, 96, (rows, length), generator=torch.Generator().manual_seed(5))


def step(model: PreTrainedModel, rate: float = 0.01) -> None:
    """One step of plain gradient descent on next-token loss."""
    import torch

    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate)
    loss_of(model).backward()
    optimiser.step()
    optimiser.zero_grad()


def loss_of(model: PreTrainedModel) -> torch.Tensor:
    import torch

    tokens = ids()
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


def weights(model: PreTrainedModel) -> Mapping[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}
