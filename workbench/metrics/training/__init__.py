"""Figures of a training trial: throughput, losses, what reaching a loss takes, and how large the trained part is."""

from __future__ import annotations

from workbench.metrics.model import Metric
from workbench.metrics.training import losses, reaching, size, throughput

METRICS: tuple[Metric, ...] = (*throughput.METRICS, *losses.METRICS, *reaching.METRICS, *size.METRICS)
