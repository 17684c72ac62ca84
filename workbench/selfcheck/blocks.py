"""Trials' figures into blocks, blocks into intervals, and when there are enough of them. Pure; any thread.

A block is one template process (where there are templates) and every arm once. Ratios are formed within blocks,
intervals are t intervals on their logarithms over blocks. Telemetry is on one side of a trial's turns and not on the
other, so that a block's ratio is that of one trial; a window, and the same again, are compared between trials. The
blocks end by the rule of `workbench.statistics.stopping`: it looks at the interval's width only, from the fifth block
on, and runs two blocks more; its coverage is simulated in docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.selfcheck.load import ArmName
from workbench.selfcheck.result import Effect, Share
from workbench.selfcheck.turns import InTurns
from workbench.statistics.intervals import ratios_to_baseline, t_interval
from workbench.statistics.stopping import StopDecision, should_stop

Values = dict[str, dict[int, float]]
"""By arm, or by side of the turns, and block."""
ON, OFF = "turns, on", "turns, off"


@dataclass(frozen=True)
class TrialFigures:
    """What one completed trial showed. None: not measured in it."""

    arm: ArmName
    block: int
    tokens_per_second: float
    tokens_per_processor_second: float | None = None
    turns: InTurns | None = None
    window_share: float | None = None
    foreign_cores: float | None = None


def by_block(figures: Iterable[tuple[str, int, float | None]]) -> Values:
    """Geometric mean of each arm's trials in each block; values not positive are left out."""
    logs: dict[str, dict[int, list[float]]] = {}
    for arm, block, value in figures:
        if value is not None and value > 0:
            logs.setdefault(arm, {}).setdefault(block, []).append(math.log(value))
    return {arm: {b: math.exp(sum(v) / len(v)) for b, v in blocks.items()} for arm, blocks in logs.items()}


def rates(trials: Sequence[TrialFigures]) -> Values:
    return by_block((t.arm, t.block, t.tokens_per_second) for t in trials)


def processor_rates(trials: Sequence[TrialFigures]) -> Values:
    return by_block((t.arm, t.block, t.tokens_per_processor_second) for t in trials)


def turn_rates(trials: Sequence[TrialFigures]) -> Values:
    """Of the two sides of the turns."""
    whole = [(t.block, t.turns) for t in trials if t.turns is not None]
    return by_block(
        (side, block, rate)
        for block, turns in whole
        for side, rate in ((ON, turns.on.tokens_per_second), (OFF, turns.off.tokens_per_second))
    )


def effect(values: Values, of: str, against: str) -> Effect | None:
    """Ratio of one arm to another over the blocks that both have; None where there is none. Each interval holds by
    itself with 95 %."""
    found = ratios_to_baseline(values.get(against, {}), {of: values.get(of, {})}).get(of)
    if found is None:
        return None
    interval = found.interval
    if interval is None and found.deterministic:
        return Effect(ratio=found.ratio, low=found.ratio, high=found.ratio, blocks=found.blocks, method=found.method)
    return Effect(
        ratio=found.ratio,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        blocks=found.blocks,
        method=found.method,
    )


def share(values: Iterable[float | None]) -> Share | None:
    """Mean of the trials' shares with its t interval; None for none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    interval = t_interval(known)
    return Share(
        mean=sum(known) / len(known),
        low=max(0.0, interval.low) if interval else None,
        high=interval.high if interval else None,
        trials=len(known),
    )


def enough(trials: Sequence[TrialFigures], target: float) -> StopDecision:
    """Whether the telemetry's effect is known to ± `target`."""
    values = turn_rates(trials)
    return should_stop(values.get(OFF, {}), {ON: values.get(ON, {})}, target=target)
