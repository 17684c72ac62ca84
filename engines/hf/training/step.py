"""One training step: micro-batches, clipping, the optimiser. Worker process; imports torch.

The loss is the mean over all tokens of the step that count, so that accumulating micro-batches is one large batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, cast

import torch
from transformers import PreTrainedModel

from engines.hf.architecture.experts import balance_loss
from engines.hf.shape import expert_count
from engines.hf.training.micro_batches import MicroBatch, forward, losses_of, token_losses
from engines.protocol.work import AnyTraining, Pretraining


class Callback(Protocol):
    """What a method does around the optimiser's step."""

    def before_step(self) -> None:
        """The gradients are complete and not clipped yet."""
        ...

    def after_step(self, step: int) -> None:
        """The optimiser has made a step; the gradients are still there. `step`: its number, from 0, or a later one
        where a budget ends training before its last step, so that training is over when all numbers are."""
        ...


class Stepper:
    """Runs steps with one optimiser over the parameters of a model that require a gradient."""

    def __init__(
        self,
        model: PreTrainedModel,
        training: AnyTraining,
        optimiser: torch.optim.Optimizer,
        callback: Callback | None = None,
    ) -> None:
        self._model, self._optimiser, self._callback = model, optimiser, callback
        self._forward = cast("PreTrainedModel", torch.compile(model)) if training.compile else model
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._clip = training.clip_norm or math.inf
        self._balances = isinstance(training, Pretraining) and expert_count(model.config) > 0
        self._bfloat16 = training.autocast == "bfloat16"

    def run(self, index: int, batches: Sequence[MicroBatch]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the loss before the step and the norm of its gradient before clipping, both on the device."""
        loss = self.backward(batches)
        if self._callback is not None:
            self._callback.before_step()
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._clip)
        self._optimiser.step()
        if self._callback is not None:
            self._callback.after_step(index)
        self._optimiser.zero_grad(set_to_none=True)
        return loss, norm

    def backward(self, batches: Sequence[MicroBatch]) -> torch.Tensor:
        """Add up the gradients of all micro-batches; returns the mean loss."""
        counted = max(1, sum(batch.loss_tokens for batch in batches))
        total = torch.zeros((), device=self._model.device)
        for batch in batches:
            loss, balance = self._losses(batch)
            total += loss.detach() / counted
            if balance is not None:
                loss = loss + balance * batch.loss_tokens
            (loss / counted).backward()  # type: ignore[no-untyped-call]
        return total

    def loss(self, batch: MicroBatch) -> torch.Tensor:
        """Summed over the tokens that count."""
        return self._losses(batch)[0]

    def _losses(self, batch: MicroBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """And what keeps the experts of a mixture equally busy, which no reported loss includes."""
        with torch.autocast(self._model.device.type, torch.bfloat16, enabled=self._bfloat16):
            if not self._balances:
                return token_losses(self._forward, batch, "sum"), None
            outputs = forward(self._forward, batch, output_router_logits=True)
            return losses_of(outputs.logits, batch, "sum"), balance_loss(outputs, self._model.config)
