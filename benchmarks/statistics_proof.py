"""Do the intervals keep what they promise? Simulated experiments under a fixed noise model, through the product's code.

Every experiment is made token by token: log-normal gaps with an AR(1) of 0.5 within a trial, a factor of each trial
with a standard deviation of 2 %, and a linear drift of 5 % over the experiment in the order in which its trials ran,
the product's own (`workbench.plan.plan.block_order`). The second model adds bursts: in one trial of ten a stretch of
random length is 20 % slower. `benchmarks.statistics_order` compares that order with others. `python -m
benchmarks.statistics_proof` prints every figure with its Monte-Carlo error and writes nothing.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal, stats

from benchmarks import statistics_order, statistics_outliers
from workbench.statistics.intervals import Interval, decide, ratios_to_baseline, summarise
from workbench.statistics.stopping import FURTHER, TARGET, stop_at

Floats = npt.NDArray[np.float64]

RUNS = 5_000
BLOCKS = (3, 5, 10)
MARGIN = 0.03
_CHUNK = 500


@dataclass(frozen=True)
class Noise:
    name: str
    between_sd: float = 0.02
    """Of the logarithm of a trial's speed."""
    within_sd: float = 0.03
    """Of the logarithm of a gap between tokens."""
    correlation: float = 0.5
    """AR(1) of neighbouring gaps."""
    drift: float = 0.05
    """Slower by this at the end of the experiment than at its start."""
    burst_share: float = 0.0
    """Trials with a burst."""
    burst: float = 0.20
    tokens: int = 192


STEADY = Noise("log-normal, drift 5 %")
BURSTS = Noise("the same with bursts of 20 %", burst_share=0.1)


@dataclass(frozen=True)
class Share:
    """A share of simulated experiments, and its Monte-Carlo standard error."""

    hits: int
    runs: int

    @property
    def value(self) -> float:
        return self.hits / self.runs

    @property
    def error(self) -> float:
        return math.sqrt(max(self.value * (1 - self.value), 1 / self.runs) / self.runs)

    def __str__(self) -> str:
        return f"{self.value:6.1%} ± {self.error:.1%}"


def experiments(
    noise: Noise, seed: int, runs: int, blocks: int, ratios: tuple[float, ...] = (1.0,)
) -> Iterator[Floats]:
    """Simulated experiments, each of shape (blocks, 1 + len(ratios)): tokens/s of the baseline and of configurations
    that are truly `ratios` as fast."""
    rng = np.random.default_rng(seed)
    speed = np.array([1.0, *ratios])
    for start in range(0, runs, _CHUNK):
        count = min(_CHUNK, runs - start)
        position = statistics_order.places(statistics_order.DESIGNS["mirrored"], start, count, blocks, len(speed))
        yield from speed * _trials(noise, rng, position)


def _trials(noise: Noise, rng: np.random.Generator, position: statistics_order.Places) -> Floats:
    """Tokens/s of trials whose true speed is 1 and that ran in this order, shape (runs, blocks, k)."""
    shape = position.shape
    log_time = noise.drift * position / max(shape[1] * shape[2] - 1, 1) + rng.normal(0.0, noise.between_sd, shape)
    innovations = rng.standard_normal((*shape, noise.tokens))
    innovations[..., 1:] *= math.sqrt(1 - noise.correlation**2)  # the first is of the stationary distribution
    gaps = np.exp(noise.within_sd * signal.lfilter([1.0], [1.0, -noise.correlation], innovations, axis=-1))
    if noise.burst_share:
        length = rng.uniform(0.0, noise.tokens, (*shape, 1))
        first = rng.uniform(0.0, noise.tokens, (*shape, 1)) - length / 2
        token = np.arange(noise.tokens)
        hit = (rng.random((*shape, 1)) < noise.burst_share) & (token >= first) & (token < first + length)
        gaps *= np.where(hit, 1 + noise.burst, 1.0)
    speeds: Floats = noise.tokens / (gaps.sum(axis=-1) * np.exp(log_time))
    return speeds


def _by_block(column: Floats) -> dict[int, float]:
    return dict(enumerate(column.tolist()))


def ratio_interval(experiment: Floats) -> Interval:
    """The product's interval of the second configuration against the first."""
    found = ratios_to_baseline(_by_block(experiment[:, 0]), {"b": _by_block(experiment[:, 1])})["b"].interval
    assert found is not None
    return found


def _share(seen: Iterator[bool]) -> Share:
    hits = list(seen)
    return Share(sum(hits), len(hits))


def false_positives(noise: Noise, blocks: int, runs: int = RUNS, seed: int = 1) -> Share:
    """A/A: experiments whose interval excludes 1 although both configurations are the same."""
    found = (ratio_interval(e) for e in experiments(noise, seed, runs, blocks))
    return _share(not i.low <= 1.0 <= i.high for i in found)


def coverage(noise: Noise, blocks: int, true: float = 1.1, runs: int = RUNS, seed: int = 2) -> Share:
    """Experiments whose interval holds the true ratio."""
    found = (ratio_interval(e) for e in experiments(noise, seed, runs, blocks, (true,)))
    return _share(i.low <= true <= i.high for i in found)


def power(noise: Noise, blocks: int, true: float = 1.03, runs: int = RUNS, seed: int = 3) -> Share:
    """Experiments that show a true difference: the interval excludes 1 on the right side."""
    return _share(ratio_interval(e).low > 1.0 for e in experiments(noise, seed, runs, blocks, (true,)))


def wrong_equivalence(noise: Noise, blocks: int, runs: int = RUNS, seed: int = 4) -> Share:
    """Experiments that call two configurations equivalent which truly differ by the margin."""
    found = (ratio_interval(e) for e in experiments(noise, seed, runs, blocks, (1 + MARGIN,)))
    return _share(decide(i, MARGIN) == "equivalent" for i in found)


def single_coverage(noise: Noise, blocks: int, runs: int = RUNS, seed: int = 5) -> Share:
    """Experiments whose interval of one configuration holds its mean (log) speed over the experiment."""
    typical = np.concatenate([np.log(e).ravel() for e in experiments(noise, seed + 1000, 4 * _CHUNK, blocks)])
    true = float(np.exp(typical.mean()))

    def holds(experiment: Floats) -> bool:
        summary = summarise(experiment[:, 0])
        assert summary is not None
        assert summary.interval is not None
        return summary.interval.low <= true <= summary.interval.high

    return _share(holds(e) for e in experiments(noise, seed, runs, blocks))


def together(noise: Noise, blocks: int, k: int, runs: int, seed: int = 6) -> Share:
    """Experiments in which the simultaneous intervals of k ratios all hold."""

    def holds(experiment: Floats) -> bool:
        others = {str(i): _by_block(experiment[:, i + 1]) for i in range(k)}
        found = ratios_to_baseline(_by_block(experiment[:, 0]), others)
        return all(r.interval is not None and r.interval.low <= 1 <= r.interval.high for r in found.values())

    return _share(holds(e) for e in experiments(noise, seed, runs, blocks, (1.0,) * k))


@dataclass(frozen=True)
class Stopped:
    holds: Share
    """Intervals at the moment of stopping that hold the true ratio."""
    blocks: float
    """Mean number of blocks."""
    at_cap: float
    """Share of experiments that ran to the cap."""


def early_stop(
    noise: Noise, targets: tuple[float, ...], *, further: int = FURTHER, cap: int = 20, runs: int = RUNS, seed: int = 7
) -> dict[float, Stopped]:
    """The stopping rule at each target, looking after every block; the interval is the product's own at that moment."""
    critical = np.concatenate(([0.0], stats.t.ppf(0.975, np.arange(1, cap))))
    count = np.arange(1, cap + 1)
    ends: dict[float, list[int | None]] = {target: [] for target in targets}
    hits = dict.fromkeys(targets, 0)
    for experiment in experiments(noise, seed, runs, cap):
        logs = np.log(experiment[:, 1] / experiment[:, 0])
        mean = np.cumsum(logs) / count
        variance = (np.cumsum(logs**2) - count * mean**2) / np.maximum(count - 1, 1)
        half = critical * np.sqrt(np.maximum(variance, 0.0) / count)
        half[0] = np.inf
        widths = (np.exp(half) - 1).tolist()
        for target in targets:
            end = stop_at(widths, target, further)
            ends[target].append(end)
            last = (end or cap) - 1
            hits[target] += bool(abs(mean[last]) <= half[last])
    return {
        target: Stopped(
            Share(hits[target], runs),
            sum(end or cap for end in found) / runs,
            sum(end is None for end in found) / runs,
        )
        for target, found in ends.items()
    }


def _table(title: str, row: Callable[[Noise, int], Share]) -> None:
    print(f"\n{title}")
    print(f"  {'':32}" + "".join(f"{f'{n} blocks':>18}" for n in BLOCKS))
    for noise in (STEADY, BURSTS):
        print(f"  {noise.name:32}" + "".join(f"{row(noise, n)!s:>18}" for n in BLOCKS), flush=True)


def main() -> int:
    begun = time.perf_counter()
    print(f"{RUNS:,} experiments a figure unless said otherwise; ± is the Monte-Carlo standard error.")
    _table("A/A false positives of a ratio (5 % promised, 6 % allowed)", false_positives)
    _table("Coverage of the ratio's interval, true ratio 1.1 (95 % promised, 93-97 % allowed)", coverage)
    _table("Power: a true 3 % found", power)
    _table("Called equivalent within 3 % though they differ by 3 % (2.5 % promised)", wrong_equivalence)
    _table("Coverage of one configuration's interval, drift included", single_coverage)
    print("\nAll intervals of a table hold together (95 % promised), log-normal with drift")
    print(f"  {'':32}" + "".join(f"{f'{n} blocks':>18}" for n in BLOCKS))
    for k, runs in ((3, 1_500), (6, 1_500)):
        cells = "".join(f"{together(STEADY, n, k, runs)!s:>18}" for n in BLOCKS)
        print(f"  {f'{k} ratios, {runs:,} experiments':32}{cells}", flush=True)
    print("\nEarly stopping, cap 20 blocks: coverage at the stop, mean blocks, share that ran to the cap")
    for noise, further in ((STEADY, FURTHER), (BURSTS, FURTHER), (STEADY, 0)):
        how = "" if further else ", at once"
        for target, found in early_stop(noise, (0.015, TARGET, 0.03, 0.05), further=further).items():
            text = f"{found.holds!s:>18}{found.blocks:10.1f}{found.at_cap:10.1%}"
            print(f"  {f'{noise.name}{how}, ±{target:.1%}':42}{text}", flush=True)
    statistics_outliers.print_tables()
    statistics_order.print_tables()
    print(f"\n{time.perf_counter() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
