"""Figures and verdicts of stored trials made again from their records. Blocking; any thread."""

from __future__ import annotations

from collections.abc import Callable

from workbench.metrics.assumptions import NOTHING_ASSUMED, Assumptions
from workbench.running.intake import evaluate
from workbench.store.operations import GetExperiment, ListTrials, Store, StoreError

_PAGE = 1000


def recompute(
    store: Store,
    experiment: str = "",
    assumptions: Assumptions = NOTHING_ASSUMED,
    progress: Callable[[int, int], bool] | None = None,
) -> int:
    """Compute every ended trial's metrics and verdict again: of one experiment (id, number or unique name), or of all.

    Values of this version's formulas replace those of the same version; values of older versions stay beside them.
    `progress(done, total)` is called before each trial and once at the end, on this thread; what it returns says
    whether to continue. A trial is recomputed whole or not at all; one that is deleted meanwhile is passed over.
    -> how many trials. Raises `StoreError`.
    """
    wanted = store.execute(GetExperiment(experiment=experiment)).experiment.experiment if experiment else ""
    trials = ended_trials(store, wanted)
    done = 0
    for place, trial in enumerate(trials):
        if progress is not None and not progress(place, len(trials)):
            return done
        try:
            evaluate(store, trial, assumptions)
            done += 1
        except StoreError as error:
            if error.code != "not_found":
                raise
    if progress is not None:
        progress(len(trials), len(trials))
    return done


def ended_trials(store: Store, experiment: str = "") -> tuple[str, ...]:
    """Ids of the ended trials of an experiment (by id), or of all, oldest first. Raises `StoreError`."""
    found: list[str] = []
    offset = 0
    # all before the first is judged: rows that come or go meanwhile would shift the pages
    while rows := store.execute(ListTrials(experiment=experiment, state="ended", limit=_PAGE, offset=offset)):
        offset += len(rows)
        found += [row.trial for row in rows]
    return tuple(reversed(found))
