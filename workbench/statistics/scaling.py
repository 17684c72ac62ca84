"""Scaling laws: loss = E + A / N^alpha + B / D^beta over runs of N parameters on D tokens. Pure; any thread.

Fitted as by Hoffmann et al. (2022, arXiv 2203.15556, approach 3): the sum, not the mean, of Huber losses (delta 1e-3)
of log loss, the law's logarithm as a logsumexp, by L-BFGS-B with the exact gradient from many starts. Their own
optimiser stopped early for want of scale (arXiv 2404.10102); here N and D are centred on their logarithms and a fit
counts as converged when several starts end at the same place. A handful of small runs determines neither E nor an
extrapolation: every figure has a bootstrap interval over runs, and what the intervals leave open is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.statistics.intervals import SEED, Floats, Interval
from workbench.statistics.power_law import Refusal

DELTA = 1e-3
"""Of the Huber loss: residuals of log loss beyond it count linearly."""
MIN_SIZES = 3
"""Different numbers of parameters, and of tokens."""
MIN_RUNS = 9
RESAMPLES = 200
FLOPS = 6.0
"""Compute of training, FLOPs a parameter and token (Kaplan et al. 2020)."""
NAMES = ("E", "A", "B", "alpha", "beta")
_POLISHED = 24
"""Starts that are taken to their end, the best of the grid."""
_AGREE = 1e-6
"""Relative: objectives of starts that ended at the same place."""
_BOUNDS = ((-30.0, 30.0), (-30.0, 30.0), (-20.0, 5.0), (0.0, 4.0), (0.0, 4.0))
WIDE = 1.1
"""A loss whose interval spans more than this ratio says nothing beyond the runs."""
OPEN = 10.0
"""A model size whose interval spans more than this ratio is not determined."""
REACH = 100.0
"""Nothing is said of more than this many times the largest compute, or less than the smallest over it."""


@dataclass(frozen=True)
class Run:
    """One finished run. Loss in nats a token, of the same text and tokenizer in all runs."""

    parameters: float
    tokens: float
    loss: float
    name: str = ""


@dataclass(frozen=True)
class Law:
    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        return float(self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta)

    @property
    def share(self) -> float:
        """Exponent of the compute-optimal number of parameters in compute; that of tokens is 1 less it."""
        total = self.alpha + self.beta
        return self.beta / total if total > 0 else math.nan

    def optimum(self, compute: float) -> float:
        """Parameters at which `compute` = FLOPS x N x D gives the lowest loss; NaN where the law has none."""
        if min(self.alpha, self.beta, self.A, self.B) <= 0:
            return math.nan
        log_g = math.log(self.alpha * self.A / (self.beta * self.B)) / (self.alpha + self.beta)
        return math.exp(log_g + self.share * math.log(compute / FLOPS))


@dataclass(frozen=True)
class Estimate:
    value: float
    interval: Interval
    beyond: float = 1.0
    """Compute over the largest that was measured, where that is above 1."""


@dataclass(frozen=True)
class Scaling:
    """A fit. Intervals are those of the bootstrap; a constant without a bound in the data has a wide one."""

    law: Law
    intervals: dict[str, Interval]
    """By name of the constant, and "share"."""
    runs: tuple[Run, ...]
    residuals: tuple[float, ...]
    """Measured over fitted loss, by run."""
    objective: float
    agreeing: int
    """Starts that ended at the same lowest objective."""
    resampled: tuple[Law, ...]
    confidence: float
    method: str

    @property
    def converged(self) -> bool:
        return self.agreeing > 1

    @property
    def compute(self) -> Interval:
        """FLOPs of the smallest and the largest run."""
        every = [FLOPS * r.parameters * r.tokens for r in self.runs]
        return Interval(min(every), max(every))

    @property
    def scatter(self) -> float:
        """Root mean square of the log residuals, as a share of the loss."""
        return math.sqrt(float(np.mean(np.log(self.residuals) ** 2)))

    def predict(self, parameters: float, tokens: float) -> Estimate | Refusal:
        """The loss of a run. Refused beyond the runs where the interval is wide."""
        compute = FLOPS * parameters * tokens
        refused = self._too_far(compute)
        if refused is not None:
            return refused
        interval = self._interval(lambda law: law.loss(parameters, tokens))
        inside = all(
            min(measured) <= asked <= max(measured)
            for asked, measured in (
                (parameters, [r.parameters for r in self.runs]),
                (tokens, [r.tokens for r in self.runs]),
            )
        )
        if interval is None or (not inside and interval.high > WIDE * interval.low):
            ends = f", from {interval.low:.3g} to {interval.high:.3g}" if interval is not None else ""
            return Refusal(f"The runs do not say what the loss would be{ends}: it lies outside what was measured.")
        return Estimate(self.law.loss(parameters, tokens), interval, self._beyond(compute))

    def optimum(self, compute: float) -> Estimate | Refusal:
        """Parameters of the compute-optimal model. Refused where the interval spans more than `OPEN`."""
        refused = self._too_far(compute)
        if refused is not None:
            return refused
        interval = self._interval(lambda law: law.optimum(compute))
        value = self.law.optimum(compute)
        if interval is None or not math.isfinite(value):
            return Refusal("The runs do not determine a compute-optimal size: in some resamples there is none.")
        if interval.high > OPEN * interval.low:
            return Refusal(
                "The runs do not determine the compute-optimal size: anything from "
                f"{interval.low:.2g} to {interval.high:.2g} parameters agrees with them."
            )
        return Estimate(value, interval, self._beyond(compute))

    def _too_far(self, compute: float) -> Refusal | None:
        measured = self.compute
        if measured.low / REACH <= compute <= measured.high * REACH:
            return None
        return Refusal(f"{compute:.2g} FLOPs are more than {REACH:g} times outside the runs that were measured.")

    def _beyond(self, compute: float) -> float:
        return max(1.0, compute / self.compute.high)

    def _interval(self, figure: Callable[[Law], float]) -> Interval | None:
        values = np.array([figure(law) for law in self.resampled])
        return _quantiles(values, self.confidence) if bool(np.all(np.isfinite(values))) else None


def fit(
    runs: Sequence[Run], *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = SEED
) -> Scaling | Refusal:
    """Finished runs only: a loss in the middle of a learning-rate schedule is no point of the law."""
    usable = [r for r in runs if min(r.parameters, r.tokens, r.loss) > 0 and math.isfinite(r.loss)]
    sizes, lengths = {r.parameters for r in usable}, {r.tokens for r in usable}
    if len(usable) < MIN_RUNS or len(sizes) < MIN_SIZES or len(lengths) < MIN_SIZES:
        return Refusal(
            f"A scaling law takes {MIN_RUNS} runs or more of {MIN_SIZES} model sizes and {MIN_SIZES} token counts; "
            f"there are {len(usable)} runs of {len(sizes)} sizes and {len(lengths)} token counts."
        )
    data = _Data.of(usable)
    ends = sorted((data.fitted(start) for start in data.starts()), key=lambda end: end[1])
    best, objective = ends[0]
    agreeing = sum(value - objective <= _AGREE * max(objective, DELTA**2) for _, value in ends)
    law = data.law(best)
    fitted = np.exp(data.log_loss(best))
    laws = tuple(_resampled(data, best, resamples, seed))
    figures: dict[str, Callable[[Law], float]] = {name: _constant(name) for name in NAMES}
    figures["share"] = lambda law: law.share
    return Scaling(
        law=law,
        intervals={n: _quantiles(np.array([f(one) for one in laws]), confidence) for n, f in figures.items()},
        runs=tuple(usable),
        residuals=tuple((np.exp(data.y) / fitted).tolist()),
        objective=objective,
        agreeing=agreeing,
        resampled=laws,
        confidence=confidence,
        method=f"summed Huber loss (delta {DELTA:g}) of log loss over {len(usable)} runs, L-BFGS-B from {len(ends)} "
        f"starts, {agreeing} of which agree; {100 * confidence:g} % intervals of {resamples} bootstrap resamples",
    )


def _constant(name: str) -> Callable[[Law], float]:
    return lambda law: float(getattr(law, name))


def _quantiles(values: Floats, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class _Data:
    """Logarithms of the runs; N and D about their means, so that the five parameters are of one size."""

    n: Floats
    d: Floats
    y: Floats
    n_mean: float
    d_mean: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> _Data:
        n, d, y = (np.log([getattr(r, name) for r in runs]) for name in ("parameters", "tokens", "loss"))
        return cls(n - n.mean(), d - d.mean(), y, float(n.mean()), float(d.mean()))

    def with_losses(self, y: Floats) -> _Data:
        return _Data(self.n, self.d, y, self.n_mean, self.d_mean)

    def law(self, theta: Floats) -> Law:
        a, b, e, alpha, beta = theta.tolist()
        return Law(math.exp(e), math.exp(a + alpha * self.n_mean), math.exp(b + beta * self.d_mean), alpha, beta)

    def terms(self, theta: Floats) -> Floats:
        """Logarithms of the law's three terms; theta of shape (..., 5) -> (..., 3, runs)."""
        a, b, e, alpha, beta = (theta[..., i, None] for i in range(5))
        return np.stack([a - alpha * self.n, b - beta * self.d, e + 0 * self.n], axis=-2)

    def log_loss(self, theta: Floats) -> Floats:
        terms = self.terms(theta)
        top = terms.max(axis=-2)
        summed: Floats = top + np.log(np.exp(terms - top[..., None, :]).sum(axis=-2))
        return summed

    def objective(self, theta: Floats) -> Floats:
        """Summed Huber loss; theta of shape (..., 5)."""
        away = np.abs(self.log_loss(theta) - self.y)
        loss: Floats = np.where(away <= DELTA, 0.5 * away**2, DELTA * (away - 0.5 * DELTA)).sum(axis=-1)
        return loss

    def with_gradient(self, theta: Floats) -> tuple[float, Floats]:
        terms = self.terms(theta)
        whole = self.log_loss(theta)
        shares = np.exp(terms - whole)
        away = whole - self.y
        slope = np.clip(away, -DELTA, DELTA)
        of_a, of_b, of_e = (slope * part for part in shares)
        gradient = np.array(
            [of_a.sum(), of_b.sum(), of_e.sum(), -(of_a * self.n).sum(), -(of_b * self.d).sum()],
        )
        return float(self.objective(theta)), gradient

    def starts(self) -> Floats:
        """The best of a grid over how the loss is shared out at the middle of the runs, and over both exponents."""
        level = float(np.mean(self.y))
        shares = [0.02, 0.1, 0.3, 0.6]
        exponents = [0.1, 0.3, 0.5, 0.8, 1.2]
        grid = np.array(
            [
                (level + math.log(a), level + math.log(b), level + math.log(max(1 - a - b, 0.02)), alpha, beta)
                for a in shares
                for b in shares
                for alpha in exponents
                for beta in exponents
            ]
        )
        return grid[np.argsort(self.objective(grid))[:_POLISHED]]

    def fitted(self, start: Floats) -> tuple[Floats, float]:
        """Where a start ends, and the objective there."""
        from scipy import optimize

        found = optimize.minimize(
            self.with_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=_BOUNDS,
            options={"ftol": 1e-14, "gtol": 1e-10, "maxiter": 5_000, "maxfun": 20_000, "maxcor": 20},
        )
        return np.asarray(found.x, dtype=float), float(found.fun)


def _resampled(data: _Data, best: Floats, resamples: int, seed: int) -> list[Law]:
    """Fits of resampled runs, each begun at the fit of all of them: residuals, their signs drawn too, are put on the
    fitted losses, so that the plan of sizes and tokens stays. A fit of nearly absolute losses passes through as many
    runs as it has constants; those are no residuals and are left out, the others are widened for the constants."""
    rng = np.random.default_rng(seed)
    fitted = data.log_loss(best)
    off = data.y - fitted
    count, constants = len(off), len(NAMES)
    away = np.sort(np.abs(off))[constants:] * math.sqrt(count / (count - constants))
    drawn = rng.choice(away, (resamples, count)) * rng.choice([-1.0, 1.0], (resamples, count))
    return [data.law(data.with_losses(fitted + noise).fitted(best)[0]) for noise in drawn]
