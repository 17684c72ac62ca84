"""The training half of the transformers engine: data, trainer and held-out loss of one trial. Worker process; imports
torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from transformers import PreTrainedModel

from engines.data.held_out import Losses
from engines.data.training.documents import Batches
from engines.hf.artifacts import checkpoint
from engines.hf.finetune import callback, parameter_groups
from engines.hf.perplexity import window_losses, window_size
from engines.hf.stages import described_optimiser, optimiser_effects, optimisers
from engines.hf.training import evidence
from engines.hf.training.apart import check_apart
from engines.hf.training.memory import storages
from engines.hf.training.micro_batches import micro_batches
from engines.hf.training.optimisers import states
from engines.hf.training.trainer import STEPS_TOGETHER, Trainer
from engines.hf.training.untimed import look
from engines.protocol.orders import ResumeOrder, TrialOrder
from engines.protocol.records import Evaluation, FlopCount, MemoryParts, Step, TookEffect
from engines.protocol.work import AnyTraining
from engines.techniques.finetune import learning_rate, method_of, virtual_tokens
from engines.worker.budget import Budget
from engines.worker.engine import HeldOut
from engines.worker.failures import WorkerFailure, first_line
from engines.worker.stop import Stop


class Data(Protocol):
    """What a trial trains on, and what judges it."""

    batches: Batches

    def facts(self) -> dict[str, str]: ...

    def splits(self) -> frozenset[HeldOut]:
        """What is held out."""
        ...

    def held_out(self, split: HeldOut, size: int, losses: Losses) -> Evaluation | None:
        """Loss on text that training does not see; in windows of `size` where it is one long text. None when stopped,
        and where there is none. Raises what `losses` raises."""
        ...


class Session:
    """Trains a loaded model. `begin` comes after the fine-tuning method was applied."""

    def __init__(self, order: TrialOrder, model: PreTrainedModel, data: Data, stop: Stop) -> None:
        """Raises `WorkerFailure`."""
        self._order = order
        self._model, self._data, self._stop = model, data, stop
        self._training = order.training
        self._rate = learning_rate(order.training, order.techniques)
        self._method = method_of(order.techniques)
        self._virtual = virtual_tokens(order.techniques)
        self._counts = order.block == 0  # once for each configuration
        self._first_measured = order.first_measured_step
        self._trainer: Trainer | None = None
        self.splits = data.splits()
        self._frozen: Mapping[str, str] = {}
        self._before: Mapping[str, str] = {}

    @property
    def trains(self) -> bool:
        """Whether the first step may have been made."""
        return self._trainer is not None

    def facts(self) -> dict[str, str]:
        on_host = self._model.device.type == "cpu"
        return {
            **self._data.facts(),
            "training.optimiser": described_optimiser(self._order),
            "training.schedule": _schedule(self._training),
            "training.learning_rate": f"{self._rate:g}",
            "training.autocast": self._training.autocast,
            "training.checkpointing": "every layer" if self._training.checkpointing else "off",
            "training.compiled": "yes" if self._training.compile else "no",
            "training.scalars": "read from the device after each step"
            if on_host
            else f"read from the device every {STEPS_TOGETHER} steps",
        }

    def begin(self) -> Iterator[MemoryParts | FlopCount | TookEffect]:
        """Look at one untimed step, make the optimiser, and note every weight, right before the first step."""
        model, training = self._model, self._training
        evidence.trained_counts(model)
        if self._data.batches.shared:
            check_apart(model)
        if training.checkpointing:
            enable_checkpointing(model)
        groups = parameter_groups(model, self._method, self._rate, training.weight_decay)
        first = micro_batches(self._data.batches, training.accumulation, 0, model.device)
        make = optimisers(self._order)
        yield from look(model, training, groups, first, counts=self._counts, makes_optimiser=make)
        around = callback(model, training.warmup_steps + training.steps)
        self._trainer = Trainer(
            model, training, self._data.batches, self._stop, groups, around, self._first_measured, make
        )
        yield from optimiser_effects(self._order, self._trainer.optimiser)
        self._frozen = evidence.frozen_digests(model)
        self._before = evidence.trained_digests(model)

    def save(self, spent: Mapping[str, float], folder: Path) -> None:
        """Write a checkpoint into an empty folder. Raises OSError, SafetensorError."""
        assert self._trainer is not None, "begin() comes first"
        checkpoint.save(self._model, self._trainer.optimiser, spent, folder)

    def restore(self, order: ResumeOrder) -> Mapping[str, float]:
        """Go back to a checkpoint, before the first step. Raises `WorkerFailure`."""
        assert self._trainer is not None, "begin() comes first"
        return checkpoint.restore(order, self._model, self._trainer.optimiser)

    def train(self, steps: range, budget: Budget) -> Iterator[Sequence[Step]]:
        assert self._trainer is not None, "begin() comes first"
        return self._trainer.train(steps, budget)

    def held_out(self, split: HeldOut) -> Evaluation | None:
        """Computed without autocast, whatever the steps are: the loss of the weights as they are stored."""
        self._model.eval()
        return self._data.held_out(
            split, window_size(self._model, self._virtual), window_losses(self._model, self._stop)
        )

    def changed(self) -> tuple[dict[str, float], dict[str, str]]:
        """What training changed, and the hashes of what it changed and left alone as facts. Raises `WorkerFailure`
        where it changed nothing, or what it has to leave alone."""
        assert self._trainer is not None
        after, frozen = evidence.trained_digests(self._model), evidence.frozen_digests(self._model)
        changed = [name for name, digest in after.items() if self._before.get(name) != digest]
        if not changed:
            raise WorkerFailure(
                "technique", "Training changed no weight.", "Raise the learning rate or the number of steps."
            )
        moved = [name for name, digest in frozen.items() if self._frozen.get(name) != digest]
        if moved:
            raise WorkerFailure(
                "technique",
                f"Training changed {len(moved)} tensors that its method leaves alone, {moved[0]} among them.",
                "What was measured is kept, but is not that of this method. Please report it with the model's name.",
            )
        hashes = {
            "training.trained_sha256": evidence.together(after.values()),
            "training.frozen_sha256": evidence.together(frozen.values()),
        }
        counts: dict[str, float] = {
            "changed_tensors": len(changed),
            "trained_tensors": len(after),
            "unchanged_frozen_tensors": len(frozen),
            "optimiser_bytes": sum(storages(states(self._trainer.optimiser)).values()),
        }
        return counts, hashes


def _schedule(training: AnyTraining) -> str:
    ends = {"tokens": " or where the tokens are spent", "time": " or where the time is spent, if that comes first"}
    to = f"{training.rate_floor:g} of it" if training.rate_floor else "0"
    return f"linear warm-up, then cosine to {to} at the last step{ends.get(training.stop_at, '')}"


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Raises `WorkerFailure` for a model that cannot."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise WorkerFailure(
            "technique",
            f"{type(model).__name__} cannot compute its activations again: {first_line(error)}",
            "Turn checkpointing off for this model.",
        ) from error
