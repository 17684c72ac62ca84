"""Which layers of a loaded model a method sits on: by the same rules as `engines.techniques.finetune.counts`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from engines.techniques.finetune.counts import HEAD, Parameters, matches, names_of
from engines.techniques.weights import in_attention, is_key_or_value, is_router, is_second_of_mlp, split_block
from engines.worker.failures import WorkerFailure


def chosen_layers(model: PreTrainedModel, parameters: Parameters) -> list[str]:
    """Full names of the layers that the settings choose: never a layer that chooses experts."""
    names = names_of(parameters)
    if names:
        found = _in_blocks(model, lambda inside: matches(inside, names))
        head = model.get_output_embeddings()
        if HEAD in names and head is not None:
            found += [name for name, module in model.named_modules() if module is head]
    elif parameters.get("target_modules") == "attention":
        found = _in_blocks(model, in_attention)
    else:
        found = _in_blocks(model, lambda _inside: True)
    if not found:
        raise WorkerFailure(
            "technique",
            f"{type(model).__name__} has none of the layers to adapt.",
            "Set target_modules to all-linear and leave modules empty.",
        )
    return found


def scaled_layers(model: PreTrainedModel) -> tuple[list[str], list[str]]:
    """Those that IA3 scales: layers of keys and values, and the second ones of the feed-forward."""
    return _in_blocks(model, is_key_or_value), _in_blocks(model, is_second_of_mlp)


def expert_parameters(model: PreTrainedModel) -> list[str]:
    """Names of the parameters that hold stacked experts. Raises `WorkerFailure` where there are none."""
    found = [name for name, p in model.named_parameters() if p.ndim == 3 and ".experts." in name]
    if not found:
        raise WorkerFailure(
            "technique", f"{type(model).__name__} stacks no experts in one parameter.", "Set experts to false."
        )
    return found


def is_transposed(model: PreTrainedModel) -> bool:
    """Whether the layers are Conv1D, which store their weights as inputs x outputs."""
    return any(isinstance(module, Conv1D) for module in model.modules())


def _in_blocks(model: PreTrainedModel, wanted: Callable[[str], bool]) -> list[str]:
    found: list[str] = []
    for name, module in model.named_modules():
        part = split_block(name) if isinstance(module, (torch.nn.Linear, Conv1D)) else None
        if part is not None and ".experts." not in name and not is_router(part[2]) and wanted(part[2]):
            found.append(name)
    return found
