"""What a metric is. To add one: a function in a module of this package and an entry in `registry.METRICS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.metrics.trial import TrialRecords

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Value:
    """A metric of one trial, in base units. `n` counts what it was made of (tokens, samples, requests)."""

    value: float
    method: str
    n: int | None = None


@dataclass(frozen=True)
class NotAvailable:
    """Why there is no value, in a sentence. Never zero instead."""

    reason: str


@dataclass(frozen=True)
class Metric:
    id: str
    """"decode_tokens_per_second"."""
    title: str
    """"Decode throughput"."""
    definition: str
    """One or two sentences with the formula and its source."""
    unit: str
    """Base unit as stored: "tokens/s", "s", "B", "J/token", "ratio"."""
    better: Better
    window: str
    """"measured requests", "decode", "whole trial", ..."""
    version: int
    compute: Callable[[TrialRecords], Value | NotAvailable]
    shown_unit: str = ""
    """Practical unit ("GiB", "ms"); "" as stored."""
    group: str = "speed"
    """"speed", "latency", "memory", "energy", "quality", "cost"."""
    primary: bool = False
    """Shown in the comparison table before the user chooses columns."""
