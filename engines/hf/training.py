"""The training loop: AdamW, a cosine schedule after a linear warm-up, clipping. Worker process; imports torch.

A step's times are read around forward, backward and optimiser. The batch is made before; loss and gradient norm are
read from the device after, of a GPU those of several steps together, so that the loop never waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic_ns

import torch
from transformers import PreTrainedModel

from engines.data.training_text import Sequences
from engines.hf.generate import make_clock
from engines.protocol.orders import Training
from engines.protocol.records import Step
from engines.worker.failures import WorkerFailure
from engines.worker.stop import Stop

DEFAULT_RATE = 2e-4
"""Where neither the experiment nor the method names one."""
STEPS_TOGETHER = 10
"""Steps on a GPU whose times and scalars are read together."""


class _Times:
    """Where a clock's host stamps go."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def stamp(self) -> None:
        self.times.append(monotonic_ns())


@dataclass(frozen=True)
class _Done:
    """A step whose scalars may still be on their way from the device."""

    index: int
    data_s: float
    rate: float
    loss: torch.Tensor
    norm: torch.Tensor


class Trainer:
    """Trains the parameters of a model that require a gradient."""

    def __init__(self, model: PreTrainedModel, training: Training, sequences: Sequences, stop: Stop) -> None:
        self._model, self._training, self._sequences, self._stop = model, training, sequences, stop
        trained_counts(model)
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._optimiser = torch.optim.AdamW(
            self._trained, lr=training.learning_rate or DEFAULT_RATE, weight_decay=training.weight_decay, fused=True
        )
        total = training.warmup_steps + training.steps
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimiser, lambda step: rate_factor(step, total, training.schedule_warmup_steps)
        )
        self._together = STEPS_TOGETHER if model.device.type == "cuda" else 1
        self._times = _Times()
        self._clock = make_clock(self._times, 2 * self._together, model.device)
        self._before = self._checksum()

    def train(self, steps: range) -> Iterator[Sequence[Step]]:
        """Run steps and give their records, a few at a time on a GPU. Ends early when the trial is stopped."""
        self._model.train()
        for first in range(steps.start, steps.stop, self._together):
            done: list[_Done] = []
            self._times.times.clear()
            self._clock.begin()
            for index in range(first, min(first + self._together, steps.stop)):
                if self._stop.requested:
                    break
                done.append(self._step(index))
            self._clock.end()
            if done:
                yield self._records(done)

    def _step(self, index: int) -> _Done:
        asked_ns = monotonic_ns()
        ids = torch.tensor(self._sequences.batch(index), device=self._model.device)
        data_s = (monotonic_ns() - asked_ns) / 1e9
        rate = float(self._schedule.get_last_lr()[0])
        self._clock.tick()
        loss = next_token_loss(self._model, ids)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._training.clip_norm or math.inf)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._clock.tick()
        self._schedule.step()
        return _Done(index, data_s, rate, loss.detach(), norm)

    def _records(self, done: Sequence[_Done]) -> list[Step]:
        """Waits for the device. Raises `WorkerFailure` where a loss is not finite."""
        times = self._clock.corrected(2 * len(done)) or tuple(self._times.times)
        training, records = self._training, list[Step]()
        for one, start_ns, end_ns in zip(done, times[::2], times[1::2], strict=True):
            loss, norm = float(one.loss), float(one.norm)
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise WorkerFailure(
                    "technique",
                    f"Training diverged: at step {one.index + 1} the loss is {loss:g} and the gradient norm {norm:g}.",
                    "The steps before it are kept. Lower the learning rate, or raise schedule_warmup_steps.",
                )
            records.append(
                Step(
                    t_ns=end_ns,
                    index=one.index,
                    warmup=one.index < training.warmup_steps,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    tokens=training.batch_size * training.sequence_tokens,
                    samples=training.batch_size,
                    loss=loss,
                    gradient_norm=norm,
                    learning_rate=one.rate,
                    data_s=one.data_s,
                )
            )
        return records

    def changed_tensors(self) -> int:
        """How many trained tensors differ from what they were before the first step."""
        return sum(a != b for a, b in zip(self._before, self._checksum(), strict=True))

    def _checksum(self) -> list[tuple[float, float]]:
        with torch.no_grad():
            return [(float(p.double().sum()), float(p.double().square().sum())) for p in self._trained]


def trained_counts(model: torch.nn.Module) -> dict[str, float]:
    """Parameters that training changes, and all. Raises `WorkerFailure` where there are none to train."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise WorkerFailure(
            "technique", "No parameter is left to train.", "Choose a fine-tuning technique, for example finetune.lora."
        )
    return {
        "trained_parameters": sum(p.numel() for p in trained),
        "trained_bytes": sum(p.numel() * p.element_size() for p in trained),
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def next_token_loss(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats a predicted token) of sequences `ids`, shape (batch, tokens), in float32."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def rate_factor(step: int, total: int, warmup: int) -> float:
    """Share of the learning rate at a step, from 0: a line up to 1 over `warmup` steps, then half a cosine down, which
    would reach 0 at step `total`."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
