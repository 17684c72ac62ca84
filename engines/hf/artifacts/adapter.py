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

from engines.hf import files
from engines.hf.count import is_quantised
from engines.hf.finetune import save_adapter, wrapper_of
from engines.models import artifacts
from engines.models.artifacts import PEFT_CONFIG, TRAINED
from engines.models.files import BrokenModel
from engines.protocol.orders import ModelOrder
from engines.worker.failures import WorkerFailure

VIRTUAL = "The adapter adds virtual tokens, which cannot be generated from here."
_AGAIN = "Choose the model again in Setup; where it was trained here, train again."


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
    try:
        artifacts.check_adapter(folder)
    except BrokenModel as error:
        raise WorkerFailure("model", str(error), error.advice) from error
    if (folder / PEFT_CONFIG).is_file():
        try:
            wrapper: PeftModel = PeftModel.from_pretrained(model, str(folder))
        except (RuntimeError, ValueError) as error:
            raise _another_model(folder, str(error).partition("\n")[0]) from error
        return wrapper
    tensors = load_file(folder / TRAINED, device=str(model.device))
    if any(is_quantised(parameter) for name, parameter in model.named_parameters() if name in tensors):
        raise WorkerFailure(
            "technique",
            "What was trained takes the place of weights of the base, which are quantised with this precision.",
            "Choose “Adapter merged”: the precision is then applied to the whole model.",
        )
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            raise _another_model(folder, f"{name} has no counterpart of that shape")
        own[name].copy_(tensor)
    return model


def attach_for_inference(model: PreTrainedModel, order: ModelOrder) -> None:
    """Put an order's adapter beside the layers of its base, frozen and in evaluation mode. Raises `WorkerFailure`."""
    check_adapter(order)
    folder = Path(order.adapter)
    whole = attach(model, folder)
    whole.eval()
    whole.requires_grad_(False)
    if isinstance(whole, PeftModel):
        if whole.active_peft_config.is_prompt_learning:
            raise WorkerFailure("technique", VIRTUAL, "Compare it by its held-out loss in its training trial.")
        if getattr(whole.active_peft_config, "use_dora", False):
            _keep_unpacked(model)


def parameters_of(folder: str) -> dict[str, float]:
    """What an adapter holds, counted in its files; nothing where there is no adapter."""
    weights = sum(t.weights for file in Path(folder).glob("*.safetensors") for t in files.tensors(file))
    return {"adapter_parameters": weights} if folder and weights else {}


def check_adapter(order: ModelOrder) -> None:
    """Raise `WorkerFailure` unless the adapter's files are those that were planned."""
    folder = Path(order.adapter)
    try:
        found = artifacts.digest(folder) if folder.is_dir() else ""
    except OSError as error:
        raise WorkerFailure("model", f"The adapter {folder} cannot be read: {error.strerror}.", _AGAIN) from error
    if not found:
        raise WorkerFailure("model", f"The adapter {folder} is not there.", _AGAIN)
    if order.adapter_hash and found != order.adapter_hash:
        raise WorkerFailure(
            "model", f"The files of the adapter in {folder} have changed since the experiment was planned.", _AGAIN
        )


def _keep_unpacked(model: PreTrainedModel) -> None:
    """bitsandbytes repacks 4-bit weights for processors at their first use in evaluation mode, and DoRA, which widens
    them at each forward, then reads garbage without an error."""
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.train()


def _trained(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}


def _another_model(folder: Path, why: str) -> WorkerFailure:
    return WorkerFailure(
        "model",
        f"The adapter in {folder.parent.name}{os.sep}{folder.name} does not fit this base model: {why}.",
        "It was trained on another model. Choose that one as its base.",
    )
