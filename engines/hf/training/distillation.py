"""Losses that make a student's predictions those of a teacher: KL divergence of their next-token distributions. Worker
process; imports torch.

At a temperature T both distributions are softened, and the loss is multiplied by T², so that its gradient keeps its
size (Hinton et al. 2015, arXiv 1503.02531). Forward KL(teacher || student) covers all that the teacher thinks possible;
reverse KL(student || teacher) keeps the student from what it does not (MiniLLM, arXiv 2306.08543).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from engines.hf.training.micro_batches import IGNORED, MicroBatch

Direction = Literal["forward", "reverse"]


@dataclass(frozen=True)
class Distillation:
    direction: Direction = "forward"
    temperature: float = 2.0
    weight: float = 0.5
    """Share of the divergence in the loss; the rest is the text's own cross-entropy."""


def divergence(
    student: torch.Tensor, teacher: torch.Tensor, direction: Direction = "forward", temperature: float = 1.0
) -> torch.Tensor:
    """Of each place, times T²: logits of shape (places, vocabulary) -> (places,), in float32. Raises `ValueError` for
    vocabularies of different sizes: their tokens are not the same."""
    if student.shape != teacher.shape:
        raise ValueError(f"logits of shape {tuple(student.shape)} and {tuple(teacher.shape)}: other tokens or places")
    log_s = functional.log_softmax(student.float() / temperature, dim=-1)
    log_t = functional.log_softmax(teacher.float() / temperature, dim=-1)
    # kl_div(log q, log p) is KL(p || q)
    log_q, log_p = (log_s, log_t) if direction == "forward" else (log_t, log_s)
    each = functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
    return each * temperature**2


def distilled_loss(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: MicroBatch, settings: Distillation
) -> torch.Tensor:
    """Summed over the places whose target counts, as `token_losses` is: no padding, no prompt that is masked. The
    teacher computes without gradients, in evaluation mode as it is given. Raises `ValueError`."""
    packed = {} if batch.positions is None else {"position_ids": batch.positions}
    targets = functional.pad(batch.labels[:, 1:], (0, 1), value=IGNORED).flatten()
    places = targets != IGNORED
    with torch.no_grad():
        wanted = teacher(input_ids=batch.ids, use_cache=False, **packed).logits.flatten(0, 1)[places]
    logits = student(input_ids=batch.ids, use_cache=False, **packed).logits.flatten(0, 1)[places]
    alike = divergence(logits, wanted, settings.direction, settings.temperature).sum()
    text = functional.cross_entropy(logits.float(), targets[places], reduction="sum")
    return settings.weight * alike + (1 - settings.weight) * text
