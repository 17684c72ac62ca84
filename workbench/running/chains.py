"""Further trials of models that their experiment trains: which trial each of them waits for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engines.protocol.orders import AfterOrder, TrialOrder
from engines.protocol.problems import Problem, ProblemsFound
from workbench.plan.plan import stored_order
from workbench.plan.trained_first import kept_by
from workbench.store.operations import ConfigurationRow, ExperimentDetail


def trained_by(configurations: Sequence[ConfigurationRow]) -> tuple[str, ...]:
    """Those that train a model for others."""
    return tuple(dict.fromkeys(hash for c in configurations if (hash := stored_order(c).model.trained)))


def linked(batch: Sequence[TrialOrder], detail: ExperimentDetail) -> list[TrialOrder]:
    """Trials of one experiment with what they wait for: a trial of the batch, or one of the same block that has
    completed. Raises `ProblemsFound` where there is neither."""
    return [_linked(order, batch, detail) if order.model.trained else order for order in batch]


def _linked(order: TrialOrder, batch: Sequence[TrialOrder], detail: ExperimentDetail) -> TrialOrder:
    wanted = order.model.trained
    comes = [o.trial for o in batch if o.configuration == wanted and o.block == order.block]
    done = [
        t.trial
        for t in detail.trials
        if t.configuration == wanted and t.block == order.block and (t.outcome == "completed" or t.state != "ended")
    ]
    if not comes and not done:
        raise ProblemsFound(
            (
                Problem(
                    severity="error",
                    place=f"{order.title}, block {order.block + 1}",
                    message="Its model was not trained in this block.",
                    hint="Run the training of the same block again, together with it.",
                ),
            )
        )
    by = next(c for c in detail.configurations if c.configuration == wanted)
    after = AfterOrder(trial=(comes or done)[-1], artifact=kept_by(stored_order(by).workload))
    return msgspec.structs.replace(order, after=after)
