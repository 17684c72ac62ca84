"""From a config of `engines.techniques.architecture` to a model. Worker process; imports torch.

transformers builds what it has. What the key "workbench" of a config names besides is put into the model when it is
made, by a class of its own: `from_pretrained` and `save_pretrained` go on working, and the class's name in config.json
keeps programs away that would take the model for a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from engines.hf.architecture import positions, sparse
from engines.hf.shape import expert_count, layers_of
from engines.techniques.architecture.costs import reference_speed
from engines.techniques.architecture.counts import counts
from engines.techniques.architecture.edited import ATTENTION, KEY, POSITIONS, slot
from engines.worker.failures import WorkerFailure


def build(config: Mapping[str, object], dtype: torch.dtype, attention: str | None = "sdpa") -> PreTrainedModel:
    """A model with random weights from torch's generator, in training mode, on the default device: every weight is made
    in `dtype`. `attention`: the backend, left to transformers where no layer attends."""
    made = config_of(config)
    attention = attention if layers_of(made).attend else None
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        model: PreTrainedModel = class_of(made).from_config(
            made, dtype=dtype, attn_implementation=attention, trust_remote_code=False
        )
    finally:
        torch.set_default_dtype(before)
    return model.train()


def config_of(config: Mapping[str, object]) -> PretrainedConfig:
    settings = dict(config)
    made: PretrainedConfig = AutoConfig.for_model(str(settings.pop("model_type")), **settings)
    return made


def class_of(config: PretrainedConfig) -> Any:
    """What has `from_config` and `from_pretrained` for a config: transformers' own choice, or its class with slots."""
    return _slotted(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]) if has_slots(config) else AutoModelForCausalLM


def has_slots(config: PretrainedConfig) -> bool:
    return any(_slot(config, name) for name in (POSITIONS, ATTENTION))


def _slot(config: PretrainedConfig, name: str) -> Mapping[str, object]:
    return slot({KEY: getattr(config, KEY, None)}, name)


@cache
def _slotted(plain: type[PreTrainedModel]) -> type[PreTrainedModel]:
    def begin(self: PreTrainedModel, config: PretrainedConfig) -> None:
        plain.__init__(self, config)
        if _slot(config, POSITIONS):
            positions.put_in(self)
        if _slot(config, ATTENTION):
            sparse.put_in(self)

    def from_config(cls: Any, /, config: PretrainedConfig, **settings: Any) -> Any:
        settings.pop("trust_remote_code", None)
        return cls._from_config(config, **settings)

    members = {"__init__": begin, "from_config": classmethod(from_config), "__module__": plain.__module__}
    return type(f"Workbench{plain.__name__}", (plain,), members)


def check_parameters(model: PreTrainedModel, parameters: int) -> None:
    """Raises `WorkerFailure` where the model has not as many as the plan counts from its config."""
    planned = counts(model.config.to_dict()).total
    if parameters != planned:
        raise WorkerFailure(
            "technique",
            f"The model has {parameters:,} parameters, and its plan counted {planned:,}.",
            "Its architecture is not the one that was planned. This is a fault of the program: please report it.",
        )


_MIXERS = (".self_attn", ".mixer", ".attention")
"""Ends of the names of what mixes tokens, in transformers' models."""


def architecture_facts(model: PreTrainedModel) -> dict[str, str]:
    """What was really built: classes by their names, and whether their speed means anything here."""
    config = model.config
    found = {"architecture.model": type(model).__name__}
    mixers = {type(part).__name__ for name, part in model.named_modules() if name.endswith(_MIXERS)}
    if mixers:
        found["architecture.mixer"] = ", ".join(sorted(mixers))
    if layers_of(config).attend:
        found["architecture.attention"] = str(config._attn_implementation)
    if where := _slot(config, POSITIONS).get("kind"):
        found["architecture.positions"] = str(where)
    if expert_count(config):
        found["architecture.experts"] = str(config._experts_implementation)
    if why := reference_speed(config.to_dict(), model.device.type):
        found["architecture.implementation"] = f"reference implementation: {why}"
    return found
