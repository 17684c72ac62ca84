"""The best of a sweep (a learning rate per method), chosen and judged without favouring what was lucky. Pure.

The lowest of several noisy losses is lower than its setting deserves, and more so where more settings were tried. So
the setting is chosen on validation loss and judged on test loss, and each seed is judged at the setting that the
*other* seeds choose: its own luck has no part in the choice. What a curve may hold between two settings that
were tried widens the interval of the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.statistics.intervals import Interval, RatioEstimate, ratios_to_baseline

Runs = Mapping[float, Mapping[int, float]]
"""Loss (positive) by setting and seed; infinite where the trial diverged."""
Edge = Literal["", "low", "high", "only"]

TOLERANCE = 0.01
"""Settings whose loss is at most so much above the best are as good as it, for the width of the optimum."""


@dataclass(frozen=True)
class Curve:
    """Mean loss by setting, over the seeds that all settings have; over each one's own where they share none."""

    settings: tuple[float, ...]
    """Rising."""
    losses: tuple[float, ...]
    seeds: tuple[int, ...]
    """Those that all settings have."""


@dataclass(frozen=True)
class Optimum:
    setting: float
    loss: float
    edge: Edge
    """Where the optimum lies at an end of what was tried; "only": one setting was tried."""
    next_setting: float | None
    """What to try next; None where settings on both sides are worse."""
    gain: float
    """By how much the curve may lie lower between the settings tried, as a share of the loss; 0 at an end."""
    low: float
    """From here .."""
    high: float
    """.. to here the curve is within `TOLERANCE` of its best, on straight lines in the logarithm of the setting."""
    open_low: bool
    """The curve was still within it at the lowest setting tried: the range may reach further."""
    open_high: bool


def curve_of(runs: Runs) -> Curve | None:
    """None where there is no loss at all."""
    tried = {setting: by_seed for setting, by_seed in sorted(runs.items()) if by_seed}
    if not tried:
        return None
    common = sorted(set.intersection(*(set(by_seed) for by_seed in tried.values())))
    means = [float(np.mean([by_seed[s] for s in (common or by_seed)])) for by_seed in tried.values()]
    return Curve(tuple(tried), tuple(means), tuple(common))


def optimum_of(curve: Curve) -> Optimum | None:
    """None where every setting diverged."""
    best = int(np.argmin(curve.losses))
    setting, loss = curve.settings[best], curve.losses[best]
    if not math.isfinite(loss):
        return None
    edge, following = _edge(curve, best)
    low, open_low = _end(curve, best, -1)
    high, open_high = _end(curve, best, 1)
    return Optimum(setting, loss, edge, following, _gain(curve, best), low, high, open_low, open_high)


def _edge(curve: Curve, best: int) -> tuple[Edge, float | None]:
    """Beside an end, or beside a setting that diverged, the curve may go on falling: what to try there."""
    settings = curve.settings
    if len(settings) == 1:
        return "only", None
    last = len(settings) - 1
    if best == last:
        return "high", settings[last] * settings[last] / settings[last - 1]
    if best == 0:
        return "low", settings[0] * settings[0] / settings[1]
    for step in (1, -1):
        if not math.isfinite(curve.losses[best + step]):
            return "high" if step > 0 else "low", math.sqrt(settings[best] * settings[best + step])
    return "", None


def _gain(curve: Curve, best: int) -> float:
    """Parabolas through the best and two of its neighbours on either side, in the logarithm of the setting: how much
    lower than the best the lowest of them gets between the best and what lies beside it."""
    lowest = curve.losses[best]
    if not 0 < best < len(curve.settings) - 1:
        return 0.0
    at = np.log(curve.settings) - math.log(curve.settings[best])
    for first in (best - 2, best - 1, best):
        places = slice(first, first + 3)
        losses = curve.losses[places]
        if first < 0 or len(losses) < 3 or not math.isfinite(sum(losses)):
            continue
        a, b, c = np.polyfit(at[places], losses, 2)
        if a > 0 and at[best - 1] < -b / (2 * a) < at[best + 1]:
            lowest = min(lowest, float(c - b * b / (4 * a)))
    return float(np.clip(1 - lowest / curve.losses[best], 0.0, 0.5))


def _end(curve: Curve, best: int, step: int) -> tuple[float, bool]:
    """Where the curve leaves `TOLERANCE` on one side, and whether it does not."""
    limit = curve.losses[best] * (1 + TOLERANCE)
    place = best
    while 0 <= place + step < len(curve.settings):
        here, there = curve.losses[place], curve.losses[place + step]
        if there > limit:
            share = (limit - here) / (there - here) if math.isfinite(there) else 0.0
            a, b = math.log(curve.settings[place]), math.log(curve.settings[place + step])
            return math.exp(a + share * (b - a)), False
        place += step
    return curve.settings[place], True


def judged(validation: Runs, test: Runs) -> dict[int, tuple[float, float]]:
    """By seed: the setting that the other seeds' validation losses choose, and the seed's test loss at it. Seeds that
    were not run there, or diverged, are left out; with one seed there is none."""
    found: dict[int, tuple[float, float]] = {}
    for seed in sorted({s for by_seed in test.values() for s in by_seed}):
        others = {
            setting: {s: loss for s, loss in by_seed.items() if s != seed} for setting, by_seed in validation.items()
        }
        curve = curve_of(others)
        if curve is None or not math.isfinite(min(curve.losses)):
            continue
        setting = curve.settings[int(np.argmin(curve.losses))]
        loss = test.get(setting, {}).get(seed, math.inf)
        if math.isfinite(loss):
            found[seed] = (setting, loss)
    return found


@dataclass(frozen=True)
class Sweep:
    """What a method was run at: validation loss chooses, test loss judges. The same runs twice where no test loss was
    made."""

    validation: Runs
    test: Runs


@dataclass(frozen=True)
class _Side:
    values: dict[int, float]
    """Test loss by seed, each at the setting the other seeds choose."""
    steady: bool
    """All seeds are judged at the same setting."""
    gain: float


def against(baseline: Sweep, others: Mapping[str, Sweep], confidence: float = 0.95) -> dict[str, RatioEstimate]:
    """Ratios of test losses at each method's own optimum to the baseline's, with simultaneous intervals: those of
    `ratios_to_baseline` over seeds, widened

    - by what either curve may hold between its settings;
    - by √(1 + n/(n − 1)) where seeds are judged at different settings: they share the seeds that chose, so that they
      are not independent (the correction of Nadeau and Bengio 2003 for cross-validation).
    """
    its, own = _side(baseline), {name: _side(sweep) for name, sweep in others.items()}
    found = ratios_to_baseline(its.values, {name: side.values for name, side in own.items()}, confidence)
    return {name: _widened(ratio, own[name], its) for name, ratio in found.items()}


def _side(sweep: Sweep) -> _Side:
    found = judged(sweep.validation, sweep.test)
    curve = curve_of(sweep.validation)
    best = optimum_of(curve) if curve is not None else None
    return _Side(
        {seed: loss for seed, (_, loss) in found.items()},
        len({setting for setting, _ in found.values()}) <= 1,
        best.gain if best is not None else 0.0,
    )


def _widened(ratio: RatioEstimate, own: _Side, its: _Side) -> RatioEstimate:
    """A method's own curve may lie lower than its best setting tried, never higher; the baseline's likewise."""
    if ratio.interval is None:
        return ratio
    low, high, notes = math.log(ratio.interval.low), math.log(ratio.interval.high), [ratio.method]
    if not (own.steady and its.steady) and ratio.blocks > 1:
        factor = math.sqrt(1 + ratio.blocks / (ratio.blocks - 1))
        middle = math.log(ratio.ratio)
        low, high = middle + factor * (low - middle), middle + factor * (high - middle)
        notes.append(f"{factor:.2f} times as wide because seeds choose different settings")
    if own.gain or its.gain:
        low, high = low + math.log1p(-own.gain), high - math.log1p(-its.gain)
        notes.append("widened by what may lie between the settings tried")
    return replace(ratio, interval=Interval(math.exp(low), math.exp(high)), method="; ".join(notes))
