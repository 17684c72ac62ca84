"""Whether documents that share a row stay apart in a model: tried on it, not taken from its name. Worker process;
imports torch.

Positions that begin again keep them apart only where the model makes its attention mask of them. A model with a state
(Mamba, RWKV) does not, nor does one whose method puts virtual tokens in front.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from engines.data import text
from engines.worker.failures import WorkerFailure

_FIRST, _SECOND = 24, 12
"""Tokens of two documents."""
_MOST = 0.1
"""Of the change that a document in front makes where nothing keeps them apart: more than rounding in any precision."""


def check_apart(model: PreTrainedModel) -> None:
    """Raises `WorkerFailure` where a document's logits depend on the one before it in its row."""
    if not stay_apart(model):
        raise WorkerFailure(
            "technique",
            "Rows that share a sequence would see each other in this model or with this method: they cannot be packed.",
            "Nothing was trained. Set packing = false, for every configuration that it is compared with.",
        )


def stay_apart(model: PreTrainedModel) -> bool:
    ids = text.random_tokens(int(model.config.get_text_config().vocab_size), _FIRST + _SECOND, 0)
    was_training = model.training
    model.eval()
    try:
        alone = _logits(model, ids[_FIRST:], range(_SECOND))
        behind = _logits(model, ids, (*range(_FIRST), *range(_SECOND)))
        mixed = _logits(model, ids, range(_FIRST + _SECOND))
    finally:
        model.train(was_training)
    return float((behind - alone).norm()) <= _MOST * float((mixed - alone).norm())


def _logits(model: PreTrainedModel, ids: list[int], positions: range | tuple[int, ...]) -> torch.Tensor:
    """Of the last document, in float32."""
    inputs = torch.tensor([ids], device=model.device)
    places = torch.tensor([list(positions)], device=model.device)
    with torch.no_grad():
        return model(input_ids=inputs, position_ids=places, use_cache=False).logits[0, -_SECOND:].float()
