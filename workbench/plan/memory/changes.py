"""Solved backwards: which changes of a training that does not fit would make it fit, what each saves and costs, and
whether results stay comparable. The same for a plan and for a trial that ran out of memory. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from engines.protocol.orders import AnyTraining, EngineOrder, TechniqueOrder
from engines.protocol.settings import Scalar
from engines.techniques import MachineFacts, ModelFacts
from engines.techniques.finetune import method_of
from workbench.plan.memory.training import training_parts
from workbench.plan.training_time import training_step_seconds
from workbench.units import format_bytes, significant

_EIGHT_BIT = "bitsandbytes"
_SAME_STEP = "same effective batch"
_SAME_RESULT = "same results"
_ROUNDED = "optimiser states are rounded: comparable where all configurations have it"
_OTHER_LENGTH = "other sequences: comparable only at the same length"
_OTHER_RANK = "a smaller adapter: another configuration, not the same one"
_SMALLEST_SEQUENCE = 16


@dataclass(frozen=True)
class Change:
    """Keys of [workload] (or the method's rank) to set."""

    label: str
    """"Batch 1 × 16"."""
    comparable: str
    """Whether and with what results remain comparable, in a phrase."""
    workload: dict[str, Scalar] = field(default_factory=dict)
    rank: int = 0
    """0: as it is."""
    is_fair: bool = True
    saves_bytes: int = 0
    slower: float = 1.0
    """Estimated time of a step, as a multiple of what it was."""

    @property
    def note(self) -> str:
        """ "saves 4.1 GiB, about 1.2× slower; same effective batch"."""
        speed = f"about {significant(self.slower, 2)}× slower" if self.slower >= 1.05 else "no slower"
        return f"saves {format_bytes(self.saves_bytes)}, {speed}; {self.comparable}"


@dataclass(frozen=True)
class Case:
    """A training, with what is known of its model and machine."""

    facts: ModelFacts
    techniques: tuple[TechniqueOrder, ...]
    workload: AnyTraining
    engine: EngineOrder
    machine: MachineFacts

    @property
    def needed(self) -> int:
        return training_parts(self.facts, self.techniques, self.workload, self.machine, self.engine).needed

    @property
    def step_s(self) -> float:
        return training_step_seconds(self.facts, self.techniques, self.workload, self.engine, self.machine)

    @property
    def rank(self) -> int:
        """0 where the method has none."""
        method = method_of(self.techniques)
        found = method.parameters.get("rank") if method is not None else 0
        return found if isinstance(found, int) else 0

    def changed(self, change: Change) -> Case:
        load = msgspec.structs.replace(self.workload, **change.workload)
        method, chosen = method_of(self.techniques), self.techniques
        if change.rank and method is not None:
            other = TechniqueOrder(id=method.id, parameters={**method.parameters, "rank": change.rank})
            chosen = tuple(other if order.id == method.id else order for order in chosen)
        return Case(self.facts, chosen, load, self.engine, self.machine)


def largest(limit: int, smallest: int, fits: Callable[[int], bool]) -> int:
    """The largest value from `smallest` to `limit` that fits, where none fits that is larger than one that does not; 0
    where none does."""
    if smallest > limit or not fits(smallest):
        return 0
    low, high = smallest, limit + 1  # low fits, high does not or is out of bounds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def fitting_changes(case: Case, free_bytes: int) -> tuple[Change, ...]:
    """Changes after which it needs at most `free_bytes`. First those of one setting that leave the comparison fair, the
    fastest first; where there is none, those of several; else a shorter sequence or a smaller rank."""
    single = [change for change in (_batch(case, free_bytes), *_settings(case)) if change is not None]
    for offers in (single, _together(case, free_bytes), _unfair(case, free_bytes)):
        fitting = [_weighed(case, change) for change in offers if case.changed(change).needed <= free_bytes]
        if fitting:
            return tuple(sorted(fitting, key=lambda change: change.slower))
    return ()


def _batch(case: Case, free_bytes: int) -> Change | None:
    """The largest smaller micro-batch that makes the same step with more accumulation."""
    load = case.workload
    step = load.batch_size * load.accumulation

    def change(batch: int) -> Change:
        return Change(
            label=f"Batch {batch} × {step // batch}",
            comparable=_SAME_STEP,
            workload={"batch_size": batch, "accumulation": step // batch},
        )

    smaller = [batch for batch in range(1, load.batch_size) if step % batch == 0]
    place = largest(len(smaller), 1, lambda n: case.changed(change(smaller[n - 1])).needed <= free_bytes)
    return change(smaller[place - 1]) if place else None


def _settings(case: Case) -> Iterator[Change]:
    load = case.workload
    if not load.checkpointing:
        yield Change(label="Checkpointing", comparable=_SAME_RESULT, workload={"checkpointing": True})
    if load.optimiser == "adamw" and _EIGHT_BIT in case.machine.packages:
        yield Change(label="8-bit AdamW", comparable=_ROUNDED, workload={"optimiser": "adamw-8bit"})


def _together(case: Case, free_bytes: int) -> Iterator[Change]:
    """Settings with the largest batch that then fits, and all settings."""
    settings = list(_settings(case))
    both = [_joined(settings)] if len(settings) > 1 else []
    yield from both
    for change in (*settings, *both):
        batch = _batch(case.changed(change), free_bytes)
        if batch is not None:
            yield _joined([change, batch])


def _joined(changes: Sequence[Change]) -> Change:
    return Change(
        label=", ".join([changes[0].label, *(c.label[0].lower() + c.label[1:] for c in changes[1:])]),
        comparable="; ".join(dict.fromkeys(c.comparable for c in changes if c.comparable != _SAME_RESULT))
        or _SAME_RESULT,
        workload={key: value for change in changes for key, value in change.workload.items()},
    )


def _unfair(case: Case, free_bytes: int) -> Iterator[Change]:
    """The longest sequence, with the smallest micro-batch; the largest rank."""
    load = case.workload
    step = load.batch_size * load.accumulation
    least: dict[str, Scalar] = {"batch_size": 1, "accumulation": step} if load.batch_size > 1 else {}

    def shorter(tokens: int) -> Change:
        label = f"Sequence {tokens}" + (f", batch 1 × {step}" if least else "")
        return Change(label, _OTHER_LENGTH, {**least, "sequence_tokens": tokens}, is_fair=False)

    def narrower(rank: int) -> Change:
        return Change(f"Rank {rank}", _OTHER_RANK, rank=rank, is_fair=False)

    def fits(change: Change) -> bool:
        return case.changed(change).needed <= free_bytes

    if tokens := largest(load.sequence_tokens - 1, _SMALLEST_SEQUENCE, lambda n: fits(shorter(n))):
        yield shorter(tokens)
    if case.rank and (rank := largest(case.rank - 1, 1, lambda n: fits(narrower(n)))):
        yield narrower(rank)


def _weighed(case: Case, change: Change) -> Change:
    other = case.changed(change)
    return Change(
        change.label,
        change.comparable,
        change.workload,
        change.rank,
        change.is_fair,
        saves_bytes=case.needed - other.needed,
        slower=other.step_s / case.step_s if case.step_s > 0 else 1.0,
    )
