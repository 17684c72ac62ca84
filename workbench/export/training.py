"""What a comparison of training says, as plain JSON values. What is infinite or not known is null. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from workbench.comparison.training.optima import MethodResult
from workbench.comparison.training.ranks import Ranking
from workbench.comparison.training.reaching import Reach
from workbench.comparison.training.which import TrainingComparison
from workbench.statistics.intervals import Interval
from workbench.statistics.optimum import Runs


def training_json(found: TrainingComparison) -> dict[str, object]:
    seeds = found.seeds
    seen = seeds.seen() if seeds is not None else None
    return {
        "basis": {
            "kind": found.basis.kind,
            "least": found.basis.least,
            "most": found.basis.most,
            "equal": found.basis.equal,
            "words": found.basis.words,
        },
        "judged_on": found.optima.judged_on,
        "baseline": found.optima.baseline,
        "one_learning_rate": found.optima.one_rate,
        "unequal_tuning": found.optima.unequal_tuning,
        "reason": found.optima.reason,
        "methods": [_method(m) for m in found.optima.methods],
        "identical_weights": [list(pair) for pair in found.identical],
        "seeds": None
        if seeds is None
        else {
            "run": seeds.run,
            "spread": seeds.spread.value,
            "spread_upper": seeds.spread.upper,
            "comparisons": seeds.comparisons,
            "visible": seen[0] if seen is not None else None,
            "visible_at_most": seen[1] if seen is not None else None,
        },
        "reach": [_reach(r) for r in found.reach],
        "rankings": [_ranking(r) for r in found.rankings],
    }


def _method(found: MethodResult) -> dict[str, object]:
    best, ratio = found.optimum, found.against
    return {
        "title": found.method.title,
        "configurations": {f"{rate:g}": c for rate, c in found.method.configurations.items()},
        "validation_loss": _runs(found.validation),
        "test_loss": _runs(found.test),
        "optimum": None
        if best is None
        else {
            "learning_rate": best.setting,
            "loss": best.loss,
            "edge": best.edge,
            "next_learning_rate": best.next_setting,
            "may_be_lower_by": best.gain,
            "within_1_percent": [best.low, best.high],
            "open": [best.open_low, best.open_high],
        },
        "judged": {str(seed): {"learning_rate": r, "loss": v} for seed, (r, v) in found.at_optimum.items()},
        "ratio": ratio.ratio if ratio is not None else None,
        "ratio_interval": _ends(ratio.interval) if ratio is not None else None,
        "ratio_method": ratio.method if ratio is not None else "",
        "verdict": found.word,
    }


def _runs(runs: Runs) -> dict[str, Mapping[str, float | None]]:
    return {f"{rate:g}": {str(s): _finite(v) for s, v in by_seed.items()} for rate, by_seed in runs.items()}


def _reach(found: Reach) -> dict[str, object]:
    return {
        "configuration": found.configuration,
        "trials": found.trials,
        "reached": found.reached,
        "probability": _ends(found.probability),
        "medians": {
            axis: {"value": _finite(m.value), "interval": _ends(m.interval), "method": m.method}
            for axis, m in found.medians.items()
        },
    }


def _ranking(found: Ranking) -> dict[str, object]:
    ranks = [
        {"method": r.method, "configuration": r.configuration, "value": r.value, "from": r.best, "to": r.worst}
        for r in found.ranks
    ]
    return {"metric": found.metric, "size": found.size, "ranks": ranks}


def _ends(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [_finite(interval.low), _finite(interval.high)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
