"""Which order of trials keeps a drifting machine out of a ratio? Designs against drifts, simulated; used by
`benchmarks.statistics_proof`, whose experiments run in the product's order too.

A trial takes one step of time. The logarithm of its time is the drift at its step plus its own noise; a ratio is taken
and judged as the product does, by the paired t interval of log ratios within blocks. All configurations are the same
(A/A), so that an interval without 1 is a false positive.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.plan.plan import block_order
from workbench.statistics.intervals import t_quantile

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

RUNS = 4_000
BLOCKS = (3, 5, 10)
PERIOD_LEAST = 4.0
"""Trials in the shortest period of the periodic drift."""


# --- designs --------------------------------------------------------------------------------------


def _mirrored(seed: int, blocks: int, k: int) -> list[list[int]]:
    order = [int(name) for _, name in block_order(seed, blocks, [str(i) for i in range(k)])]
    return [order[b * k : (b + 1) * k] for b in range(blocks)]


def _shuffled(seed: int, blocks: int, k: int) -> list[list[int]]:
    lot = random.Random(seed)
    return [lot.sample(range(k), k) for _ in range(blocks)]


def _latin(seed: int, blocks: int, k: int) -> list[list[int]]:
    """Latin squares, one after the other: cyclic, with rows, columns and configurations by lot."""
    lot, rows = random.Random(seed), []
    while len(rows) < blocks:
        names, columns, steps = (lot.sample(range(k), k) for _ in range(3))
        rows += [[names[(step + column) % k] for column in columns] for step in steps]
    return rows[:blocks]


Design = Callable[[int, int, int], list[list[int]]]
DESIGNS: dict[str, Design] = {"shuffled": _shuffled, "Latin": _latin, "mirrored": _mirrored}


def places(design: Design, seed: int, runs: int, blocks: int, k: int) -> Places:
    """Step of each trial, shape (runs, blocks, k): by block and configuration. Run i has the order of seed + i."""
    rows = np.array([design(seed + run, blocks, k) for run in range(runs)])
    return np.argsort(rows, axis=-1) + (np.arange(blocks) * k)[None, :, None]


# --- drifts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift:
    """A machine that changes. `course` gives log time of shape (runs, steps)."""

    name: str
    course: Callable[[np.random.Generator, int, int], Floats]
    own_sd: float = 0.003
    """Noise of a trial's own: small, because a drift is seen the better the quieter trials are."""
    tails: bool = False
    """Noise by Student's t of 3 degrees of freedom, with the same standard deviation."""
    slow_share: float = 0.0
    """Trials that are slower by 10 to 30 %, at random."""
    missing: float = 0.0
    """Trials without a value, at random."""


def _line(size: float) -> Callable[[np.random.Generator, int, int], Floats]:
    return lambda _rng, runs, steps: np.broadcast_to(size * np.linspace(0.0, 1.0, steps), (runs, steps))


def _none(_rng: np.random.Generator, runs: int, steps: int) -> Floats:
    return np.zeros((runs, steps))


def _settling(_rng: np.random.Generator, runs: int, steps: int) -> Floats:
    return np.broadcast_to(0.10 * np.exp(-np.arange(steps) / 4), (runs, steps))


def _periodic(rng: np.random.Generator, runs: int, steps: int) -> Floats:
    """±5 %; periods from four trials to twice the experiment, log-uniform."""
    period = np.exp(rng.uniform(np.log(PERIOD_LEAST), np.log(2 * steps), (runs, 1)))
    found: Floats = 0.05 * np.sin(2 * np.pi * (np.arange(steps) / period + rng.random((runs, 1))))
    return found


def _walk(rng: np.random.Generator, runs: int, steps: int) -> Floats:
    return np.cumsum(rng.normal(0.0, 0.05 / np.sqrt(steps), (runs, steps)), axis=1)


def _autoregressive(rng: np.random.Generator, runs: int, steps: int) -> Floats:
    found = rng.normal(0.0, 0.03, (runs, steps))
    for i in range(1, steps):
        found[:, i] = 0.8 * found[:, i - 1] + 0.6 * found[:, i]
    return found


DRIFTS = (
    Drift("no drift, noise of 2 %", _none, own_sd=0.02),
    Drift("linear 5 %", _line(0.05)),
    Drift("linear 10 %", _line(0.10)),
    Drift("linear 10 %, noise of 2 %", _line(0.10), own_sd=0.02),
    Drift("settling, 10 % at first", _settling),
    Drift("periodic, ±5 %", _periodic),
    Drift("random walk, 5 % at the end", _walk),
    Drift("AR(1) of 0.8, sd 3 %", _autoregressive),
    Drift("linear 5 %, heavy tails, sd 2 %", _line(0.05), own_sd=0.02, tails=True),
    Drift("linear 5 %, one in ten slow", _line(0.05), own_sd=0.01, slow_share=0.1),
    Drift("linear 10 %, 15 % missing", _line(0.10), missing=0.15),
)


# --- what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    false_positives: float
    half_width: float
    """Median half-width of the interval, as a logarithm."""
    error: float
    """Root mean square of the log ratio, which is truly 0."""


def log_ratios(drift: Drift, design: Design, blocks: int, k: int, runs: int, seed: int = 11) -> Floats:
    """Of the first configuration to the second, shape (runs, blocks); NaN where a trial is missing."""
    rng = np.random.default_rng(seed)
    shape = (runs, blocks * k)
    noise = rng.standard_t(3, shape) / np.sqrt(3) if drift.tails else rng.standard_normal(shape)
    slow = np.where(rng.random(shape) < drift.slow_share, rng.uniform(0.1, 0.3, shape), 0.0)
    log_time = drift.course(rng, *shape) + drift.own_sd * noise + slow
    log_time = np.where(rng.random(shape) < drift.missing, np.nan, log_time)
    step = places(design, seed, runs, blocks, k)
    first, second = (np.take_along_axis(log_time, step[:, :, i], axis=1) for i in (0, 1))
    found: Floats = first - second
    return found


def judge(ratios: Floats, confidence: float = 0.95) -> Found:
    """Paired t intervals of log ratios of shape (runs, units); experiments with under two units show nothing."""
    count = np.sum(~np.isnan(ratios), axis=1)
    ratios, count = ratios[count >= 2], count[count >= 2]
    mean, sd = np.nanmean(ratios, axis=1), np.nanstd(ratios, axis=1, ddof=1)
    critical = np.array([t_quantile(confidence, int(n) - 1) for n in count])
    half = critical * sd / np.sqrt(count)
    return Found(float(np.mean(np.abs(mean) > half)), float(np.median(half)), float(np.sqrt(np.mean(mean**2))))


def in_pairs(ratios: Floats) -> Floats:
    """Mean of each mirrored pair of blocks, as if the pair were the unit. Shape (runs, blocks // 2)."""
    even = ratios[:, : ratios.shape[1] // 2 * 2]
    return (even[:, 0::2] + even[:, 1::2]) / 2


def print_tables(runs: int = RUNS) -> None:
    print(f"\nA/A false positives by order of trials, in % ({runs:,} experiments a figure, ±0.3 %; 5 % promised)")
    for k in (2, 5):
        print(f"  {f'{k} configurations':34}" + "".join(f"{f'{n} blocks':>30}" for n in BLOCKS))
        print(f"  {'':34}" + "".join(f"{name:>10}" for _ in BLOCKS for name in DESIGNS))
        for drift in DRIFTS:
            found = [judge(log_ratios(drift, d, n, k, runs)) for n in BLOCKS for d in DESIGNS.values()]
            print(f"  {drift.name:34}" + "".join(f"{100 * f.false_positives:10.1f}" for f in found), flush=True)
    print("\nRoot mean square error of a ratio, in %: two configurations, linear 10 %")
    print(f"  {'':34}" + "".join(f"{f'{n} blocks':>10}" for n in (3, 4, 5, 6, 10)))
    for name, design in DESIGNS.items():
        found = [judge(log_ratios(DRIFTS[2], design, n, 2, runs)) for n in (3, 4, 5, 6, 10)]
        print(f"  {name:34}" + "".join(f"{100 * f.error:10.2f}" for f in found), flush=True)
    print("\nBlocks or mirrored pairs as the unit of the interval, ten blocks: false positives, half-width in %")
    for drift in (DRIFTS[0], DRIFTS[2], DRIFTS[3]):
        ratios = log_ratios(drift, _mirrored, 10, 2, runs)
        by_block, by_pair = judge(ratios), judge(in_pairs(ratios))
        cells = "".join(f"{100 * f.false_positives:10.1f}{100 * f.half_width:8.2f}" for f in (by_block, by_pair))
        print(f"  {drift.name:34}{cells}", flush=True)
