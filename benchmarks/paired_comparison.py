"""Compares two ways of doing the same work in interleaved pairs, and stops when the interval decides.

Each pair runs both ways once, in random order, so that drift of the machine meets both alike. The figure is the ratio
first/second; its interval is a t interval on the logarithms of the pairs' ratios (`interval`). `quiet_quarter` is
another figure, for a machine on which others take much of many pairs' time. The interval is looked at after a planned
number of pairs (growing by half) and not in between; each look takes its share of the error (Bonferroni), so the stated
confidence holds for the interval at which the run stops, whichever look that is.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

_RESAMPLES = 4000
Verdict = Literal["inside", "outside", "inconclusive"]


@dataclass(frozen=True)
class Ratio:
    """Ratio first/second over pairs, with its interval and what that says about a margin."""

    first: float
    """Geometric mean (of `quiet_quarter`: quartile) of the first way, in the measure's unit."""
    second: float
    ratio: float
    low: float
    high: float
    pairs: int
    margin: float

    @property
    def verdict(self) -> Verdict:
        """ "inside": the whole interval within 1/(1 + margin) .. 1 + margin; "outside": none of it; else neither is
        shown."""
        least, most = 1 / (1 + self.margin), 1 + self.margin
        if least <= self.low and self.high <= most:
            return "inside"
        if self.high < least or self.low > most:
            return "outside"
        return "inconclusive"

    @property
    def half_width(self) -> float:
        """Half of the interval's width, as a ratio: 0.02 is ±2 %."""
        return math.exp(math.log(self.high / self.low) / 2) - 1

    def line(self, first: str, second: str, unit: str) -> str:
        """ "ours 14.91 tokens/s / bare 15.02 tokens/s / ratio 0.993 [0.981, 1.005] n=18: inside ±3 %"."""
        text = (
            f"{first} {self.first:.4g} {unit} / {second} {self.second:.4g} {unit} / "
            f"ratio {self.ratio:.4f} [{self.low:.4f}, {self.high:.4f}] n={self.pairs}: {self.verdict}"
        )
        return text + f" ±{100 * self.margin:g} % (half-width {100 * self.half_width:.1f} %)"


def report_progress(state: Ratio) -> None:
    """Print how far a comparison is, for `compare`."""
    print(f"  {state.pairs} pairs: ratio {state.ratio:.4f} [{state.low:.4f}, {state.high:.4f}]", flush=True)


def looks(least: int, most: int) -> list[int]:
    """Numbers of pairs after which the interval is looked at: from `least`, growing by half, to `most`."""
    if not 2 <= least <= most:
        raise ValueError("at least two pairs, and no fewer at most than at least")
    planned = [least]
    while planned[-1] < most:
        planned.append(min(most, planned[-1] + (planned[-1] + 1) // 2))
    return planned


def interval(pairs: Sequence[tuple[float, float]], margin: float, confidence: float) -> Ratio:
    """The ratio of positive measurements (first, second) and its t interval on logarithms."""
    logs = [math.log(a / b) for a, b in pairs]
    mean = statistics.fmean(logs)
    half = float(stats.t.ppf((1 + confidence) / 2, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(
        first=statistics.geometric_mean([a for a, _ in pairs]),
        second=statistics.geometric_mean([b for _, b in pairs]),
        ratio=math.exp(mean),
        low=math.exp(mean - half),
        high=math.exp(mean + half),
        pairs=len(pairs),
        margin=margin,
    )


def quiet_quarter(pairs: Sequence[tuple[float, float]], margin: float, confidence: float) -> Ratio:
    """The ratio of what each way reached in its best quarter (upper quartiles of a rate), and its bootstrap interval
    over pairs. For two loops that do the same work on a machine on which others take much of many pairs' time:
    interference only ever makes a rate lower, and says nothing about either loop."""
    return _of_quartiles(pairs, margin, confidence, 0.75)


def quiet_quarter_of_times(pairs: Sequence[tuple[float, float]], margin: float, confidence: float) -> Ratio:
    """The same of times, whose best quarter is the lower one."""
    return _of_quartiles(pairs, margin, confidence, 0.25)


def _of_quartiles(pairs: Sequence[tuple[float, float]], margin: float, confidence: float, share: float) -> Ratio:
    measured = np.asarray(pairs)
    drawn = np.random.default_rng(7).integers(len(measured), size=(_RESAMPLES, len(measured)))
    best = np.quantile(measured[drawn], share, axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(best[:, 0] / best[:, 1], (tail, 100 - tail))
    first, second = np.quantile(measured, share, axis=0)
    return Ratio(
        first=float(first),
        second=float(second),
        ratio=float(first / second),
        low=float(low),
        high=float(high),
        pairs=len(pairs),
        margin=margin,
    )


def compare(
    first: Callable[[], float],
    second: Callable[[], float],
    *,
    margin: float = 0.03,
    least: int = 6,
    most: int = 60,
    confidence: float = 0.95,
    seed: int = 7,
    by: Callable[[Sequence[tuple[float, float]], float, float], Ratio] = interval,
    report: Callable[[Ratio], None] = lambda _: None,
) -> Ratio:
    """Run pairs until the interval decides about the margin, or to `most`. Both ways return what they measured
    (positive). `report` gets the state at every planned look."""
    order = random.Random(seed)
    planned = looks(least, most)
    each = 1 - (1 - confidence) / len(planned)
    pairs: list[tuple[float, float]] = []
    for target in planned:
        while len(pairs) < target:
            if order.random() < 0.5:
                a = first()
                b = second()
            else:
                b = second()
                a = first()
            pairs.append((a, b))
        state = by(pairs, margin, each)
        report(state)
        if state.verdict != "inconclusive":
            break
    return state
