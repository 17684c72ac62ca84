"""An experiment's results side by side: summaries over trials, ratios to a baseline, verdicts in words.

Pure: from an `ExperimentDetail` to values that a table, a chart, a command and an export show alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.store.operations import ExperimentDetail


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """One metric of one configuration, in the metric's base unit."""

    metric: str
    value: float | None
    """Geometric mean over valid trials (arithmetic where values are not all positive); None: not available."""
    reason: str = ""
    """Why there is no value."""
    n: int = 0
    interval: Interval | None = None
    """95 % t interval on the logarithms of the trial values; None under two trials."""
    trial_values: tuple[tuple[str, float], ...] = ()
    """(trial, value) of the trials that count."""
    excluded: tuple[str, ...] = ()
    """Trials with a value that were left out, because invalid."""
    ratio: float | None = None
    """To the baseline, from log ratios within blocks."""
    ratio_interval: Interval | None = None
    """Simultaneous over all configurations of the table."""
    blocks: int = 0
    """Blocks the ratio rests on."""
    word: str = ""
    """"baseline", "faster", "slower", "less", "more", "better", "worse", "no difference shown",
    "equivalent within 3 %", or "" where nothing can be said."""
    good: bool | None = None
    """Whether the difference is to the user's advantage; None: neither."""
    method: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """One configuration."""

    configuration: str
    title: str
    color: int
    model: str
    labels: dict[str, str]
    """What distinguishes it: {"precision": "int8", "prompt tokens": "128"}."""
    trials: int
    counted: int
    """Trials whose figures count."""
    failed: tuple[str, ...]
    """"2 failed: out of memory" in parts, for people."""
    cells: dict[str, Cell]
    is_baseline: bool


@dataclass(frozen=True)
class Comparison:
    experiment: str
    name: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    """Ids with at least one value, primary first."""
    unavailable: dict[str, str]
    """Metric id -> why no configuration has it."""
    varying: tuple[str, ...]
    """Labels that differ between rows."""
    constant: dict[str, str]
    """Labels that are the same for all."""
    baseline: str | None
    confidence: float = 0.95
    footnotes: tuple[str, ...] = field(default=())
    """Cautions for the whole table (origin of the model, near-chance quality, order of trials)."""


def compare(
    detail: ExperimentDetail,
    *,
    baseline: str | None = None,
    include_invalid: bool = False,
    margin: float = 0.03,
) -> Comparison:
    """`baseline` overrides the stored one; without either, the first configuration with results is it.
    `margin` is what "equivalent" allows, as a ratio."""
    raise NotImplementedError
