"""Keeps what a training trial is asked to keep. Worker process; imports torch.

A model is merged from the adapter that was kept, on a base that was read anew: the trained one may have had its 4-bit
weights repacked by an evaluation, and what is merged is then what anybody can merge again. Weights that are quantised
while they are loaded are widened first, straight after reading: merging into 4 bits would round the adapter away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engines.hf.artifacts.adapter import attach, save_trained
from engines.hf.finetune import wrapper_of
from engines.models import artifacts
from engines.models.artifacts import Kind, Made
from engines.protocol.file_errors import error_in, what_happened, what_to_do
from engines.protocol.orders import TrialOrder
from engines.protocol.places import places
from engines.protocol.records import Artifact
from engines.worker.engine import NotKept
from engines.worker.failures import WorkerFailure

CHECKPOINTS = 2
"""Of a trial that stay: the last one, and the one before in case the last is damaged."""


def keep_trained(
    order: TrialOrder,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None,
    steps: int,
    read_again: Callable[[], PreTrainedModel],
) -> Iterator[Artifact]:
    """What the order asks for, as it is written. With adapters, a model is kept beside the adapter that it was merged
    from; `read_again` lets the trained model go and gives its base. Raises `NotKept`, `WorkerFailure`."""
    wanted, place = order.training.keep, places().artifacts
    if wanted == "nothing":
        return
    has_adapter = wrapper_of(model) is not None
    if wanted == "adapter" or has_adapter:
        adapter = artifacts.place_of(place, order.trial, "adapter")
        yield store(adapter, made_by(order, "adapter", steps), partial(save_trained, model))
    if wanted == "model":
        into = ""
        if has_adapter:
            del model
            model, into = merged(read_again(), adapter)
        yield store(
            artifacts.place_of(place, order.trial, "model"),
            msgspec.structs.replace(made_by(order, "model", steps), merged_into=into),
            partial(save_model, model, tokenizer),
        )


def keep_checkpoint(order: TrialOrder, steps: int, save: Callable[[Path], None]) -> Artifact:
    """Write a checkpoint and let the oldest of the trial's go. Raises `NotKept`."""
    place = places().artifacts
    folder = artifacts.place_of(place, order.trial, artifacts.checkpoint_name(steps))
    done = store(folder, made_by(order, "checkpoint", steps), save)
    for old, _ in artifacts.checkpoints(place, order.trial)[CHECKPOINTS:]:
        with contextlib.suppress(OSError):
            artifacts.remove(old)
    return done


def made_by(order: TrialOrder, kind: Kind, steps: int) -> Made:
    return Made(
        artifact=kind,
        trial=order.trial,
        title=order.title,
        experiment_title=order.experiment_title,
        step=steps,
        base=order.model,
        techniques=order.techniques,
    )


def store(folder: Path, made: Made, fill: Callable[[Path], None]) -> Artifact:
    """Write an artifact, whole or not at all. Raises `NotKept`."""
    try:
        done = artifacts.write(folder, made, fill)
    except (OSError, SafetensorError) as error:
        # safetensors puts what the system said into words
        cause = error if isinstance(error, OSError) else error_in(str(error)) or OSError(str(error))
        raise NotKept(
            f"The {made.artifact} was not kept. {what_happened(cause, folder.parent)} The trial's figures are safe. "
            f"{what_to_do(cause, folder.parent)}"
        ) from error
    return Artifact(artifact=made.artifact, path=str(folder), bytes=done.bytes, sha256=done.sha256)


def merged(base: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, str]:
    """A freshly read base with the trained part in `folder` merged into its weights, and what it was merged into.
    Raises `WorkerFailure` where the method cannot be merged."""
    base, into = widened(base)
    whole = attach(base, folder)
    if not isinstance(whole, PeftModel):
        return whole, into
    if whole.active_peft_config.is_prompt_learning:
        raise WorkerFailure(
            "technique",
            f"{whole.active_peft_config.peft_type} adds virtual tokens, which cannot be merged into the weights.",
            'Set keep = "adapter" and use the adapter with its base model.',
        )
    try:
        merged: PreTrainedModel = whole.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError) as error:
        raise WorkerFailure(
            "technique",
            f"peft cannot merge this adapter: {error}",
            'Set keep = "adapter" and use the adapter with its base model.',
        ) from error
    return merged, into


def widened(base: PreTrainedModel) -> tuple[PreTrainedModel, str]:
    """The base with floating weights, and what they are. Raises `WorkerFailure` where they cannot be had."""
    method = getattr(getattr(base, "hf_quantizer", None), "quantization_config", None)
    if method is None:
        return base, f"the base in {_name(base.dtype)}"
    try:
        wide: PreTrainedModel = base.dequantize(base.dtype)  # before its first use, which may repack the weights
    except (NotImplementedError, ValueError) as error:
        raise WorkerFailure(
            "technique",
            f"Weights quantised by {method.quant_method} cannot be widened again, and an adapter is not merged into "
            "quantised weights.",
            'Set keep = "adapter", or train in another precision.',
        ) from error
    return wide, f"the base dequantised to {_name(wide.dtype)}"


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> None:
    """A whole model as safetensors, with its tokenizer. Raises OSError, SafetensorError."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
