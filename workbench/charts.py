"""A chart as data: the window draws it with pyqtgraph, exports draw the same with matplotlib.

Values are in shown units already; arrays are float64 of shape (n,). Colours are palette indices, resolved per theme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.comparison import Comparison

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ChartAxis:
    title: str
    unit: str = ""
    minimum: float | None = None
    categories: tuple[str, ...] = ()
    """Category axis where not empty; positions 0, 1, 2, ..."""


@dataclass(frozen=True)
class Series:
    """`color` is a run palette index, or -1 and -2 for the neutral second and third series of one trial."""

    key: str
    title: str
    x: Floats
    y: Floats
    color: int
    style: Literal["line", "markers", "bars", "steps"] = "line"
    x_low: Floats | None = None
    x_high: Floats | None = None
    y_low: Floats | None = None
    y_high: Floats | None = None
    labels: tuple[str, ...] = ()
    """One per point: "0.189"."""


@dataclass(frozen=True)
class Band:
    """A phase behind the curves."""

    start: float
    end: float
    phase: str


@dataclass(frozen=True)
class Reference:
    """A line across the plot at one value: the baseline, a user's limit."""

    value: float
    title: str
    orientation: Literal["horizontal", "vertical"]


@dataclass(frozen=True)
class Chart:
    id: str
    """"bars:decode_tokens_per_second"."""
    title: str
    subtitle: str
    x: ChartAxis
    y: ChartAxis
    series: tuple[Series, ...]
    bands: tuple[Band, ...] = ()
    references: tuple[Reference, ...] = ()
    notes: tuple[str, ...] = ()
    """Printed under the chart: n, interval, method, cautions."""
    provenance: str = ""
    """Experiment, trials, configuration hashes, version, date: goes into every export."""
    summary: str = ""
    """Two sentences for a screen reader."""
    empty: str = ""
    """What to say instead of drawing when there is nothing to draw."""


def bar_chart(comparison: Comparison, metric: str, hidden: frozenset[str] = frozenset()) -> Chart:
    """Horizontal bars of one metric with intervals; the baseline as a dashed reference."""
    raise NotImplementedError


def scatter_chart(comparison: Comparison, x_metric: str, y_metric: str, hidden: frozenset[str] = frozenset()) -> Chart:
    """Trade-off of two metrics, a point per configuration with both intervals."""
    raise NotImplementedError
