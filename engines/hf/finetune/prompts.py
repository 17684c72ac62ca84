"""Virtual tokens through peft's encoders, put into the model by hooks: whoever calls the model sees its own tokens and
their logits only.

peft's wrapper does the same in its own forward pass; here the model is changed in place, as by every other method.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import (
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    PromptTuningInit,
)
from transformers import PreTrainedModel

from engines.techniques.finetune import prompts as entries
from engines.techniques.finetune.counts import Parameters, whole

MODULE = "virtual_tokens"
"""Name of the part of a model that makes them."""


def config(model: PreTrainedModel, id: str, parameters: Parameters) -> PeftConfig:
    """Of a prompt method."""
    count = whole(parameters, "virtual_tokens")
    if id == entries.PREFIX:
        return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=count)
    if id == entries.P_TUNING:
        width = whole(parameters, "encoder_width")
        return PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=count, encoder_hidden_size=width)
    start = PromptTuningInit.SAMPLE_VOCAB if parameters["start"] == "vocabulary" else PromptTuningInit.RANDOM
    return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=count, prompt_tuning_init=start)


def positions(wrapper: PeftModel) -> tuple[int, int]:
    """How many positions the virtual tokens of a wrapper add to each sequence: to those that are computed, and to those
    that are attended to."""
    count = int(wrapper.active_peft_config.num_virtual_tokens)
    return (0 if _are_in_cache(wrapper) else count), count


def _are_in_cache(wrapper: PeftModel) -> bool:
    return bool(wrapper.active_peft_config.peft_type.value == "PREFIX_TUNING")


class VirtualTokens:
    """Puts the tokens of a wrapper before every sequence that its model is given."""

    def __init__(self, model: PreTrainedModel, wrapper: PeftModel) -> None:
        self._model, self._wrapper = model, wrapper
        self._count = int(wrapper.active_peft_config.num_virtual_tokens)
        self._in_cache = _are_in_cache(wrapper)
        model.add_module(MODULE, wrapper.prompt_encoder)  # a part of the model: counted, moved and trained with it
        model.register_forward_pre_hook(self._before, with_kwargs=True)
        model.register_forward_hook(self._after, with_kwargs=True)

    def _before(
        self, _module: torch.nn.Module, args: tuple[Any, ...], given: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        ids: torch.Tensor = given["input_ids"] if "input_ids" in given else args[0]
        rest = {name: value for name, value in given.items() if name != "input_ids"}
        mask, positions = rest.get("attention_mask"), rest.get("position_ids")
        if mask is not None:
            rest["attention_mask"] = torch.cat([mask.new_ones(len(ids), self._count), mask], dim=1)
        if self._in_cache:
            rest |= {"input_ids": ids, "past_key_values": self._wrapper.get_prompt(len(ids))}
            if positions is not None:
                rest["position_ids"] = positions + self._count
            return (), rest
        words = self._model.get_input_embeddings()(ids)
        tokens = self._wrapper.get_prompt(len(ids)).to(words.dtype)
        rest["inputs_embeds"] = torch.cat([tokens, words], dim=1)
        if positions is not None:
            own = torch.arange(self._count, device=positions.device).expand(len(positions), -1)
            rest["position_ids"] = torch.cat([own, positions + self._count], dim=1)
        return (), rest

    def _after(self, _module: torch.nn.Module, _args: tuple[Any, ...], given: dict[str, Any], output: Any) -> Any:
        """Virtual tokens are not scored."""
        if not self._in_cache and not given.get("logits_to_keep"):
            output.logits = output.logits[:, self._count :]
        return output
