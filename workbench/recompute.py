"""Figures and verdicts of stored trials made again from their records. Blocking; any thread."""

from __future__ import annotations

from workbench.intake import evaluate
from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.store.operations import GetExperiment, ListTrials, Store

_PAGE = 1000


def recompute(store: Store, experiment: str = "", assumptions: Assumptions = NOTHING_ASSUMED) -> int:
    """Compute every ended trial's metrics and verdict again: of one experiment (id, number or unique name), or of all.

    Values of this version's formulas replace those of the same version; values of older versions stay beside them.
    -> how many trials. Raises `StoreError`.
    """
    wanted = store.execute(GetExperiment(experiment=experiment)).experiment.experiment if experiment else ""
    done = offset = 0
    while rows := store.execute(ListTrials(experiment=wanted, limit=_PAGE, offset=offset)):
        offset += len(rows)
        for row in rows:
            if row.state == "ended":
                evaluate(store, row.trial, assumptions)
                done += 1
    return done
