"""The trained part of a model in a folder, and back onto a base. Worker process; imports torch and peft.

An adapter of peft is written by peft. What a method without adapters has trained (Full, Freeze, BitFit) is one file
with those tensors, which replace the base's own.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from engines.hf.finetune import save_adapter, wrapper_of
from engines.models.artifacts import PEFT_CONFIG, TRAINED
from engines.worker.failures import WorkerFailure


def save_trained(model: PreTrainedModel, folder: Path) -> None:
    """Write what was trained into an empty folder. Raises OSError, SafetensorError."""
    if wrapper_of(model) is None:
        save_file(_trained(model), folder / TRAINED, {"format": "pt"})
        return
    save_adapter(model, folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's model card, a form to fill in


def attach(model: PreTrainedModel, folder: Path) -> PreTrainedModel | PeftModel:
    """Put what `save_trained` wrote onto the base it was trained on: a wrapper of peft around the model, or the model
    with tensors replaced. Raises `WorkerFailure` where the folder belongs to another model."""
    if (folder / PEFT_CONFIG).is_file():
        try:
            wrapper: PeftModel = PeftModel.from_pretrained(model, str(folder))
        except (RuntimeError, ValueError) as error:
            raise _another_model(folder, str(error).partition("\n")[0]) from error
        return wrapper
    tensors = load_file(folder / TRAINED, device=str(model.device))
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            raise _another_model(folder, f"{name} has no counterpart of that shape")
        own[name].copy_(tensor)
    return model


def _trained(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}


def _another_model(folder: Path, why: str) -> WorkerFailure:
    return WorkerFailure(
        "model",
        f"The adapter in {folder.parent.name}{os.sep}{folder.name} does not fit this base model: {why}.",
        "It was trained on another model. Choose that one as its base.",
    )
