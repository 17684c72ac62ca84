"""What quality costs: the pairs of metrics worth one click, and the Pareto front of a pair. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from workbench.comparison.results import Comparison
from workbench.metrics.registry import title_of

QUALITY = ("perplexity", "bits_per_byte", "accuracy_mean_ratio", "test_loss", "held_out_loss")
_ACROSS = (
    ("memory", "Memory", ("training_peak_bytes", "memory_mean_bytes", "memory_pss_peak_bytes", "tensor_bytes")),
    ("speed", "Speed", ("decode_tokens_per_second", "throughput_tokens_per_second", "training_tokens_per_second")),
    (
        "energy",
        "Energy",
        (
            "energy_per_token_joules",
            "energy_net_per_token_joules",
            "decode_energy_per_token_joules",
            "energy_estimate_per_token_joules",
            "energy_per_step_joules",
        ),
    ),
    ("parameters", "Parameters", ("trained_parameters",)),
)


@dataclass(frozen=True)
class TradeOff:
    """Quality against one thing. `reason` says why it cannot be drawn; then the metrics are the first wished for."""

    id: str
    title: str
    across: str
    up: str
    reason: str = ""


def trade_offs(comparison: Comparison) -> tuple[TradeOff, ...]:
    """Quality against memory, speed and energy, with the metrics that this comparison has."""
    up = quality_metric(comparison)
    found = []
    for id, title, wanted in _ACROSS:
        across = next((m for m in wanted if m in comparison.metrics), "")
        reason = "" if up else _why_not(comparison, QUALITY)
        reason = reason or ("" if across else _why_not(comparison, wanted))
        found.append(TradeOff(id, title, across or wanted[0], up or QUALITY[0], reason))
    return tuple(found)


def quality_metric(comparison: Comparison) -> str:
    """The figure of quality that holds for all rows alike: perplexity over the same tokens, else bits per byte of the
    same text, else accuracy on the same questions. "" where there is none."""
    known = (m for m in QUALITY if m in comparison.metrics)
    return next((m for m in known if _same_scope(comparison, m)), "")


def _same_scope(comparison: Comparison, metric: str) -> bool:
    """Whether all values of a metric were taken over the same."""
    cells = [r.cells[metric] for r in comparison.rows if metric in r.cells]
    scopes = {c.scope for c in cells if c.value is not None}
    return len(scopes) <= 1 and "" not in scopes


def pareto_front(points: Sequence[tuple[float, float]], better_x: str, better_y: str) -> tuple[int, ...]:
    """Places of the points that no other point beats in both, or in one with the other equal; in order of x.

    `better_x` and `better_y` are "lower" or "higher". O(n²), n is a table's rows."""
    sx = 1.0 if better_x == "lower" else -1.0
    sy = 1.0 if better_y == "lower" else -1.0
    costs = [(sx * x, sy * y) for x, y in points]

    def beaten(i: int) -> bool:
        x, y = costs[i]
        return any(a <= x and b <= y and (a < x or b < y) for a, b in costs)

    kept = [i for i in range(len(points)) if not beaten(i)]
    return tuple(sorted(kept, key=lambda i: points[i]))


def front_line(points: Sequence[tuple[float, float]], better_x: str, better_y: str) -> tuple[tuple[float, float], ...]:
    """The edge of what the front reaches, as a staircase through its points; () under two points."""
    front = [points[i] for i in pareto_front(points, better_x, better_y)]
    if len(set(front)) < 2:
        return ()
    worse_x = max if better_x == "lower" else min
    worse_y = max if better_y == "lower" else min
    line = [front[0]]
    for before, after in pairwise(front):
        corner = (worse_x(before[0], after[0]), worse_y(before[1], after[1]))
        line += [corner, after]
    return tuple(dict.fromkeys(line))


def _why_not(comparison: Comparison, metrics: Sequence[str]) -> str:
    """Why none of these is there: the reason of the first that says one."""
    if any(m in comparison.metrics for m in metrics):
        return "Quality was measured over other texts or questions in different rows: it cannot be drawn on one axis."
    reason = next((comparison.unavailable[m] for m in metrics if m in comparison.unavailable), "")
    title = title_of(metrics[0])
    return f"{title} is not available: {reason}" if reason else f"{title} is not available in this experiment."
