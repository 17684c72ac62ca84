"""Low-rank adapters through peft. Worker process; imports torch and peft.

Hu et al. 2021, arXiv 2106.09685: a frozen matrix W gets B A beside it, of a small rank, scaled by alpha / rank; B
begins at zero, so the model is unchanged before the first step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from engines.hf import shape
from engines.hf.artifacts.adapter import remember_wrapper
from engines.hf.precision import linear_layers
from engines.hf.training.evidence import trained_counts
from engines.protocol.orders import Scalar
from engines.worker.failures import WorkerFailure

_ATTENTION = ("attn", "attention")


def adapt(model: PreTrainedModel, parameters: Mapping[str, Scalar], seed: int) -> dict[str, float]:
    """Put adapters into `model`, freeze all else; returns what changed. Raises `WorkerFailure`."""
    if shape.expert_count(model.config):
        raise WorkerFailure(
            "technique",
            "LoRA cannot be applied to a mixture of experts yet: peft would adapt its router too.",
            "Choose a model without experts.",
        )
    torch.manual_seed(seed)  # A is drawn at random
    chosen = str(parameters["target_modules"])
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=_whole(parameters["rank"]),
        lora_alpha=_whole(parameters["alpha"]),
        lora_dropout=float(parameters["dropout"] or 0.0),
        target_modules=chosen if chosen == "all-linear" else _attention_layers(model),
    )
    remember_wrapper(model, get_peft_model(model, config))
    return trained_counts(model)


def _attention_layers(model: PreTrainedModel) -> list[str]:
    names = [name for name, _ in linear_layers(model) if any(word in name for word in _ATTENTION)]
    if not names:
        raise WorkerFailure(
            "technique",
            f"{type(model).__name__} has no linear layers in its attention to adapt.",
            "Set target_modules to all-linear.",
        )
    return names


def _whole(value: Scalar) -> int:
    assert isinstance(value, int)
    return value
