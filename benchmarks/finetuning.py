"""Two copies of one small model, with the same adapters or all of it trained, and our loop over one of them. A library
of benchmarks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.protocol.work import AnyTraining, Pretraining, Training

_SHAPE = {
    "vocab_size": 8192,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
"""13 M parameters: a step takes a fraction of a second here, so what a loop adds shows."""
RATE = 1e-4


@dataclass
class Timed:
    """Seconds a step: by the clock and of the processor."""

    wall: float
    processor: float


def options(what: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--sequence", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="of each way in each pair")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--most", type=int, default=160, help="pairs at the most")
    parser.add_argument("--pretraining", action="store_true", help="all weights, as pretraining sets its optimiser")
    parser.add_argument("--optimisers", action="store_true", help="time the forms of AdamW too")
    return parser.parse_args()


def training(chosen: argparse.Namespace) -> AnyTraining:
    """All steps that could come, so that both ways have one schedule."""
    kind = Pretraining if chosen.pretraining else Training
    return kind(
        steps=2 * chosen.steps * chosen.most,
        warmup_steps=0,
        batch_size=chosen.batch,
        sequence_tokens=chosen.sequence,
        learning_rate=RATE,
    )


def model_of(chosen: argparse.Namespace) -> Any:
    """The same at every call."""
    return plain().train() if chosen.pretraining else adapted(chosen.rank)


def plain() -> Any:
    """A llama with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    return LlamaForCausalLM(LlamaConfig(**_SHAPE))


def adapted(rank: int) -> Any:
    """With LoRA on all linear layers through peft."""
    from peft import LoraConfig, get_peft_model

    model = plain()
    get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
    return model.train()


def documents(chosen: argparse.Namespace) -> Sequence[Any]:
    """Random tokens: every step has as many."""
    from engines.data.text import random_text
    from engines.data.training.documents import pieces
    from engines.data.training.windows import Windows

    ids = random_text(_SHAPE["vocab_size"], chosen.sequence * 400, 0)
    if chosen.pretraining:
        return Windows(np.array(ids, dtype=np.uint16), chosen.sequence)
    return pieces(ids, chosen.sequence, (), whole_only=True)


class Ours:
    """`engines.hf.training`'s loop, some steps at a time."""

    def __init__(self, model: Any, chosen: argparse.Namespace, some: Sequence[Any]) -> None:
        from engines.data.training.documents import Batches
        from engines.hf.training.trainer import Trainer
        from engines.worker.budget import Budget
        from engines.worker.stop import Stop

        load = training(chosen)
        batches = Batches(some, chosen.sequence, chosen.batch, "0", packing=not chosen.pretraining)
        groups = [{"params": [p for p in model.parameters() if p.requires_grad], "lr": RATE}]
        self._trainer, self._budget = Trainer(model, load, batches, Stop(), groups), Budget(load)
        self._steps, self._next = chosen.steps, 0
        self.losses: list[float] = []

    def run(self, steps: int = 0) -> Timed:
        """Everything a step takes: its batch, its record, what is read of it."""
        count = steps or self._steps
        with stopwatch() as timed:
            for some in self._trainer.train(range(self._next, self._next + count), self._budget):
                self.losses += [step.loss or 0.0 for step in some]
        self._next += count
        return Timed(timed[0] / count, timed[1] / count)


class stopwatch:
    """`with stopwatch() as timed`: seconds by the clock and of the processor in it afterwards."""

    def __enter__(self) -> list[float]:
        self._timed: list[float] = []
        self._start = (time.perf_counter(), time.process_time())
        return self._timed

    def __exit__(self, *_: object) -> None:
        self._timed += [time.perf_counter() - self._start[0], time.process_time() - self._start[1]]


def random_batches(some: Sequence[Any], chosen: argparse.Namespace) -> Iterator[Any]:
    """Batches as tensors, as a plain script has them."""
    import torch

    rows = torch.tensor([list(one.ids) for one in some])
    while True:
        for place in torch.randperm(len(rows)).split(chosen.batch):
            if len(place) == chosen.batch:
                yield rows[place]
