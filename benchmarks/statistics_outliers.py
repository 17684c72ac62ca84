"""What the mark of outlying trials finds and how often it comes by chance, and what rare slow trials do to intervals;
simulated, through the product's code. Used by `benchmarks.statistics_proof`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from workbench.statistics.intervals import Interval, ratios_to_baseline, summarise
from workbench.statistics.outliers import find_outliers

Floats = npt.NDArray[np.float64]

RUNS = 2_000
TRIALS = (3, 5, 10, 20)
SLOW = (0.1, 0.3)
"""Slow trials take longer by a share from here to there, uniformly."""


def marks(log_values: Sequence[float] | Floats) -> set[int]:
    """Places of the trials that the product marks."""
    values = [(str(place), float(np.exp(x))) for place, x in enumerate(log_values)]
    return {int(outlier.trial) for outlier in find_outliers(values)}


def false_marks(sd: float, trials: int, runs: int = RUNS, seed: int = 21) -> float:
    """Share of configurations with a mark although all trials are of one log-normal distribution."""
    rng = np.random.default_rng(seed)
    return float(np.mean([bool(marks(rng.normal(0.0, sd, trials))) for _ in range(runs)]))


def found(sd: float, shift: float, trials: int, outlying: int = 1, runs: int = RUNS, seed: int = 22) -> float:
    """Share of outlying trials that are marked, where `outlying` of the configuration's are off by `shift` (log)."""
    rng = np.random.default_rng(seed)
    offset = np.where(np.arange(trials) < outlying, shift, 0.0)
    seen = [marks(rng.normal(0.0, sd, trials) + offset) for _ in range(runs)]
    return float(np.mean([len(places & set(range(outlying))) / outlying for places in seen]))


def coverage_where_slow(share: float, trials: int, sd: float = 0.005, runs: int = RUNS, seed: int = 23) -> float:
    """Share of experiments in which the interval of one configuration holds its mean (log) speed, slow trials
    included, where a trial is slow with probability `share`."""
    rng = np.random.default_rng(seed)
    true = -share * float(np.mean(np.log1p(np.linspace(*SLOW, 1001))))

    def holds(interval: Interval | None) -> bool:
        return interval is not None and interval.low <= np.exp(true) <= interval.high

    speeds = np.exp(-_log_times(rng, share, sd, (runs, trials)))
    summaries = [summarise(row) for row in speeds]
    return float(np.mean([s is not None and holds(s.interval) for s in summaries]))


def ratio_coverage_where_slow(share: float, blocks: int, sd: float = 0.005, runs: int = RUNS, seed: int = 24) -> float:
    """The same of the ratio of two configurations of which only the second is ever slow."""
    rng = np.random.default_rng(seed)
    true = float(np.exp(-share * np.mean(np.log1p(np.linspace(*SLOW, 1001)))))
    first = np.exp(-rng.normal(0.0, sd, (runs, blocks)))
    second = np.exp(-_log_times(rng, share, sd, (runs, blocks)))
    held = []
    for a, b in zip(first, second, strict=True):
        ratio = ratios_to_baseline(dict(enumerate(a.tolist())), {"b": dict(enumerate(b.tolist()))})["b"].interval
        held.append(ratio is not None and ratio.low <= true <= ratio.high)
    return float(np.mean(held))


def _log_times(rng: np.random.Generator, share: float, sd: float, shape: tuple[int, int]) -> Floats:
    slow = np.where(rng.random(shape) < share, np.log1p(rng.uniform(*SLOW, shape)), 0.0)
    times: Floats = rng.normal(0.0, sd, shape) + slow
    return times


def print_tables(runs: int = RUNS) -> None:
    heads = "".join(f"{f'{n} trials':>12}" for n in TRIALS)
    print(f"\nConfigurations with a mark by chance ({runs:,} a figure), log-normal noise\n  {'':34}{heads}")
    for sd in (0.005, 0.01, 0.02, 0.05, 0.10):
        cells = "".join(f"{false_marks(sd, n, runs):12.1%}" for n in TRIALS)
        print(f"  {f'sd {100 * sd:g} %':34}{cells}", flush=True)
    print(f"\nOutlying trials that are marked\n  {'':34}{heads}")
    for sd, shift, outlying in ((0.005, 0.1, 1), (0.005, 0.2, 1), (0.02, 0.1, 1), (0.02, 0.2, 1), (0.02, 0.3, 1)):
        cells = "".join(f"{found(sd, shift, n, outlying, runs):12.0%}" for n in TRIALS)
        print(f"  {f'sd {100 * sd:g} %, one off by {100 * shift:g} %':34}{cells}", flush=True)
    cells = "".join(f"{found(0.02, 0.2, n, 2, runs):12.0%}" for n in TRIALS)
    print(f"  {'sd 2 %, two off by 20 %':34}{cells}", flush=True)
    print("\nCoverage where a trial is rarely slow, by 10 to 30 % (95 % promised)")
    print(f"  {'':34}{heads}")
    for share, sd in ((0.05, 0.005), (0.1, 0.005), (0.1, 0.01), (0.1, 0.02), (0.2, 0.01), (0.2, 0.02)):
        cells = "".join(f"{coverage_where_slow(share, n, sd, runs):12.0%}" for n in TRIALS)
        print(f"  {f'{share:.0%} slow, other noise sd {100 * sd:g} %':34}{cells}", flush=True)
    for sd in (0.005, 0.02):
        cells = "".join(f"{ratio_coverage_where_slow(0.1, n, sd, runs):12.0%}" for n in TRIALS)
        print(f"  {f'ratio, one side 10% slow, sd {100 * sd:g} %':34}{cells}", flush=True)
