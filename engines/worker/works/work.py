"""What every kind of work is given, and what it offers. Worker process; torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from engines.protocol.kinds import WORKS
from engines.protocol.orders import TrialOrder
from engines.protocol.plugins import imported
from engines.protocol.records import TookEffect
from engines.protocol.ring import RingWriter
from engines.protocol.work import tag_of
from engines.techniques import find
from engines.worker.engine import Engine
from engines.worker.failures import WorkerFailure
from engines.worker.phases import Phases
from engines.worker.progress import Progress
from engines.worker.record_writer import RecordWriter
from engines.worker.stop import Stop


@dataclass
class Trial:
    """The parts of a running trial that its phases share."""

    order: TrialOrder
    writer: RecordWriter
    phases: Phases
    ring: RingWriter
    stop: Stop
    progress: Progress
    doing: str = "starting"
    """For messages: what a failure interrupts."""


class Work(Protocol):
    """What is done with a loaded model. May raise `WorkerFailure`."""

    def prepare(self) -> dict[str, str]:
        """Make prompts or batches, outside every timed phase; returns facts."""
        ...

    def run(self) -> None:
        """The phases between load and unload. Returns early when the trial is stopped."""
        ...


class MakesWork(Protocol):
    """The class of a kind of work."""

    WEIGHTS: Mapping[str, float]
    """Its parts in the order they run, with the share of a typical trial that each takes."""

    def __call__(self, engine: Engine, trial: Trial, /) -> Work: ...


def work_of(order: TrialOrder) -> MakesWork:
    """The class for an order's kind of work. Raises `WorkerFailure`."""
    tag = tag_of(type(order.workload))
    target = WORKS.get(tag)
    if target is None:
        raise WorkerFailure(
            "order",
            f"This worker cannot do the work “{tag}”.",
            f"It can do {', '.join(WORKS)}. A newer client may be talking to an older runner.",
        )
    return cast("MakesWork", imported(target))


def tell_effects(trial: Trial, effects: Sequence[TookEffect], applied: str = "load") -> None:
    """Send what the techniques changed that are due at that part of the trial (`Technique.applied`). Raises
    `WorkerFailure` where one of them was not applied or changed nothing."""
    for order in trial.order.techniques:
        technique = find(order.id)
        if applied != (technique.applied if technique is not None else "load"):
            continue
        if not any(effect.technique == order.id and effect.changed for effect in effects):
            raise WorkerFailure(
                "technique",
                f"{order.id} was not applied to {trial.order.model.title}.",
                f"The engine {trial.order.engine.id} ignores it, so its figures would be those of the model without "
                "it. Leave it out, or choose another engine.",
            )
    for effect in effects:
        trial.writer.send(effect)


def cannot(order: TrialOrder, doing: str) -> WorkerFailure:
    return WorkerFailure(
        "order", f"The engine {order.engine.id} cannot {doing}.", "Nothing was run. Choose another engine in Setup."
    )
