"""A look at one training step before the timed ones: what memory holds at its peak, and how much it computes. Worker
process; imports torch.

Nothing of it stays: the rate is 0, the optimiser is another one, and the generators of random numbers are put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import torch
from transformers import PreTrainedModel

from engines.hf.finetune import virtual_positions
from engines.hf.training.flops import Linears, attention_flops, counted, omitted
from engines.hf.training.memory import FAILURES, memory_parts
from engines.hf.training.micro_batches import MicroBatch
from engines.hf.training.optimisers import Group, MakesOptimiser, make_optimiser
from engines.hf.training.step import Stepper
from engines.protocol.records import FlopCount, MemoryParts
from engines.protocol.work import AnyTraining
from engines.worker.failures import is_out_of_memory


def look(
    model: PreTrainedModel,
    training: AnyTraining,
    groups: Sequence[Group],
    batches: Sequence[MicroBatch],
    *,
    counts: bool,
    makes_optimiser: MakesOptimiser = make_optimiser,
) -> Iterator[MemoryParts | FlopCount]:
    """Of a step over `batches`; its operations are also counted where `counts`. Of several
    micro-batches one is looked at that has the gradients of another beside it, as most have."""
    training = msgspec.structs.replace(training, compile=False)
    optimiser = makes_optimiser(training, [{**group, "lr": 0.0} for group in groups])
    stepper = Stepper(model, training, optimiser)
    model.train()
    device = model.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield _flops(model, training, stepper, batches, counts=counts)
        optimiser.step()  # from here on it has its states
        optimiser.zero_grad(set_to_none=True)
        stepper.backward(batches[1:2])
        yield memory_parts(model, optimiser, lambda: stepper.run(0, batches[:1]))


def _flops(
    model: PreTrainedModel, training: AnyTraining, stepper: Stepper, batches: Sequence[MicroBatch], *, counts: bool
) -> FlopCount:
    """One micro-batch forward and back; others are taken by their shapes."""
    linears = Linears(model)

    def step() -> None:
        linears.flops, linears.on_the_way_back = 0.0, False
        with linears.watching():
            loss = stepper.loss(batches[0])
            linears.on_the_way_back = True
            loss.backward()  # type: ignore[no-untyped-call]

    found: float | None = None
    if counts:
        try:
            found = counted(step)
        except FAILURES as error:  # the counter's own: what is wrong with the step comes again
            if is_out_of_memory(error):
                raise
            model.zero_grad(set_to_none=True)
    if found is None:
        step()
    computed, attended = virtual_positions(model)
    shapes = [(len(batch.ids), batch.ids.shape[1] + computed, batch.ids.shape[1] + attended) for batch in batches]
    a_position = linears.flops / (shapes[0][0] * shapes[0][1])
    formulas = [
        a_position * rows * queries + attention_flops(model, rows, queries, keys, checkpointing=training.checkpointing)
        for rows, queries, keys in shapes
    ]
    return FlopCount(
        formula_flops=sum(formulas),
        counted_flops=None if found is None else found * sum(formulas) / formulas[0],
        omitted=omitted(model),
    )
