"""Scaling laws: recovering known constants, optimisers that stop early, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.statistics_curves import TRUE, grid, scaling_coverage
from workbench.statistics.power_law import Refusal
from workbench.statistics.scaling import FLOPS, Estimate, Law, Run, Scaling, _Data, fit


def exact_runs() -> list[Run]:
    return grid(np.random.default_rng(0), noise=0.0)


def fitted(runs: list[Run], resamples: int = 20) -> Scaling:
    found = fit(runs, resamples=resamples)
    assert isinstance(found, Scaling)
    return found


def test_that_losses_without_noise_give_the_constants_back() -> None:
    """An optimiser that stops early, as for a mean in place of the sum, does not get here."""
    found = fitted(exact_runs())
    for name in ("E", "A", "B", "alpha", "beta"):
        assert getattr(found.law, name) == pytest.approx(getattr(TRUE, name), rel=2e-3), name
    assert found.converged
    assert found.residuals == pytest.approx([1] * 25, abs=1e-6)
    assert found.scatter < 1e-6


def test_that_the_order_and_the_number_of_starts_do_not_matter() -> None:
    runs = grid(np.random.default_rng(3))
    one, other = fitted(runs, 2), fitted(runs[::-1], 2)
    assert one.agreeing > 1
    assert one.law.alpha == pytest.approx(other.law.alpha, rel=1e-4)


def test_that_one_bad_run_hardly_moves_the_fit() -> None:
    runs = grid(np.random.default_rng(4), noise=0.002)
    spoilt = [*runs[:-1], Run(runs[-1].parameters, runs[-1].tokens, runs[-1].loss * 1.5)]
    assert fitted(spoilt, 2).law.alpha == pytest.approx(fitted(runs, 2).law.alpha, rel=0.1)
    assert fitted(spoilt, 2).residuals[-1] > 1.4


@given(st.tuples(*(st.floats(-2, 2) for _ in range(3)), st.floats(0.05, 1.5), st.floats(0.05, 1.5)))
@settings(max_examples=25, deadline=None)
def test_that_the_gradient_is_that_of_the_objective(theta: tuple[float, ...]) -> None:
    data = _Data.of(grid(np.random.default_rng(5), sizes=3, lengths=3))
    at = np.array(theta)
    value, gradient = data.with_gradient(at)
    assert value == pytest.approx(float(data.objective(at)))
    for place in range(5):
        step = np.zeros(5)
        step[place] = 1e-6
        slope = (data.objective(at + step) - data.objective(at - step)) / 2e-6
        assert gradient[place] == pytest.approx(float(slope), rel=1e-3, abs=1e-7)


def test_the_worked_example_of_a_compute_optimal_size() -> None:
    """With alpha = beta and A = B parameters and tokens are equal: N = D = the root of C/6."""
    law = Law(E=2.0, A=100.0, B=100.0, alpha=0.5, beta=0.5)
    assert law.optimum(6e12) == pytest.approx(1e6)
    assert law.share == 0.5
    best = law.loss(1e6, 1e6)
    assert best == pytest.approx(2.2)
    assert min(law.loss(1e6 * k, 1e6 / k) for k in (0.5, 0.9, 1.1, 2)) > best


def test_that_the_optimum_of_a_law_is_where_its_loss_is_lowest() -> None:
    compute = 1e15
    best = TRUE.optimum(compute)
    around = [TRUE.loss(n, compute / FLOPS / n) for n in (best * 0.8, best, best * 1.25)]
    assert min(around) == around[1]


def test_that_a_law_without_a_fall_has_no_optimum() -> None:
    assert math.isnan(Law(E=2.0, A=1.0, B=1.0, alpha=0.0, beta=0.3).optimum(1e15))


def test_that_too_few_runs_are_refused() -> None:
    runs = exact_runs()
    assert isinstance(fit([]), Refusal)
    assert isinstance(fit(runs[:8]), Refusal)
    assert isinstance(fit([r for r in runs if r.parameters < 1e6] * 3), Refusal), "two sizes say nothing of sizes"
    assert isinstance(fit([*runs[:8], Run(1e6, 1e6, math.inf)]), Refusal), "a run that diverged is no run"


def test_that_what_the_runs_do_not_say_is_refused() -> None:
    """Nine noisy runs of a small plan: within it a loss is known, beyond it neither the loss nor the best size."""
    found = fitted(grid(np.random.default_rng(7), sizes=3, lengths=3, noise=0.05), 60)
    inside = found.predict(1.4e6, 1.7e7)
    assert isinstance(inside, Estimate)
    assert inside.interval.holds(inside.value)
    beyond = found.predict(1e8, 3e9)
    assert isinstance(beyond, Refusal)
    assert "do not say" in beyond.reason
    assert isinstance(found.predict(1e12, 1e13), Refusal)
    assert "more than 100 times outside" in str(found.predict(1e12, 1e13))
    assert isinstance(found.optimum(found.compute.high * 1e3), Refusal)


def test_that_good_runs_may_be_extrapolated_a_little_with_an_interval() -> None:
    found = fitted(grid(np.random.default_rng(8), noise=0.001), 40)
    ahead = found.predict(3e7, 1e9)
    assert isinstance(ahead, Estimate)
    assert ahead.beyond == pytest.approx(3e7 * 1e9 / (1e7 * 3e8))
    assert ahead.interval.holds(TRUE.loss(3e7, 1e9))
    best = found.optimum(1e16)
    assert isinstance(best, Estimate)
    assert best.value == pytest.approx(TRUE.optimum(1e16), rel=0.03)
    assert best.interval.holds(best.value)


def test_that_intervals_hold_the_truth_at_the_stated_rate() -> None:
    """A small run of `python -m benchmarks.statistics_curves`; 95 % promised, over five figures of 8 fits."""
    held = scaling_coverage(8, resamples=40)
    assert sum(share.hits for share in held.values()) >= 0.85 * sum(share.runs for share in held.values())
