"""What differences a planned training comparison can show, from earlier trials of its configurations. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from engines.protocol.orders import AnyTraining
from engines.protocol.problems import Fix, Problem
from workbench.experiment.experiment import MAX_TRIALS, Experiment
from workbench.plan.types import Configuration
from workbench.statistics.seeds import Seeds, seeds_between, share

WANTED = 0.01
"""Difference of losses that a plan names a number of seeds for: methods that were tuned differ by 1 to 2 %."""


def known_seeds(planned: Sequence[Configuration], losses: Mapping[str, Mapping[str, float]]) -> Seeds | None:
    """The spread of earlier trials of some of the planned configurations, for a comparison of all planned methods.
    `losses`: by configuration (hash) and earlier seed, see `History.losses`. None where fewer than two of them have two
    seeds in common."""
    known = [losses[c.hash] for c in planned if c.hash in losses]
    if len(known) < 2:
        return None
    numbers = {name: i for i, name in enumerate(sorted({name for by_seed in known for name in by_seed}))}
    first, *others = ({numbers[name]: loss for name, loss in by_seed.items() if loss > 0} for by_seed in known)
    found = seeds_between(others, first)
    # the test of each is as strict as the number of methods against the baseline makes it, known or not
    return None if found is None else replace(found, comparisons=max(1, _methods(planned) - 1))


def _methods(planned: Sequence[Configuration]) -> int:
    """Configurations that differ in nothing but the learning rate are one method, judged at its own best rate."""
    rate = {"learning_rate": 0.0}
    return len(
        {
            repr(
                (
                    *(c.model.ref, c.techniques, c.engine, c.device),
                    msgspec.structs.replace(c.workload, **rate) if isinstance(c.workload, AnyTraining) else c.workload,
                )
            )
            for c in planned
        }
    )


def seeds_note(
    experiment: Experiment, planned: Sequence[Configuration], losses: Mapping[str, Mapping[str, float]], seeds: int
) -> Problem | None:
    """A note for the plan of configurations with so many seeds each, where their spread is known."""
    found = known_seeds(planned, losses)
    if found is None:
        return None
    needed = found.needed(WANTED).seeds
    fixes: tuple[Fix, ...] = ()
    if needed is not None and seeds < needed <= MAX_TRIALS:
        fixes = (Fix(f"{needed} trials, for {share(WANTED)}", "run.trials", needed),)
    known = sum(c.hash in losses for c in planned)
    message = f"From earlier trials of {known} configurations: {found.words_with(seeds)}"
    return Problem(
        severity="note",
        place=experiment.name,
        message=message,
        hint=found.words_needed(WANTED),
        fixes=fixes,
        key="seeds",
    )
