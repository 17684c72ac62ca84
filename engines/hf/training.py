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

from engines.data.training.documents import Batches, Row
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
    rows: Sequence[Row]
    data_s: float
    rate: float
    loss: torch.Tensor
    norm: torch.Tensor


class Trainer:
    """Trains the parameters of a model that require a gradient."""

    def __init__(self, model: PreTrainedModel, training: Training, batches: Batches, stop: Stop) -> None:
        self._model, self._training, self._batches, self._stop = model, training, batches, stop
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
        rows = self._batches.batch(index)
        ids, labels, positions = (torch.tensor(of_rows, device=self._model.device) for of_rows in _filled(rows))
        data_s = (monotonic_ns() - asked_ns) / 1e9
        rate = float(self._schedule.get_last_lr()[0])
        self._clock.tick()
        loss = next_token_loss(self._model, ids, labels, positions)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._training.clip_norm or math.inf)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._clock.tick()
        self._schedule.step()
        return _Done(index, rows, data_s, rate, loss.detach(), norm)

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
                    tokens=sum(len(row.ids) for row in one.rows),
                    samples=sum(row.positions.count(0) for row in one.rows),
                    padding_tokens=sum(max(len(r.ids) for r in one.rows) - len(row.ids) for row in one.rows),
                    loss_tokens=sum(row.loss_mask.count(1) for row in one.rows),
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


def _filled(rows: Sequence[Row]) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Ids, labels and positions, filled up at the end to the longest row."""
    ids, labels, positions = list[list[int]](), list[list[int]](), list[list[int]]()
    for row in rows:
        lacking = max(len(one.ids) for one in rows) - len(row.ids)
        ids.append(row.ids + [0] * lacking)
        labels.append([id if n else -100 for id, n in zip(row.ids, row.loss_mask, strict=True)] + [-100] * lacking)
        last = row.positions[-1]
        positions.append([*row.positions, *range(last + 1, last + 1 + lacking)])
    return ids, labels, positions


def next_token_loss(
    model: PreTrainedModel, ids: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy (nats a predicted token that counts) of rows, each of shape (batch, tokens), in float32.

    Documents of a row do not see each other only without a cache and without an attention mask: transformers then finds
    their borders where positions begin again."""
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), labels[:, 1:].flatten())


def rate_factor(step: int, total: int, warmup: int) -> float:
    """Share of the learning rate at a step, from 0: a line up to 1 over `warmup` steps, then half a cosine down, which
    would reach 0 at step `total`."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
