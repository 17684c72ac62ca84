"""One way in for every fine-tuning method: it changes the model in place, says what it changed, and keeps what training
and saving need of it with the model."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel

from engines.hf.count import is_quantised
from engines.hf.finetune import adapters, lora, parts, prompts
from engines.hf.finetune.trained import adapter_facts
from engines.hf.training.evidence import trained_counts
from engines.hf.training.step import Callback
from engines.protocol.orders import TechniqueOrder
from engines.techniques.finetune import adapters as adapter_entries
from engines.techniques.finetune import lora as lora_entries
from engines.techniques.finetune import parts as part_entries
from engines.techniques.finetune import prompts as prompt_entries
from engines.techniques.finetune.counts import Parameters
from engines.worker.failures import WorkerFailure

_KEPT = "workbench_adapted"
_PROBE_TOKENS = 8
_REWRITE = frozenset({lora_entries.PISSA, lora_entries.OLORA})
"""Methods that change the frozen weights too, so that adapters and rest together are the model as it was."""
MakesConfig = Callable[[PreTrainedModel, str, Parameters], PeftConfig]

_CONFIGS: dict[str, MakesConfig] = {
    **{technique.id: lora.config for technique in lora_entries.TECHNIQUES},
    **{technique.id: adapters.config for technique in adapter_entries.TECHNIQUES},
    **{technique.id: prompts.config for technique in prompt_entries.TECHNIQUES},
}
_PARTS = frozenset(technique.id for technique in part_entries.TECHNIQUES)


@dataclass
class Adapted:
    """What belongs to an adapted model."""

    order: TechniqueOrder
    peft: PeftModel | None = None
    """None for methods without adapters."""
    initial: dict[str, torch.Tensor] = field(default_factory=dict)
    """Of a method that rewrites the base: its adapters before the first step, on the processor."""


def apply(model: PreTrainedModel, order: TechniqueOrder, seed: int) -> dict[str, float]:
    """Apply a method, freeze everything it does not train; returns what changed. Raises `WorkerFailure`."""
    if order.id == lora_entries.QLORA and not any(is_quantised(parameter) for parameter in model.parameters()):
        raise WorkerFailure(
            "technique",
            "QLoRA trains beside a base in 4 bits, and this one is not quantised.",
            "Choose the precision nf4 or fp4, or the method LoRA.",
        )
    before = _probe(model)
    torch.manual_seed(seed)  # adapters begin with random numbers
    kept = Adapted(order)
    if order.id in _PARTS:
        parts.unfreeze(model, order.id, order.parameters)
    else:
        kept.peft = get_peft_model(model, _CONFIGS[order.id](model, order.id, order.parameters))
        if kept.peft.active_peft_config.is_prompt_learning:
            prompts.VirtualTokens(model, kept.peft)
        if order.id in _REWRITE:
            kept.initial = {name: t.detach().cpu().clone() for name, t in get_peft_model_state_dict(kept.peft).items()}
    model.__dict__[_KEPT] = kept  # not an attribute: torch would make the wrapper a part of the model
    return {
        **trained_counts(model),
        **adapter_facts(model),
        "start_difference": float((_probe(model) - before).abs().max()),
    }


def adapted(model: PreTrainedModel) -> Adapted:
    """What `apply` kept. Raises KeyError for a model that was not adapted."""
    kept = model.__dict__[_KEPT]
    assert isinstance(kept, Adapted)
    return kept


def wrapper_of(model: PreTrainedModel) -> PeftModel | None:
    """peft's wrapper of an adapted model; None without adapters."""
    return adapted(model).peft if _KEPT in model.__dict__ else None


def virtual_positions(model: PreTrainedModel) -> tuple[int, int]:
    """How many positions the method adds to each sequence: to those that are computed, and to those that are attended
    to."""
    wrapper = wrapper_of(model)
    if wrapper is None or not wrapper.active_peft_config.is_prompt_learning:
        return 0, 0
    return prompts.positions(wrapper)


def _probe(model: PreTrainedModel) -> torch.Tensor:
    """Logits of a few fixed tokens, shape (tokens, vocabulary)."""
    size = int(model.config.get_text_config().vocab_size)
    ids = torch.arange(_PROBE_TOKENS, device=model.device).remainder(size)[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    model.train(training)
    return logits


def callback(model: PreTrainedModel, steps: int) -> Callback | None:
    """What the method does around each of its `steps` steps; None for most."""
    kept = model.__dict__.get(_KEPT)  # a method of another package keeps nothing here
    if isinstance(kept, Adapted) and kept.peft is not None and kept.order.id == adapter_entries.ADALORA:
        return adapters.AdaLora(kept.peft, kept.order.parameters, steps)
    return None


def save_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Save the adapter in peft's format, so that it loads on the model as it was before training: of a method that
    rewrote the base an ordinary LoRA of twice the rank (Meng et al. 2024, appendix). Raises ValueError for a method
    without adapters."""
    kept = adapted(model)
    if kept.peft is None:
        raise ValueError(f"{kept.order.id} has no adapter")
    if not kept.initial:
        kept.peft.save_pretrained(str(folder))
        return
    config = kept.peft.peft_config["default"]
    init, config.init_lora_weights = config.init_lora_weights, True
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        start = Path(place) / "initial"  # peft calls the adapter by the folder
        config.save_pretrained(str(start))
        save_file({k: v.contiguous() for k, v in kept.initial.items()}, start / "adapter_model.safetensors")
        config.init_lora_weights = init
        warnings.filterwarnings("ignore", "(PiSSA|OLoRA) changes the base weights", UserWarning)  # converted right here
        kept.peft.save_pretrained(str(folder), path_initial_model_for_weight_conversion=str(start))
