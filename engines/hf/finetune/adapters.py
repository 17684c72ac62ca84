"""Adapters of other forms than LoRA's through peft: one configuration each, and what AdaLoRA does around a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from peft import (
    AdaLoraConfig,
    GloraConfig,
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    MissConfig,
    OFTConfig,
    PeftConfig,
    PeftModel,
    VeraConfig,
)
from transformers import PreTrainedModel

from engines.hf.finetune.targets import chosen_layers, is_transposed, scaled_layers
from engines.techniques.finetune import adapters as entries
from engines.techniques.finetune.counts import Parameters, whole

_TASK = "CAUSAL_LM"


def config(model: PreTrainedModel, id: str, parameters: Parameters) -> PeftConfig:
    """Of any adapter here."""
    return _MAKES[id](model, parameters)


def _common(model: PreTrainedModel, parameters: Parameters) -> dict[str, Any]:
    return {"task_type": _TASK, "target_modules": chosen_layers(model, parameters)}


def _dropout(parameters: Parameters) -> float:
    return float(parameters["dropout"] or 0.0)


def _adalora(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return AdaLoraConfig(
        target_r=whole(parameters, "rank"),
        init_r=whole(parameters, "start_rank"),
        lora_alpha=whole(parameters, "alpha"),
        lora_dropout=_dropout(parameters),
        deltaT=whole(parameters, "interval"),
        orth_reg_weight=float(parameters["orthogonal"] or 0.0),
        total_step=1,  # the loop says how many: `AdaLora`
        fan_in_fan_out=is_transposed(model),
        **_common(model, parameters),
    )


def _vera(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return VeraConfig(
        r=whole(parameters, "rank"),
        vera_dropout=_dropout(parameters),
        fan_in_fan_out=is_transposed(model),
        **_common(model, parameters),
    )


def _ia3(model: PreTrainedModel, _parameters: Parameters) -> PeftConfig:
    outputs, inputs = scaled_layers(model)
    return IA3Config(
        task_type=_TASK,
        target_modules=outputs + inputs,
        feedforward_modules=inputs,
        fan_in_fan_out=is_transposed(model),
    )


def _loha(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return LoHaConfig(r=whole(parameters, "rank"), alpha=whole(parameters, "alpha"), **_common(model, parameters))


def _lokr(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return LoKrConfig(r=whole(parameters, "rank"), alpha=whole(parameters, "alpha"), **_common(model, parameters))


def _glora(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return GloraConfig(r=whole(parameters, "rank"), **_common(model, parameters))


def _miss(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return MissConfig(r=whole(parameters, "rank"), miss_dropout=_dropout(parameters), **_common(model, parameters))


def _oft(model: PreTrainedModel, parameters: Parameters) -> PeftConfig:
    return OFTConfig(r=0, oft_block_size=whole(parameters, "block_size"), **_common(model, parameters))


_MAKES: dict[str, Callable[[PreTrainedModel, Parameters], PeftConfig]] = {
    entries.ADALORA: _adalora,
    entries.VERA: _vera,
    entries.IA3: _ia3,
    entries.LOHA: _loha,
    entries.LOKR: _lokr,
    entries.GLORA: _glora,
    entries.MISS: _miss,
    entries.OFT: _oft,
}


class AdaLora:
    """Cuts ranks after each step, and keeps an adapter's directions apart (Zhang et al. 2023, equations 4 and 12)."""

    def __init__(self, wrapper: PeftModel, parameters: Parameters, steps: int) -> None:
        """Of a training of `steps` steps at the most."""
        self._allocate = cast("Callable[[int], None]", wrapper.base_model.update_and_allocate)
        config = wrapper.peft_config["default"]
        self._weight = config.orth_reg_weight
        config.total_step = steps
        config.tinit = min(round(float(parameters["first_share"] or 0.0) * steps), max(0, steps - 2))
        config.tfinal = min(round(float(parameters["last_share"] or 0.0) * steps), max(0, steps - config.tinit - 1))
        self._last_cut = steps - config.tfinal
        self._is_cut = False
        self._directions = [
            (p, ".lora_A." in name)
            for name, p in wrapper.named_parameters()
            if p.requires_grad and (".lora_A." in name or ".lora_B." in name)
        ]

    def before_step(self) -> None:
        """Add the gradient of the penalty, which peft adds to a loss that it computes itself."""
        if self._weight:
            self.penalty().backward()  # type: ignore[no-untyped-call]

    def penalty(self) -> torch.Tensor:
        norms = []
        for matrix, is_first in self._directions:
            product = matrix @ matrix.T if is_first else matrix.T @ matrix
            norms.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
        return self._weight * torch.stack(norms).mean()

    def after_step(self, step: int) -> None:
        if step >= self._last_cut:  # once: it decides which ranks are left, and forgets why
            step, self._is_cut = self._last_cut + self._is_cut, True
        self._allocate(step)
