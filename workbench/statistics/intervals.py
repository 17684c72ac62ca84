"""Intervals for trial values and for ratios against a baseline. Pure functions, any thread.

The unit is the trial in a fresh process, never the token. Positive values are treated on the logarithm, so that an
interval of a ratio and of its inverse agree. Methods: Student's t throughout; many comparisons against one baseline
by the distribution of max |t| (Dunnett 1955; Hothorn, Bretz and Westfall 2008), simulated with the correlation
estimated from the blocks, because every ratio shares the baseline's noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

DRAWS = 10_000
"""Simulated experiments for a critical value; its own error is then about 0.2 % of coverage."""
SEED = 20_240_229
"""Fixed, so that the same data give the same interval."""
SAME = 1e-9
"""Values this close (relative) count as the same value."""
MIN_BOOTSTRAP = 20
"""Trials from which resampling them says something."""
RESAMPLES = 4_000
_CHUNK_NUMBERS = 1_000_000
"""Random numbers that are worked on at a time: they stay in the processor's cache."""
_KEPT_NUMBERS = 40_000_000
MIN_BLOCKS_FOR_MAX_T = 3
"""With fewer common blocks a correlation cannot be estimated: Bonferroni instead."""


@dataclass(frozen=True)
class Interval:
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def inside(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high


@dataclass(frozen=True)
class Summary:
    """One configuration. `interval` is None under two values; a degenerate one means every value is the same."""

    value: float
    interval: Interval | None
    n: int
    deterministic: bool = False
    method: str = ""


@dataclass(frozen=True)
class RatioEstimate:
    """One configuration against the baseline. `interval` is None where the blocks cannot carry one."""

    ratio: float
    interval: Interval | None
    blocks: int
    deterministic: bool
    method: str
    common_bytes: float = 0.0
    """Of the text it rests on, where only a part of either stretch is common to both; 0: all of it is."""


Decision = Literal["higher", "lower", "equivalent", "inconclusive"]


def same(values: Sequence[float] | Floats) -> bool:
    """Whether all values are one value, to rounding."""
    array = np.asarray(values, dtype=float)
    spread = float(np.ptp(array)) if len(array) else 0.0
    return spread <= SAME * float(np.max(np.abs(array), initial=0.0))


@lru_cache(maxsize=4096)
def t_quantile(confidence: float, freedom: int) -> float:
    """Two-sided critical value of Student's t."""
    from scipy import stats

    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def two_sided_p(t: float, freedom: int) -> float:
    """Chance of a |Student's t| of at least `t`."""
    from scipy import stats

    return float(2 * stats.t.sf(abs(t), freedom))


def t_interval(values: Sequence[float] | Floats, confidence: float = 0.95) -> Interval | None:
    """Student's t interval of the mean; None under two values. Standard deviation with n − 1."""
    array = np.asarray(values, dtype=float)
    if len(array) < 2:
        return None
    mean, error = float(np.mean(array)), float(np.std(array, ddof=1)) / math.sqrt(len(array))
    half = t_quantile(confidence, len(array) - 1) * error
    return Interval(mean - half, mean + half)


def summarise(values: Sequence[float] | Floats, confidence: float = 0.95) -> Summary | None:
    """Geometric mean with the t interval on the logarithms; arithmetic where a value is not positive. None for none."""
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n == 0:
        return None
    if n > 1 and same(array):
        return Summary(float(array[0]), None, n, True, "deterministic: the same value in every trial")
    if n == 1:
        return Summary(float(array[0]), None, 1, False, "one trial: no interval")
    if bool(np.all(array > 0)):
        logs = np.log(array)
        inner = t_interval(logs, confidence)
        interval = Interval(math.exp(inner.low), math.exp(inner.high)) if inner is not None else None
        method = f"geometric mean of {n} trials, {100 * confidence:g} % t interval on logarithms"
        return Summary(math.exp(float(np.mean(logs))), interval, n, False, method)
    resampled = bootstrap_interval(array, confidence)
    if resampled is not None:
        method = f"mean of {n} trials, {100 * confidence:g} % bootstrap interval, BCa (not all values are positive)"
        return Summary(float(np.mean(array)), resampled, n, False, method)
    method = f"mean of {n} trials, {100 * confidence:g} % t interval (not all values are positive)"
    return Summary(float(np.mean(array)), t_interval(array, confidence), n, False, method)


def bootstrap_interval(
    values: Sequence[float] | Floats,
    confidence: float = 0.95,
    statistic: Callable[..., Floats] = np.mean,
) -> Interval | None:
    """Bias-corrected accelerated bootstrap interval of a statistic over trials (scipy). None under `MIN_BOOTSTRAP`
    trials: of five it would hold in some 84 % of experiments instead of 95 %. `statistic` takes `axis`."""
    from scipy import stats

    array = np.asarray(values, dtype=float)
    if len(array) < MIN_BOOTSTRAP or same(array):
        return None
    found = stats.bootstrap(
        (array,),
        statistic,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="BCa",
        vectorized=True,
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return None
    return Interval(float(found.low), float(found.high))


def ratios_to_baseline(
    baseline: Mapping[int, float],
    others: Mapping[str, Mapping[int, float]],
    confidence: float = 0.95,
) -> dict[str, RatioEstimate]:
    """Ratios to the baseline with simultaneous intervals: all of them hold together with `confidence`.

    `baseline` and each of `others` map block -> positive value. A ratio rests on the blocks that both have, by the
    mean of log ratios within blocks. With one comparison this is the plain paired t interval. Configurations that
    share no block with the baseline are left out of the result.
    """
    logs = {name: _log_ratios(baseline, values) for name, values in others.items()}
    logs = {name: ratios for name, ratios in logs.items() if ratios}
    noisy = {n: r for n, r in logs.items() if len(r) >= 2 and float(np.ptp(list(r.values()))) > SAME}
    critical, how = _critical_values(noisy, confidence)
    found: dict[str, RatioEstimate] = {}
    for name, ratios in logs.items():
        array = np.array(list(ratios.values()))
        n, mean = len(array), float(np.mean(array))
        if name in noisy:
            half = critical[name] * float(np.std(array, ddof=1)) / math.sqrt(n)
            interval = Interval(math.exp(mean - half), math.exp(mean + half))
            method = f"log ratios within {n} blocks, {100 * confidence:g} % {how}"
            found[name] = RatioEstimate(math.exp(mean), interval, n, False, method)
        elif n > 1:
            method = f"deterministic: the same ratio in all {n} blocks"
            found[name] = RatioEstimate(math.exp(mean), None, n, True, method)
        else:
            found[name] = RatioEstimate(math.exp(mean), None, 1, False, "one block: no interval")
    return found


def _log_ratios(baseline: Mapping[int, float], values: Mapping[int, float]) -> dict[int, float]:
    return {
        block: math.log(values[block] / baseline[block])
        for block in sorted(values)
        if block in baseline and values[block] > 0 and baseline[block] > 0
    }


def _critical_values(logs: Mapping[str, Mapping[int, float]], confidence: float) -> tuple[dict[str, float], str]:
    """Multiplier of each standard error, and the method's name."""
    freedom = {name: len(ratios) - 1 for name, ratios in logs.items()}
    if len(logs) <= 1:
        return {n: t_quantile(confidence, df) for n, df in freedom.items()}, "paired t interval"
    common = sorted(set.intersection(*(set(r) for r in logs.values())))
    if len(common) < MIN_BLOCKS_FOR_MAX_T:
        level = 1 - (1 - confidence) / len(logs)
        return (
            {n: t_quantile(level, df) for n, df in freedom.items()},
            f"simultaneous intervals of {len(logs)} ratios (Bonferroni)",
        )
    table = np.array([[r[block] for block in common] for r in logs.values()])
    level = 1 - _p_of_table(table.tobytes(), len(common), tuple(freedom.values()), confidence)
    return (
        {n: t_quantile(level, df) for n, df in freedom.items()},
        f"simultaneous intervals of {len(logs)} ratios (max-t)",
    )


@lru_cache(maxsize=256)
def _p_of_table(table: bytes, blocks: int, freedom: tuple[int, ...], confidence: float) -> float:
    """`smallest_p` with the correlation of log ratios of shape (k, blocks), given as bytes to be remembered by.

    A few blocks overstate how alike ratios are, which would make intervals too short, so the estimate is drawn
    towards independence by 1/(blocks − 1).
    """
    ratios = np.frombuffer(table).reshape(-1, blocks)
    centred = ratios - ratios.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.sum(centred**2, axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.nan_to_num(centred / lengths)  # its products with itself are the estimated correlation
    return _simulated_p(math.sqrt(1 - 1 / (blocks - 1)) * along, freedom, confidence)


@lru_cache(maxsize=128)
def smallest_p(correlation: tuple[tuple[float, ...], ...], freedom: tuple[int, ...], confidence: float = 0.95) -> float:
    """The two-sided p value above which the smallest of k correlated t tests stays with `confidence`, all ratios 1.

    Simulated over `DRAWS` experiments of normal log ratios with this correlation (k x k); with equal degrees of
    freedom it is the critical value of max |t|, and it also serves where configurations lost different blocks.
    Between (1 − confidence)/k, Bonferroni, and 1 − confidence, the plain interval.
    """
    values, vectors = np.linalg.eigh(np.array(correlation))
    return _simulated_p(vectors * np.sqrt(np.clip(values, 0.0, None)), freedom, confidence)


def _simulated_p(loadings: Floats, freedom: tuple[int, ...], confidence: float) -> float:
    """`smallest_p` of ratios that are `loadings` (k, r) times r shared numbers, and noise of their own up to variance
    1: as few multiplications as the correlation has directions, and no decomposition that differs by machine."""
    from scipy import stats

    k, r = loadings.shape
    shared_by = loadings.T.astype(np.float32)
    own_by = np.sqrt(np.clip(1 - np.sum(loadings**2, axis=1), 0.0, None)).astype(np.float32)
    smallest = [
        _smallest(own * own_by + shared @ shared_by, np.array(freedom))
        for own, shared in _draws(max(freedom) + 1, k, r)
    ]
    simulated = float(np.quantile(np.concatenate(smallest), 1 - confidence))
    if len(set(freedom)) == 1:
        simulated = float(2 * stats.t.sf(-simulated, freedom[0]))
    return float(np.clip(simulated, (1 - confidence) / k, 1 - confidence))


def _smallest(parts: Singles, freedom: npt.NDArray[np.int64]) -> Floats:
    """For each draw the smallest p value of k t tests; with equal degrees of freedom its stand-in −max |t|, which a
    single p value is made of later. `parts` as `_draws` makes them, shape (draws, blocks, k).

    With part 0 the mean of all n blocks times √n and part i the Helmert contrast of block i + 1 with those before it,
    the first m blocks have the sum of squares of parts 1..m − 1, and their mean is that of all plus the sum of
    part i / √(i (i + 1)) over i ≥ m.
    """
    from scipy import stats

    n = parts.shape[1]
    found = np.zeros(parts.shape[0])
    for place, df in enumerate(sorted(set(freedom.tolist()))):
        own = parts[:, :, freedom == df] if len(set(freedom.tolist())) > 1 else parts
        squares = np.einsum("dbk,dbk->dk", own[:, 1 : df + 1], own[:, 1 : df + 1])
        mean = own[:, 0] / np.float32(math.sqrt(n))
        for i in range(df + 1, n):
            mean = mean + own[:, i] / np.float32(math.sqrt(i * (i + 1)))
        largest = np.sqrt(np.max(mean.astype(float) ** 2 / squares, axis=1) * df * (df + 1))
        p = -largest if len(set(freedom.tolist())) == 1 else 2 * stats.t.sf(largest, df)
        found = p if place == 0 else np.minimum(found, p)
    return found


Draws = Iterable[tuple[Singles, Singles]]


def _draws(blocks: int, k: int, r: int) -> Draws:
    """Standard normal numbers for `DRAWS` experiments, in chunks: of k columns of their own, shape (draws, blocks, k),
    and of r shared ones. Along the blocks they stand for the mean (times √blocks) and the Helmert contrasts."""
    small = DRAWS * blocks * (k + r) <= _KEPT_NUMBERS
    return _kept_draws(DRAWS, blocks, k, r) if small else _drawn(DRAWS, blocks, k, r)


@lru_cache(maxsize=1)
def _kept_draws(draws: int, blocks: int, k: int, r: int) -> Draws:
    """Every metric of a comparison needs the same ones."""
    return tuple(_drawn(draws, blocks, k, r))


def forget_draws() -> None:
    """Give the memory of the simulation back (160 MB at the most), once a table is done."""
    _kept_draws.cache_clear()


def _drawn(draws: int, blocks: int, k: int, r: int) -> Iterator[tuple[Singles, Singles]]:
    rng = np.random.default_rng(SEED)
    step = max(1, _CHUNK_NUMBERS // (blocks * k))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        own = rng.standard_normal((count, blocks, k), dtype=np.float32)
        yield own, rng.standard_normal((count, blocks, r), dtype=np.float32)


def decide(interval: Interval | None, margin: float) -> Decision:
    """The verdict read off a ratio's interval. Equivalent: the whole interval inside 1/(1 + margin) .. 1 + margin,
    also where it lies to one side of 1; "the same" is claimed in no other case."""
    if interval is None:
        return "inconclusive"
    if interval.inside(1 / (1 + margin), 1 + margin):
        return "equivalent"
    if interval.low > 1:
        return "higher"
    return "lower" if interval.high < 1 else "inconclusive"


def needed_for_percentile(q: float) -> int:
    """Samples that a percentile needs: ten beyond it. 20 for p50, 100 for p90, 1,000 for p99, 10,000 for p99.9."""
    return math.ceil(round(10 / (1 - q / 100), 6))


def percentile(values: Sequence[float] | Floats, q: float) -> float | None:
    """The q-th percentile (0..100, linear interpolation), or None where the sample cannot carry it."""
    array = np.asarray(values, dtype=float)
    return float(np.percentile(array, q)) if len(array) >= needed_for_percentile(q) else None
