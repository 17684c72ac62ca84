"""What differences a planned training comparison can show, from earlier trials of its configurations. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engines.protocol.problems import Fix, Problem
from workbench.experiment.experiment import MAX_TRIALS, Experiment
from workbench.statistics.seeds import Seeds, seeds_between, share

WANTED = 0.01
"""Difference of losses that a plan names a number of seeds for: methods that were tuned differ by 1 to 2 %."""


def known_seeds(configurations: Sequence[str], losses: Mapping[str, Mapping[str, float]]) -> Seeds | None:
    """The spread of earlier trials of some `configurations` (hashes). `losses`: by configuration and earlier seed, see
    `History.losses`. None where fewer than two of them have two seeds in common."""
    known = [losses[c] for c in configurations if c in losses]
    if len(known) < 2:
        return None
    numbers = {name: i for i, name in enumerate(sorted({name for by_seed in known for name in by_seed}))}
    first, *others = ({numbers[name]: loss for name, loss in by_seed.items() if loss > 0} for by_seed in known)
    return seeds_between(others, first)


def seeds_note(
    experiment: Experiment, configurations: Sequence[str], losses: Mapping[str, Mapping[str, float]], planned: int
) -> Problem | None:
    """A note for the plan of `configurations` with `planned` seeds each, where their spread is known."""
    found = known_seeds(configurations, losses)
    if found is None:
        return None
    needed = found.needed(WANTED).seeds
    fixes: tuple[Fix, ...] = ()
    if needed is not None and planned < needed <= MAX_TRIALS:
        fixes = (Fix(f"{needed} trials, for {share(WANTED)}", "run.trials", needed),)
    known = sum(c in losses for c in configurations)
    message = f"From earlier trials of {known} configurations: {found.words_with(planned)}"
    return Problem(
        severity="note",
        place=experiment.name,
        message=message,
        hint=found.words_needed(WANTED),
        fixes=fixes,
        key="seeds",
    )
