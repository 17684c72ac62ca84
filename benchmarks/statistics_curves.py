"""Do exponents, crossings and scaling laws keep what their intervals promise? Simulated, through the product's code.

Curves: trials with a log-normal factor of 2 % (5 % at the shortest length, where runs are short and scatter more), at
lengths an octave apart, a linear drift of 5 % over the experiment in the product's own order of trials. Scaling laws:
runs of a grid of sizes and tokens, 1 % noise of the loss. `python -m benchmarks.statistics_curves` prints every figure
with its Monte-Carlo error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.statistics_proof import Share
from workbench.statistics.crossing import Crossing, crossing
from workbench.statistics.power_law import ByLength, PowerLaw, fit
from workbench.statistics.scaling import Law, Run, Scaling
from workbench.statistics.scaling import fit as fit_scaling

Floats = npt.NDArray[np.float64]

LENGTHS = (512, 1024, 2048, 4096, 8192)
BLOCKS = (3, 5, 10)
_SD, _SHORT_SD, _DRIFT = 0.02, 0.05, 0.05
TRUE = Law(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.37)
"""Near Hoffmann's constants."""


def curves(rng: np.random.Generator, blocks: int, *truths: Callable[[float], float]) -> list[ByLength]:
    """An experiment of one curve for each truth: every length of every curve once a block, in mirrored pairs."""
    places = [(c, n) for c in range(len(truths)) for n in LENGTHS]
    found: list[dict[float, dict[int, float]]] = [{n: {} for n in LENGTHS} for _ in truths]
    order = rng.permutation(len(places))
    for block in range(blocks):
        if block % 2 == 0:
            order = rng.permutation(len(places))
        for slot, which in enumerate(order if block % 2 == 0 else order[::-1]):
            c, n = places[which]
            passed = (block * len(places) + slot) / (blocks * len(places))
            sd = _SHORT_SD if n == LENGTHS[0] else _SD
            found[c][n][block] = truths[c](n) * float(np.exp(rng.normal(0, sd) + _DRIFT * passed))
    return list(found)


def exponent_coverage(runs: int, *, blocks: int, seed: int = 31) -> Share:
    """Of a true power law."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(runs):
        law = fit(curves(rng, blocks, lambda n: 3e-4 * n**1.3)[0])
        held += isinstance(law, PowerLaw) and law.interval is not None and law.interval.holds(1.3)
    return Share(held, runs)


def crossing_coverage(runs: int, *, blocks: int, seed: int = 32) -> Share:
    """Of curves with a fixed part, which are no straight lines between the lengths: 60 MB and 8 kB a token against
    40 MB and 20 kB a token cross at 1,667 tokens. Experiments in which none shows do not count."""
    rng = np.random.default_rng(seed)
    held = shown = 0
    while shown < runs:
        found = crossing(*curves(rng, blocks, lambda n: 60e6 + 8e3 * n, lambda n: 40e6 + 20e3 * n))
        if isinstance(found, Crossing) and found.places:
            shown += 1
            held += len(found.places) == 1 and found.places[0].interval.holds(20e6 / 12e3)
    return Share(held, shown)


def false_crossings(runs: int, *, blocks: int, seed: int = 33) -> Share:
    """Curves that meet and do not cross: the first lower at short lengths, both the same from 2,048 tokens on."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(runs):
        found = crossing(*curves(rng, blocks, lambda n: n if n >= 2048 else 0.5 * n, lambda n: n))
        held += isinstance(found, Crossing) and bool(found.places)
    return Share(held, runs)


def grid(rng: np.random.Generator, *, sizes: int = 5, lengths: int = 5, noise: float = 0.01) -> list[Run]:
    """Runs of a small study: 2e5 to 1e7 parameters, 1e6 to 3e8 tokens."""
    return [
        Run(n, d, TRUE.loss(n, d) * float(np.exp(rng.normal(0, noise))))
        for n in np.geomspace(2e5, 1e7, sizes)
        for d in np.geomspace(1e6, 3e8, lengths)
    ]


def scaling_coverage(runs: int, *, resamples: int = 200, seed: int = 34, **design: float) -> dict[str, Share]:
    """Of each constant, of the compute-optimal exponent, and of the loss of a run in the middle of the grid."""
    rng = np.random.default_rng(seed)
    held = dict.fromkeys(("E", "alpha", "beta", "share", "loss"), 0)
    for place in range(runs):
        found = fit_scaling(grid(rng, **design), resamples=resamples, seed=place)  # type: ignore[arg-type]
        assert isinstance(found, Scaling)
        for name in ("E", "alpha", "beta", "share"):
            held[name] += found.intervals[name].holds(float(getattr(TRUE, name)))
        predicted = found.predict(1.4e6, 1.7e7)
        held["loss"] += not hasattr(predicted, "reason") and predicted.interval.holds(TRUE.loss(1.4e6, 1.7e7))
    return {name: Share(count, runs) for name, count in held.items()}


def main(runs: int = 2_000, scalings: int = 200) -> None:
    heads = "".join(f"{f'{n} blocks':>18}" for n in BLOCKS)
    print(f"{'':44}{heads}")
    for title, simulate in (
        ("Coverage of an exponent (95 % promised)", exponent_coverage),
        ("Coverage of a crossing (95 % promised)", crossing_coverage),
        ("Crossings shown that are none (5 % allowed)", false_crossings),
    ):
        print(f"{title:44}" + "".join(f"{simulate(runs, blocks=n)!s:>18}" for n in BLOCKS), flush=True)
    print(f"\nCoverage of scaling laws, 5 x 5 runs, 1 % noise, {scalings} fits (95 % promised)")
    for name, share in scaling_coverage(scalings).items():
        print(f"  {name:12}{share!s:>18}", flush=True)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:3]))
