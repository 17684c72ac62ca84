"""From which length on one measured curve lies below another, with an interval. Pure; any thread.

Both were measured at the same lengths, in blocks: the difference is the log ratio within a block, as everywhere. A
crossing is shown where one curve is lower at some length and the other at a later one, each by a t interval that holds
over all lengths together (Bonferroni). Its place is where the mean log ratio, on straight lines between the lengths on
log axes, is 0; its interval holds every place at which a t interval of that line contains 0 (Fieller 1954), widened by
how far the place moves when the curve is a parabola through three neighbouring lengths. Of counted values nothing is
known between two lengths but that they cross there: the interval is from the one to the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from workbench.statistics.intervals import SAME, Floats, Interval, same, t_interval, t_quantile
from workbench.statistics.power_law import ByLength, Refusal

Lower = Literal["first", "second"]


@dataclass(frozen=True)
class Place:
    """Where the curves cross."""

    at: float
    interval: Interval
    then: Lower
    """The one that is lower from there on."""


@dataclass(frozen=True)
class Crossing:
    """What is known of two curves over the lengths that both were measured at."""

    places: tuple[Place, ...]
    """Empty: no crossing in the measured range, or none that shows."""
    lower: Lower | None
    """At the shortest length where they can be told apart; None where they nowhere can."""
    undecided: tuple[float, ...]
    """Lengths at which no difference shows."""
    low: float
    high: float
    """The range that was measured."""
    method: str


@dataclass(frozen=True)
class _Node:
    length: float
    ratios: dict[int, float]
    """Log of first over second, by block."""
    sign: int
    """Of a ratio that shows; 0 where none does."""

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.ratios.values())))


def crossing(first: ByLength, second: ByLength, *, exact: bool = False, confidence: float = 0.95) -> Crossing | Refusal:
    """`exact`: the values are counted, so that one trial at a length says all."""
    nodes = _nodes(first, second, exact, confidence)
    if len(nodes) < 2:
        return Refusal("Both curves need two lengths in common.")
    if not exact and max(len(n.ratios) for n in nodes) < 2:
        return Refusal("One block: whether curves cross takes two blocks or more.")
    shown = [i for i, node in enumerate(nodes) if node.sign]
    changes = [(i, j) for i, j in pairwise(shown) if nodes[i].sign != nodes[j].sign]
    places = tuple(p for i, j in changes if (p := _place(nodes, i, j, exact, confidence)) is not None)
    how = "between the two lengths around it" if exact else f"{100 * confidence:g} % interval by Fieller over blocks"
    return Crossing(
        places=places,
        lower=_lower(nodes[shown[0]].sign) if shown else None,
        undecided=tuple(node.length for node in nodes if not node.sign),
        low=nodes[0].length,
        high=nodes[-1].length,
        method=f"straight lines between {len(nodes)} lengths on log axes, {how}",
    )


def _lower(sign: int) -> Lower:
    return "first" if sign < 0 else "second"


def _nodes(first: ByLength, second: ByLength, exact: bool, confidence: float) -> list[_Node]:
    found: dict[float, dict[int, float]] = {}
    for length in sorted(set(first) & set(second)):
        a, b = first[length], second[length]
        ratios = {k: math.log(a[k] / b[k]) for k in sorted(set(a) & set(b)) if a[k] > 0 and b[k] > 0}
        if ratios and length > 0:
            found[length] = ratios
    level = 1 - (1 - confidence) / max(1, len(found))
    return [_Node(length, ratios, _sign(ratios, exact, level)) for length, ratios in found.items()]


def _sign(ratios: dict[int, float], exact: bool, level: float) -> int:
    values = list(ratios.values())
    mean = float(np.mean(values))
    if exact or (len(values) > 1 and same(values)):
        return 0 if abs(mean) <= SAME else int(math.copysign(1, mean))
    interval = t_interval(values, level)
    if interval is None or interval.low <= 0 <= interval.high:
        return 0
    return int(math.copysign(1, mean))


def _place(nodes: Sequence[_Node], i: int, j: int, exact: bool, confidence: float) -> Place | None:
    """The crossing between nodes `i` and `j`, whose signs differ; those between show no difference."""
    roots = [(k, s) for k in range(i, j) if (s := _root(nodes[k].mean, nodes[k + 1].mean)) is not None]
    if not roots:
        return None
    segment, share = roots[len(roots) // 2]
    x = [math.log(node.length) for node in nodes]
    at = x[segment] + share * (x[segment + 1] - x[segment])
    if exact:
        low, high = x[i], x[j]
    else:
        inner = [p for k in range(i, j) for p in _accepted(nodes[k], nodes[k + 1], confidence)]
        bends = [at, *_bent_roots(x, [n.mean for n in nodes], segment)]
        low = max(x[i], min([at, *inner]) + min(bends) - at)
        high = min(x[j], max([at, *inner]) + max(bends) - at)
    return Place(math.exp(at), Interval(math.exp(low), math.exp(high)), _lower(nodes[j].sign))


def _root(a: float, b: float) -> float | None:
    """Where a line from `a` (at 0) to `b` (at 1) is 0, and changes its sign."""
    if a == 0:
        return 0.0
    return a / (a - b) if a * b < 0 else None


def _accepted(left: _Node, right: _Node, confidence: float) -> list[float]:
    """Ends (logarithms of lengths) of where the line between two nodes has 0 in its t interval."""
    blocks = sorted(set(left.ratios) & set(right.ratios))
    if len(blocks) < 2:
        return [math.log(left.length), math.log(right.length)]
    a = np.array([left.ratios[b] for b in blocks])
    change = np.array([right.ratios[b] for b in blocks]) - a
    n = len(blocks)
    q = t_quantile(confidence, n - 1) ** 2 / n
    # (mean a + s mean c)² <= q (var a + 2 s cov + s² var c), as c2 s² + c1 s + c0 <= 0
    cov = np.cov(a, change)
    terms = (
        float(change.mean()) ** 2 - q * float(cov[1, 1]),
        2 * (float(a.mean()) * float(change.mean()) - q * float(cov[0, 1])),
        float(a.mean()) ** 2 - q * float(cov[0, 0]),
    )
    ends = [0.0, 1.0, *(float(r.real) for r in np.roots(terms) if abs(r.imag) < SAME and 0 < r.real < 1)]
    size = max(abs(t) for t in terms)
    inside = [s for s in ends if terms[0] * s * s + terms[1] * s + terms[2] <= SAME * size]
    start, end = math.log(left.length), math.log(right.length)
    return [start + s * (end - start) for s in inside]


def _bent_roots(x: Sequence[float], means: Sequence[float], segment: int) -> list[float]:
    """Where parabolas through three neighbouring nodes are 0 within the segment."""
    found: list[float] = []
    for begin in (segment - 1, segment):
        if begin < 0 or begin + 3 > len(x):
            continue
        centre = x[segment]
        curve: Floats = np.polyfit(np.array(x[begin : begin + 3]) - centre, means[begin : begin + 3], 2)
        width = x[segment + 1] - centre
        found += [centre + float(r.real) for r in np.roots(curve) if abs(r.imag) < SAME and 0 <= r.real <= width]
    return found
