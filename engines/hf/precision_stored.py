"""The precision that a model's files were quantised in. Worker process; imports torch.

Libraries may widen such weights without an error. What is in memory is therefore held to what the files hold: a trial
whose weights are others than its row says ends as a failure. (`engines.hf.load` makes plain weights of them.)
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from engines.hf.count import count, holds_packed
from engines.hf.files import stored_bytes
from engines.hf.load import LoadRequest, load_weights, local_files, stored_of
from engines.hf.precision_bitsandbytes import settled
from engines.worker.failures import WorkerFailure

_WIDER = 1.25
"""Loaded weights may take so much more than the files' tensors: scales in another form, a buffer made while loading."""


def load_stored(request: LoadRequest) -> PreTrainedModel:
    """The weights as the files hold them, the others in the type that the config names. Raises `WorkerFailure` where
    they are not what is in memory after one use."""
    title = request.model.title
    if request.model.kind not in ("folder", "hub"):
        raise WorkerFailure("technique", f"{title} has no quantised files.", "Choose another precision.")
    model = load_weights(request, "auto")
    stored = stored_of(request)  # a library that widens takes it out of the model's own config
    if stored is not None and stored.method == "bitsandbytes":
        settled(model, request)
    else:
        with torch.no_grad():  # some libraries unpack at the first use
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device), use_cache=False)
    source = local_files(request.model)
    wide = source is not None and count(model).tensor_bytes > _WIDER * stored_bytes(source)
    if stored is None or wide or not holds_packed(model):
        was = "its files are not quantised" if stored is None else f"transformers widened its {stored.kind} weights"
        raise WorkerFailure(
            "technique",
            f"{title} does not run as stored: {was}.",
            "Its figures would be those of other weights. Choose float32, bfloat16 or float16.",
        )
    return model
