"""A training that continues from a checkpoint equals one that was never interrupted."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.hf.artifacts import checkpoint
from engines.models import artifacts
from engines.models.artifacts import Made
from engines.protocol.orders import ModelOrder, ResumeOrder
from engines.worker.failures import WorkerFailure


def made(step: int) -> Made:
    base = ModelOrder(ref="tiny", title="tiny", kind="folder", path="/tiny")
    return Made(artifact="checkpoint", trial="t-1", title="tiny", experiment_title="test", step=step, base=base)


class Training:
    """A small network with dropout, trained by numbered batches."""

    def __init__(self, width: int = 16) -> None:
        torch.manual_seed(3)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(8, width), torch.nn.Dropout(0.3), torch.nn.GELU(), torch.nn.Linear(width, 4)
        )
        self.model[0].bias.requires_grad_(False)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=0.01, fused=True)

    def steps(self, numbers: range) -> list[float]:
        losses = []
        for number in numbers:
            batch = torch.randn(5, 8, generator=torch.Generator().manual_seed(number))
            noise = random.random() + float(np.random.random())  # other generators count too
            loss = (self.model(batch) * noise).square().mean()
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            losses.append(float(loss.detach()))
        return losses


def save(training: Training, folder: Path, step: int) -> ResumeOrder:
    def fill(draft: Path) -> None:
        checkpoint.save(training.model, training.optimiser, {"tokens": 7.0}, draft)

    done = artifacts.write(folder / f"step-{step}", made(step), fill)
    return ResumeOrder(trial="t-1", path=str(folder / f"step-{step}"), sha256=done.sha256, step=step)


def test_that_resuming_equals_never_stopping(tmp_path: Path) -> None:
    whole = Training()
    first = whole.steps(range(4))
    order = save(whole, tmp_path, 4)
    rest = whole.steps(range(4, 9))
    again = Training()
    torch.manual_seed(99)
    random.seed(99)
    assert checkpoint.restore(order, again.model, again.optimiser) == {"tokens": 7.0}
    assert again.steps(range(4, 9)) == rest
    assert all(torch.equal(a, b) for a, b in zip(whole.trained, again.trained, strict=True))
    assert first != rest


def test_that_a_changed_checkpoint_is_refused(tmp_path: Path) -> None:
    training = Training()
    training.steps(range(1))
    order = save(training, tmp_path, 1)
    file = Path(order.path) / checkpoint.TENSORS
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WorkerFailure, match="not those that trial t-1 wrote") as refused:
        checkpoint.restore(order, training.model, training.optimiser)
    assert refused.value.kind == "engine"  # the configuration's other trials are not given up
    with pytest.raises(WorkerFailure, match="not the checkpoint that was chosen"):
        checkpoint.restore(
            ResumeOrder(trial="t-1", path=str(tmp_path / "step-9"), sha256="", step=9),
            training.model,
            training.optimiser,
        )


def test_that_a_checkpoint_of_other_parameters_is_refused(tmp_path: Path) -> None:
    training = Training()
    training.steps(range(1))
    order = save(training, tmp_path, 1)
    other = Training(width=8)
    with pytest.raises(WorkerFailure, match="other parameters"):
        checkpoint.restore(order, other.model, other.optimiser)
