"""Result against learning rate: a line for each method, its seeds as a band. Pure."""

from __future__ import annotations

import math

import numpy as np

from workbench.charts.stored import Chart, ChartAxis, Series, provenance_line
from workbench.comparison.results import Comparison
from workbench.comparison.training.optima import CHOOSES, MethodResult
from workbench.comparison.training.which import ONE_RATE
from workbench.metrics.registry import metric
from workbench.units import format_value

_UNIT = "nats/token"


def rate_chart(comparison: Comparison) -> Chart:
    """Mean held-out (validation) loss of each method at every rate it was run at; x is the rate's decimal logarithm."""
    title = f"{metric(CHOOSES).title} against learning rate"
    training = comparison.training
    optima = training.optima if training is not None else None
    methods = [m for m in optima.methods if m.curve is not None] if optima is not None else []
    series = tuple(_series(m) for m in methods)
    basis = training.basis.words if training is not None else ""
    notes = [f"{basis[:1].upper()}{basis[1:]}."] if basis else []
    notes += ["Band: lowest to highest seed."] if any(s.y_low is not None for s in series) else []
    notes += [ONE_RATE] if optima is not None and optima.one_rate and len(methods) > 1 else []
    notes += [_diverged(m) for m in methods if not all(map(math.isfinite, _losses(m)))]
    why = "Nothing was trained in this experiment." if optima is None else optima.reason or "No trial has a loss yet."
    return Chart(
        id="rates:learning rate",
        title=title,
        subtitle="",
        x=ChartAxis("Learning rate, as a power of ten"),
        y=ChartAxis(metric(CHOOSES).title, _UNIT),
        series=series,
        notes=tuple(notes),
        provenance=provenance_line(comparison, comparison.rows),
        summary=f"{title}. " + " ".join(_said(m) for m in methods),
        empty="" if series else why,
    )


def _losses(method: MethodResult) -> tuple[float, ...]:
    return method.curve.losses if method.curve is not None else ()


def _series(method: MethodResult) -> Series:
    rates = method.curve.settings if method.curve is not None else ()
    seeds = [[v for v in method.validation[rate].values() if math.isfinite(v)] for rate in rates]
    band = max((len(s) for s in seeds), default=0) > 1
    return Series(
        key=method.method.title,
        title=method.method.title,
        x=np.log10(np.array(rates)),
        y=np.array([v if math.isfinite(v) else np.nan for v in _losses(method)]),
        color=method.method.color,
        style="points",
        y_low=np.array([min(s, default=np.nan) for s in seeds]) if band else None,
        y_high=np.array([max(s, default=np.nan) for s in seeds]) if band else None,
        labels=tuple(f"{rate:g}" for rate in rates),
    )


def _diverged(method: MethodResult) -> str:
    rates = method.curve.settings if method.curve is not None else ()
    where = ", ".join(f"{r:g}" for r, loss in zip(rates, _losses(method), strict=True) if not math.isfinite(loss))
    return f"Not drawn, because training diverged there: {method.method.title} at {where}."


def _said(method: MethodResult) -> str:
    if method.optimum is None:
        return f"{method.method.title}: no loss."
    loss = format_value(method.optimum.loss, _UNIT)
    return f"{method.method.title}: lowest at {method.optimum.setting:g}, {loss}."
