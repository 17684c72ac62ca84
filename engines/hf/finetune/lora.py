"""LoRA and its relatives through peft: one configuration each."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, PeftConfig
from transformers import PreTrainedModel

from engines.hf.finetune.targets import chosen_layers, expert_parameters, is_transposed
from engines.techniques.finetune import lora as entries
from engines.techniques.finetune.counts import Parameters, whole


def config(model: PreTrainedModel, id: str, parameters: Parameters) -> PeftConfig:
    """Of a method of the LoRA family."""
    own: dict[str, Any] = {}
    if id == entries.RSLORA:
        own["use_rslora"] = True
    elif id == entries.DORA:
        own["use_dora"] = True
    elif id == entries.OLORA:
        own["init_lora_weights"] = "olora"
    elif id == entries.PISSA:
        iterations = whole(parameters, "iterations")
        own["init_lora_weights"] = f"pissa_niter_{iterations}" if iterations else "pissa"
    if parameters.get("experts"):
        own["target_parameters"] = expert_parameters(model)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=whole(parameters, "rank"),
        lora_alpha=whole(parameters, "alpha"),
        lora_dropout=float(parameters["dropout"] or 0.0),
        target_modules=chosen_layers(model, parameters),
        fan_in_fan_out=is_transposed(model),
        **own,
    )
