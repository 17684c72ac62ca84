"""Do the comparisons of training keep their promises? Simulated experiments through the product's own functions.

`python -m benchmarks.statistics_fairness` prints what docs/results/fairness.md shows; tests repeat a smaller run. Fixed
seeds: the same command prints the same figures.

Verdicts at the optima. Two methods (or four) have one and the same curve of loss against the logarithm of the learning
rate, 2 (1 + 0.03 d²) with d in decades, three times as steep above the optimum; the other methods' optima are shifted.
Rates in half decades. A run has a log-normal factor of its own, sd 0.4 %, shared by its validation and its test loss,
and 0.3 % on each of the two.

Time to a loss. A trial's loss falls from 4 towards 2 as an exponential whose time constant is log-normal, sd 8 %, and
is evaluated every 20 of at most 400 steps; a share of trials has a floor above the target and never reaches it.
"""

from __future__ import annotations

import math

import numpy as np

from workbench.metrics.training.progress import HeldOut, Progress
from workbench.metrics.training.reaching import NotReached, cost_of
from workbench.statistics.censored import median_of
from workbench.statistics.intervals import decide
from workbench.statistics.optimum import Sweep, against

RATES = tuple(10 ** (-5 + 0.5 * i) for i in range(7))
OPTIMUM = -3.5
RUN_SD, TEXT_SD = 0.004, 0.003


def shown_between_equals(
    *,
    seeds: int,
    shift: float,
    experiments: int,
    seed: int,
    methods: int = 2,
    better: float = 0.0,
    asymmetry: float = 3,
) -> float:
    """Share of experiments in which any method is called better or worse than the first. `better`: by how much the
    others' losses really are lower."""
    rng = np.random.default_rng(seed)
    shown = 0
    for _ in range(experiments):
        first, *others = (
            _sweep(rng, seeds, OPTIMUM + (shift if i else 0.0), 1 - (better if i else 0.0), asymmetry)
            for i in range(methods)
        )
        found = against(first, {str(i): sweep for i, sweep in enumerate(others)})
        shown += any(decide(ratio.interval, 0.0) in ("higher", "lower") for ratio in found.values())
    return shown / experiments


def _sweep(rng: np.random.Generator, seeds: int, optimum: float, factor: float, asymmetry: float) -> Sweep:
    validation, test = {}, {}
    for rate in RATES:
        away = math.log10(rate) - optimum
        loss = 2 * factor * (1 + 0.03 * away**2 * (asymmetry if away > 0 else 1))
        own = rng.normal(0, RUN_SD, seeds)
        for losses in (validation, test):
            noise = np.exp(own + rng.normal(0, TEXT_SD, seeds))
            losses[rate] = {s: float(loss * noise[s]) for s in range(seeds)}
    return Sweep(validation, test)


TARGET, SECONDS_A_STEP, STEPS, EVERY = 2.5, 0.7, 400, 20
DECAY_STEPS, DECAY_SD = 100.0, 0.08


def time_to_loss_coverage(trials: int, reaching: float, *, experiments: int, seed: int) -> float:
    """Share of experiments whose interval holds the true median time, of all trials, to the target."""
    rng = np.random.default_rng(seed)
    truth = _true_median(reaching)
    held = 0
    for _ in range(experiments):
        found = median_of([_time(rng, reaching) for _ in range(trials)])
        held += found is not None and found.interval is not None and found.interval.low <= truth <= found.interval.high
    return held / experiments


def _true_median(reaching: float) -> float:
    """Of a trial that reaches the target: DECAY_STEPS·ln 4 at the median; those that never do push the quantile up."""
    from scipy import stats

    quantile = float(stats.norm.ppf(0.5 / reaching))
    return SECONDS_A_STEP * DECAY_STEPS * math.log(4) * math.exp(DECAY_SD * quantile)


def _time(rng: np.random.Generator, reaching: float) -> float:
    floor = 2.0 if rng.random() < reaching else 2.6
    decay = DECAY_STEPS * math.exp(rng.normal(0, DECAY_SD))
    steps = np.arange(STEPS + 1, dtype=float)
    progress = Progress(
        tokens=steps,
        seconds=SECONDS_A_STEP * steps,
        joules=None,
        no_joules="",
        losses=steps,
        held_out=tuple(HeldOut(s, floor + (4 - floor) * math.exp(-s / decay)) for s in range(0, STEPS + 1, EVERY)),
        scope="",
        finished=True,
    )
    found = cost_of(progress, TARGET, "time")
    return math.inf if isinstance(found, NotReached) else float(found)


def main() -> None:
    experiments = 5000
    print(f"{experiments:,} experiments a figure; Monte-Carlo standard error 0.3 %.\n")
    print("Identical methods called different at their optima (5 % promised)")
    print(f"{'optimum shifted by, decades':34}" + "".join(f"{n:>12} seeds" for n in (2, 3, 5, 10)))
    for methods, shift in ((2, 0.0), (2, 0.1), (2, 0.25), (2, 0.5), (2, 1.0), (4, 0.25)):
        found = [
            shown_between_equals(seeds=n, shift=shift, experiments=experiments, seed=1, methods=methods)
            for n in (2, 3, 5, 10)
        ]
        print(f"  {f'{methods} methods, {shift:g}':32}" + "".join(f"{100 * v:>16.1f} %" for v in found))
    print("\nA method whose loss is lower by 2 % called better (optimum shifted by a quarter of a decade)")
    found = [shown_between_equals(seeds=n, shift=0.25, experiments=1000, seed=2, better=0.02) for n in (2, 3, 5, 10)]
    print(f"  {'':32}" + "".join(f"{100 * v:>16.1f} %" for v in found))
    print("\nIntervals of the median time to a loss that hold it (95 % promised, 93 to 97 % allowed)")
    for reaching in (1.0, 0.9, 0.8, 0.7):
        for trials in (3, 5, 6, 8, 10, 20):
            if trials < 5 and reaching < 1:
                continue  # no interval where one of few did not reach it
            held = time_to_loss_coverage(trials, reaching, experiments=experiments, seed=3)
            print(f"  {100 * reaching:.0f} % of trials reach it, {trials:2} trials {100 * held:>8.1f} %")


if __name__ == "__main__":
    main()
