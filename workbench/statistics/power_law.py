"""Power laws of memory or time against a length: the slope of a straight line on log axes. Pure; any thread.

The unit is the trial in a fresh process. The line goes through the means of the logarithms, every length counting
alike. Two things can make its slope wrong: the scatter of trials at a length, and lengths that lie off the line. The
interval is the wider of the two that they give: Welch and Satterthwaite's over trials (lengths may scatter unequally:
short runs do), and that of the regression over lengths. Where the means leave the line by more than `STRAIGHT` there is
no single exponent; the steps between neighbouring lengths then say how it changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.statistics.intervals import SAME, Floats, Interval, same, t_quantile

ByLength = Mapping[float, Mapping[int, float]]
"""Positive values by length and block, a trial each."""

MIN_LENGTHS = 3
"""A line passes through any two points."""
STRAIGHT = 0.05
"""A line that passes every mean within this share describes them."""
_SURE = 0.01
"""Chance by which scatter alone may leave the line as far before that is called a bend."""

Shape = Literal["straight", "bent", "unclear"]


@dataclass(frozen=True)
class Refusal:
    """Why the data do not say, in a sentence."""

    reason: str


@dataclass(frozen=True)
class Step:
    """The exponent between two neighbouring lengths."""

    low: float
    high: float
    exponent: float
    interval: Interval | None
    """None under two trials at either length, and where the trials of each agree."""


@dataclass(frozen=True)
class PowerLaw:
    """`value(length)` = factor x length^exponent."""

    exponent: float
    interval: Interval | None
    """None where nothing is uncertain: counted values exactly on a line."""
    factor: float
    """Value of the line at length 1; of no meaning by itself."""
    residuals: tuple[tuple[float, float], ...]
    """Length, and the mean there over the line."""
    shape: Shape
    """ "bent": a line does not describe the data; "unclear": it leaves some means by more than `STRAIGHT`, and the
    scatter of the trials is large enough to do that."""
    steps: tuple[Step, ...]
    trials: int
    method: str

    @property
    def departure(self) -> float:
        """Of the mean that lies farthest off the line, as a share: 0.05 is 5 %."""
        return max(math.exp(abs(math.log(ratio))) - 1 for _, ratio in self.residuals)

    def value(self, length: float) -> float:
        return float(self.factor * length**self.exponent)


def fit(values: ByLength, *, exact: bool = False, confidence: float = 0.95) -> PowerLaw | Refusal:
    """`exact`: the values are counted, so that one trial at a length says all. Values that are not positive are left
    out."""
    logs = _logs(values)
    if len(logs) < MIN_LENGTHS:
        return Refusal(f"A power law takes {MIN_LENGTHS} lengths or more; there are {len(logs)}.")
    x = np.log(list(logs))
    samples = list(logs.values())
    means = np.array([float(np.mean(s)) for s in samples])
    away = x - x.mean()
    spread = float(np.sum(away**2))
    weights = away / spread
    slope = float(weights @ means)
    off = means - means.mean() - slope * away
    off[np.abs(off) < SAME] = 0.0
    interval, how = _interval(slope, weights, samples, off, spread, confidence)
    trials = sum(len(s) for s in samples)
    return PowerLaw(
        exponent=slope,
        interval=interval,
        factor=math.exp(float(means.mean()) - slope * float(x.mean())),
        residuals=tuple((length, math.exp(r)) for length, r in zip(logs, off.tolist(), strict=True)),
        shape=_shape(samples, off, exact=exact),
        steps=_steps(list(logs), samples, confidence),
        trials=trials,
        method=f"line through the mean logarithms of {len(x)} lengths, {trials} trials; {how}",
    )


def _logs(values: ByLength) -> dict[float, Floats]:
    """Logarithms of the trials by rising length; one value where all agree to rounding."""
    found: dict[float, Floats] = {}
    for length in sorted(values):
        kept = [v for v in values[length].values() if v > 0 and math.isfinite(v)]
        if kept and length > 0:
            found[length] = np.full(len(kept), math.log(kept[0])) if same(kept) else np.log(kept)
    return found


def _interval(
    slope: float, weights: Floats, samples: list[Floats], off: Floats, spread: float, confidence: float
) -> tuple[Interval | None, str]:
    halves: dict[str, float] = {}
    about = math.sqrt(float(np.sum(off**2)) / (len(off) - 2) / spread)
    halves["from the lengths about the line"] = t_quantile(confidence, len(off) - 2) * about
    if all(len(s) > 1 for s in samples):
        counts = np.array([len(s) for s in samples])
        parts = weights**2 * np.array([_variance(s) for s in samples]) / counts
        if (variance := float(parts.sum())) > 0:
            freedom = variance**2 / float(np.sum(parts**2 / (counts - 1)))
            halves["from the trials (Welch)"] = t_quantile(confidence, max(1, math.floor(freedom))) * math.sqrt(
                variance
            )
    how, half = max(halves.items(), key=lambda item: item[1])
    if half == 0:
        return None, "every value lies on it"
    return Interval(slope - half, slope + half), f"{100 * confidence:g} % t interval {how}, the wider of two"


def _variance(sample: Floats) -> float:
    """Exactly 0 where all values are one, whatever their mean is rounded to."""
    return float(np.var(sample, ddof=1)) if np.ptp(sample) > 0 else 0.0


def _shape(samples: list[Floats], off: Floats, *, exact: bool) -> Shape:
    if math.expm1(float(np.max(np.abs(off)))) <= STRAIGHT:
        return "straight"
    if exact:
        return "bent"
    freedom = sum(len(s) - 1 for s in samples)
    if not freedom:
        return "unclear"
    from scipy import stats

    within = sum(float(np.sum((s - s.mean()) ** 2)) for s in samples) / freedom
    between = sum(len(s) * r**2 for s, r in zip(samples, off.tolist(), strict=True)) / (len(off) - 2)
    by_chance = float(stats.f.sf(between / within, len(off) - 2, freedom)) if within > 0 else 0.0
    return "bent" if by_chance < _SURE else "unclear"


def _steps(lengths: list[float], samples: list[Floats], confidence: float) -> tuple[Step, ...]:
    found: list[Step] = []
    for place in range(len(lengths) - 1):
        low, high = lengths[place], lengths[place + 1]
        a, b = samples[place], samples[place + 1]
        width = math.log(high / low)
        exponent = float(b.mean() - a.mean()) / width
        found.append(Step(low, high, exponent, _welch(a, b, exponent, width, confidence)))
    return tuple(found)


def _welch(a: Floats, b: Floats, exponent: float, width: float, confidence: float) -> Interval | None:
    if min(len(a), len(b)) < 2:
        return None
    parts = [_variance(s) / len(s) for s in (a, b)]
    if (variance := sum(parts)) == 0:
        return None
    freedom = variance**2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, (a, b), strict=True))
    half = t_quantile(confidence, max(1, math.floor(freedom))) * math.sqrt(variance) / width
    return Interval(exponent - half, exponent + half)
