"""Result against learning rate: a curve for each method, its best filled, and how far around it is as good. Pure."""

from __future__ import annotations

import math

import numpy as np

from workbench.charts.stored import Chart, ChartAxis, Series, Span, provenance_line
from workbench.comparison.results import Comparison
from workbench.comparison.training.optima import MethodResult
from workbench.comparison.training.which import ONE_RATE
from workbench.statistics.optimum import TOLERANCE
from workbench.statistics.seeds import share

_ONE_RATE = f"{ONE_RATE} Run several to see the result against them."


def rate_chart(comparison: Comparison, hidden: frozenset[str] = frozenset()) -> Chart:
    """Held-out loss, which chooses a method's rate; a method is left out where all of its configurations are hidden."""
    training = comparison.training
    every = training.optima.methods if training is not None else ()
    shown = [m for m in every if m.optimum is not None and not hidden.issuperset(m.method.configurations.values())]
    swept = [m for m in shown if len(m.method.rates) > 1]
    rows = [r for r in comparison.rows if r.configuration not in hidden]
    basis = training.basis.words if training is not None else ""
    notes = [f"{basis[:1].upper()}{basis[1:]}."] if basis else []
    notes += [f"Bars: within {share(TOLERANCE)} of the method's own best, filled; an arrow: it may reach further."]
    seeds = sorted({len(m.curve.seeds) for m in swept if m.curve is not None})
    notes += ["Circle: mean of the trials; band: lowest to highest trial."] if seeds and seeds[-1] > 1 else []
    notes += [_diverged(m) for m in swept if m.curve is not None and not all(map(math.isfinite, m.curve.losses))]
    why = "Nothing was trained in this experiment." if training is None else training.optima.reason
    why = why or (_ONE_RATE if shown else "No trial has a loss yet.")
    return Chart(
        id="rates:learning rate",
        title="Held-out loss against learning rate",
        subtitle=f"n = {seeds[0]}" if len(seeds) == 1 else "",
        x=ChartAxis("Learning rate", log=True),
        y=ChartAxis("Held-out loss", "nats/token"),
        series=tuple(_series(m) for m in shown) if swept else (),
        spans=tuple(_span(m) for m in swept),
        notes=tuple(notes),
        provenance=provenance_line(comparison, rows),
        summary="Held-out loss against learning rate. "
        + " ".join(f"{m.method.title}: best at {m.optimum.setting:g}." for m in swept if m.optimum is not None),
        empty="" if swept else why,
    )


def _series(result: MethodResult) -> Series:
    curve, best = result.curve, result.optimum
    assert curve is not None
    assert best is not None
    good = [i for i, loss in enumerate(curve.losses) if np.isfinite(loss)]
    settings = [curve.settings[i] for i in good]
    seeds = [[v for v in result.validation[s].values() if np.isfinite(v)] for s in settings]
    band = any(len(values) > 1 for values in seeds)
    return Series(
        key=result.method.title,
        title=result.method.title,
        x=np.array(settings),
        y=np.array([curve.losses[i] for i in good]),
        color=result.method.color,
        style="points",
        y_low=np.array([min(v) for v in seeds]) if band else None,
        y_high=np.array([max(v) for v in seeds]) if band else None,
        filled=(settings.index(best.setting),),
    )


def _span(result: MethodResult) -> Span:
    best = result.optimum
    assert best is not None
    return Span(
        result.method.title, best.low, best.high, best.setting, result.method.color, best.open_low, best.open_high
    )


def _diverged(result: MethodResult) -> str:
    curve = result.curve
    assert curve is not None
    where = ", ".join(f"{s:g}" for s, v in zip(curve.settings, curve.losses, strict=True) if not math.isfinite(v))
    return f"Not drawn, because training diverged there: {result.method.title} at {where}."
