"""A comparison as values: rows of cells with their ratios, and what holds for the whole table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from workbench.comparison.architecture.costs import LengthCost
from workbench.comparison.training.which import TrainingComparison
from workbench.comparison.trials import Trouble
from workbench.statistics.intervals import Interval as Interval
from workbench.statistics.outliers import Outlier


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
    outliers: tuple[Outlier, ...] = ()
    """Trials that count and lie apart from the others."""
    ratio: float | None = None
    """To the baseline, from log ratios within blocks."""
    ratio_interval: Interval | None = None
    """Simultaneous over all configurations of the table."""
    blocks: int = 0
    """Blocks the ratio rests on."""
    word: str = ""
    """"baseline", "faster", "slower", "less", "more", "better", "worse", "no difference shown",
    "equivalent within 3 %", "the same" (deterministic figures only), or "" where nothing can be said."""
    good: bool | None = None
    """Whether the difference is to the user's advantage; None: neither."""
    made: str = ""
    """How the trials' values were made."""
    text: str = ""
    """How far the figure might move with another text; "" where that is not known."""
    summary: str = ""
    """How the value was made of them, and its interval; "" for what is counted."""
    ratio_made: str = ""
    """How the ratio was made; "" where nothing is estimated."""
    common_bytes: float = 0.0
    """Of the text that the ratio rests on, where only a part of either stretch is common to both; 0: all of it is."""
    unit: str = ""
    scope: str = ""
    """What the values were taken over; "" where trials differ."""
    error: float | None = None
    """Standard error over what was drawn (a task's questions, a stretch of text), in the metric's unit: nothing between
    trials."""
    mark: str = ""
    """A caution in two words, shown beside the figure: "near chance"."""
    formula: int = 0
    """Version of the formula that made the values; 0 where there are none."""

    @property
    def method(self) -> str:
        """How everything was made, in one line."""
        ratio = self.ratio_made and f"ratio from {self.ratio_made}"
        return "; ".join(part for part in (self.made, self.text, self.summary, ratio) if part)


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
    failed: tuple[Trouble, ...]
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
    tasks_asked: bool = True
    """Whether a missing score on tasks is worth a line: one failed, or no trial has results yet."""
    confidence: float = 0.95
    training: TrainingComparison | None = None
    """What only a comparison of training trials has; None where nothing trains."""
    costs: tuple[LengthCost, ...] = ()
    """Cost against length, where configurations differ in a length."""
    footnotes: tuple[str, ...] = field(default=())
    """Cautions for the whole table (origin of the model, near-chance quality, order of trials)."""
