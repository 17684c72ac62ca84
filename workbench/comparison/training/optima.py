"""Result against learning rate for each method, its own optimum, and the verdict between methods at their optima. Pure.

Chosen on the held-out (validation) loss, judged on the test loss where the trials made one; see
`workbench.statistics.optimum` for how luck is kept out. Seeds are blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engines.protocol.problems import Fix
from workbench.comparison.training.methods import Method
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.registry import metric
from workbench.statistics import intervals
from workbench.statistics.intervals import RatioEstimate
from workbench.statistics.optimum import Curve, Optimum, Runs, Sweep, against, curve_of, judged, optimum_of

CHOOSES, JUDGES = "held_out_loss", "test_loss"
MARGIN = 0.01
"""What "equivalent" allows between losses at most: methods that were tuned differ by 1 to 2 %."""
_DIVERGED = frozenset({"diverged", "technique"})
"""Failures of a trial that began to train, at a rate where others of its method completed; "technique" of earlier
versions."""


@dataclass(frozen=True)
class MethodResult:
    """A method over the rates it was run at."""

    method: Method
    validation: Runs
    """Held-out loss by rate and seed; infinite where the trial diverged."""
    test: Runs
    curve: Curve | None
    optimum: Optimum | None
    at_optimum: Mapping[int, tuple[float, float]]
    """By seed: rate that the other seeds choose, and the test loss there."""
    against: RatioEstimate | None = None
    """Test loss at its optimum over that of the baseline; None for the baseline, and where there are too few seeds."""
    word: str = ""
    """"better", "worse", "no difference shown", "equivalent within 1 %", "baseline", ""."""
    fix: Fix | None = None
    """The rate to try next, where the optimum lies at an edge of all rates and none of them is still to run."""
    unfinished: bool = False
    """Trials at one of its rates have not ended: the optimum may move."""


@dataclass(frozen=True)
class Optima:
    methods: tuple[MethodResult, ...]
    baseline: str | None
    """Title of the method that the others are compared with."""
    judged_on: str
    """Metric that judges: `JUDGES`, or `CHOOSES` where trials made no test loss."""
    reason: str = ""
    """Why no method can be judged."""

    @property
    def one_rate(self) -> bool:
        """Whether no method was run at two rates: what is ranked then may be the rate."""
        return all(len(m.method.rates) == 1 for m in self.methods)

    @property
    def unequal_tuning(self) -> bool:
        """Whether some methods were tried at more rates than others."""
        return len({len(m.method.rates) for m in self.methods}) > 1


def optima_of(
    methods: Sequence[Method], kept: Mapping[str, ConfigurationTrials], baseline: str | None, margin: float = MARGIN
) -> Optima:
    """`baseline` is a configuration; its method is the baseline, else the first with results."""
    used = {c: kept[c] for method in methods for c in method.configurations.values()}
    if _scopes(CHOOSES, used) > 1:
        return Optima((), None, CHOOSES, "Configurations were evaluated over different text: losses do not compare.")
    tested = _scopes(JUDGES, used) == 1 and all(
        {t.block for t, _, _ in trials.values(CHOOSES, trials.counted)}
        <= {t.block for t, _, _ in trials.values(JUDGES, trials.counted)}
        for trials in used.values()
    )
    judges = JUDGES if tested else CHOOSES
    results = [_result(method, kept, judges) for method in methods]
    with_loss = [r for r in results if r.optimum is not None]
    if not with_loss:
        return Optima(tuple(results), None, judges, "No trial has a loss on held-out text yet.")
    first = next((r for r in with_loss if baseline in r.method.configurations.values()), with_loss[0])
    others = {str(i): r for i, r in enumerate(results) if r is not first and r.optimum is not None}
    ratios = against(Sweep(first.validation, first.test), {i: Sweep(r.validation, r.test) for i, r in others.items()})
    judged_results = tuple(
        _judged(r, ratios.get(str(i)), "baseline" if r is first else "", min(margin, MARGIN))
        for i, r in enumerate(results)
    )
    return Optima(judged_results, first.method.title, judges)


def _scopes(metric_id: str, used: Mapping[str, ConfigurationTrials]) -> int:
    rows = (row for trials in used.values() for _, row, _ in trials.values(metric_id, trials.counted))
    return len({row.scope for row in rows})


def _result(method: Method, kept: Mapping[str, ConfigurationTrials], judges: str) -> MethodResult:
    validation = {rate: _losses(kept[c], CHOOSES) for rate, c in method.configurations.items()}
    test = validation if judges == CHOOSES else {r: _losses(kept[c], judges) for r, c in method.configurations.items()}
    if not any(math.isfinite(v) for by_seed in validation.values() for v in by_seed.values()):
        return MethodResult(method, {}, {}, None, None, {})  # where nothing completed, nothing says that it diverged
    curve = curve_of(validation)
    best = optimum_of(curve) if curve is not None else None
    unfinished = any(t.state != "ended" for c in method.configurations.values() for t in kept[c].all)
    fix = None if unfinished else _fix(best)
    return MethodResult(method, validation, test, curve, best, judged(validation, test), fix=fix, unfinished=unfinished)


def _losses(trials: ConfigurationTrials, metric_id: str) -> dict[int, float]:
    diverged = {t.block: math.inf for t in trials.all if t.outcome == "failed" and t.failure in _DIVERGED}
    return diverged | trials.by_block(metric_id)


def _fix(best: Optimum | None) -> Fix | None:
    if best is None or best.next_setting is None:
        return None
    rate = float(f"{best.next_setting:.2g}")
    return Fix(f"Add learning rate {rate:g}", "workload.learning_rate.+", rate)


def _judged(result: MethodResult, ratio: RatioEstimate | None, word: str, margin: float) -> MethodResult:
    if ratio is None:
        return replace(result, word=word)
    decision = intervals.decide(ratio.interval, margin) if not ratio.deterministic else None
    if decision is None:
        word = "the same" if abs(ratio.ratio - 1) <= intervals.SAME else ""
    elif ratio.interval is None:
        word = ""
    elif decision == "equivalent":
        word = f"equivalent within {100 * margin:.3g} %"
    elif decision == "inconclusive":
        word = "no difference shown"
    else:
        higher, lower = metric(CHOOSES).words
        word = higher if decision == "higher" else lower
    return replace(result, against=ratio, word=word)
