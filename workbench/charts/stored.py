"""A chart as data: the window draws it with pyqtgraph, exports draw the same with matplotlib.

Values are in shown units already; arrays are float64 of shape (n,). Colours are palette indices, resolved per theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.comparison.comparison import Interval
from workbench.comparison.results import Cell, Comparison, Row
from workbench.comparison.trade_offs import front_line
from workbench.metrics.registry import find
from workbench.plan.labels import short_title
from workbench.units import counted, format_ratio, format_value, practical_unit, scale, significant
from workbench.version import version

Floats = npt.NDArray[np.float64]

_FAR = 3.0
"""An interval that ends beyond this many times the largest value would make the values unreadable: it is cut."""
_SHOWN = 2.0
"""How far such an axis goes, in times the largest value."""
BEYOND = "interval goes beyond the axis"


@dataclass(frozen=True)
class ChartAxis:
    title: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    """Where intervals are cut, with an arrow, because they reach far beyond every value; None: nothing is cut."""
    log: bool = False
    """Drawn in powers of ten; values are written as they are."""
    whole: bool = False
    """Its values are counts: no tick between two whole numbers."""
    note: str = ""
    """ "higher is better"; "" for none."""
    categories: tuple[str, ...] = ()
    """Category axis where not empty; positions 0, 1, 2, ..."""

    @property
    def label(self) -> str:
        """ "Energy per token, J/token (lower is better)"."""
        named = ", ".join(part for part in (self.title, self.unit) if part)
        return f"{named} ({self.note})" if self.note else named


@dataclass(frozen=True)
class Series:
    """`color` is a run palette index, or -1, -2, ... for the second, third, ... series of one trial: neutral, dashed
    from the fourth on."""

    key: str
    title: str
    x: Floats
    y: Floats
    color: int
    style: Literal["line", "markers", "bars", "steps", "points", "area"] = "line"
    """`points`: circles joined by a line. `area`: from `y_low` to `y_high`, in the colour of `token`."""
    x_low: Floats | None = None
    x_high: Floats | None = None
    y_low: Floats | None = None
    y_high: Floats | None = None
    labels: tuple[str, ...] = ()
    """One per point: "0.189"."""
    token: str = ""
    """Colour of an area in the design: "memory.weights"."""
    filled: tuple[int, ...] = ()
    """Of circles joined by a line, those that are drawn filled: the best."""
    hollow: bool = False
    """Markers and bars are drawn open: another engine than that of the filled ones."""


@dataclass(frozen=True)
class Span:
    """A range of the x axis, drawn as a bar at the foot of the plot with a mark at one value in it."""

    title: str
    low: float
    high: float
    at: float
    color: int
    open_low: bool = False
    open_high: bool = False
    """The range may reach further than it is drawn."""


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
    spans: tuple[Span, ...] = ()
    front: tuple[tuple[float, float], ...] = ()
    """Corners of a staircase (shown units): the Pareto front of a trade-off."""
    notes: tuple[str, ...] = ()
    """Printed under the chart: n, interval, method, cautions."""
    provenance: str = ""
    """Experiment, trials, configuration hashes, version, date: goes into every export."""
    summary: str = ""
    """Two sentences for a screen reader."""
    empty: str = ""
    """What to say instead of drawing when there is nothing to draw."""


@dataclass(frozen=True)
class _Measure:
    """A metric of one comparison in the unit it is drawn in."""

    id: str
    title: str
    definition: str
    unit: str
    factor: float
    better: str

    def shown(self, value: float) -> float:
        return value / self.factor

    def ends(self, interval: Interval | None) -> tuple[float, float]:
        """Ends of an interval, NaN where there is none."""
        if interval is None:
            return np.nan, np.nan
        return interval.low / self.factor, interval.high / self.factor

    @property
    def direction(self) -> str:
        return "" if self.better == "neither" else f"{self.better} is better"


def bar_chart(comparison: Comparison, metric: str, hidden: frozenset[str] = frozenset()) -> Chart:
    """Horizontal bars of one metric with intervals; the baseline as a dashed reference.

    One series per configuration: x is the value (NaN where there is none), y its place in `y.categories`, 0 on top.
    """
    rows = [r for r in comparison.rows if r.configuration not in hidden]
    measure = _measure(comparison, metric)
    cells = [r.cells.get(metric) for r in rows]
    texts = _value_texts(cells, measure)
    series = []
    engines = _engines(comparison)
    for place, (row, cell) in enumerate(zip(rows, cells, strict=True)):
        value = cell.value if cell is not None else None
        low, high = measure.ends(cell.interval if cell is not None else None)
        series.append(
            Series(
                key=row.configuration,
                title=row.title,
                x=np.array([np.nan if value is None else measure.shown(value)]),
                y=np.array([float(place)]),
                color=row.color,
                style="bars",
                x_low=np.array([low]),
                x_high=np.array([high]),
                labels=(texts[place],),
                hollow=len(engines) > 1 and row.labels.get("engine") != engines[0],
            )
        )
    pinned = next((c for r, c in zip(rows, cells, strict=True) if r.is_baseline and c and c.value is not None), None)
    references: tuple[Reference, ...] = ()
    if pinned is not None and pinned.value is not None and len(rows) > 1:
        references = (Reference(measure.shown(pinned.value), "baseline", "vertical"),)
    return Chart(
        id=f"bars:{metric}",
        title=measure.title,
        subtitle=_counts(rows, cells, hidden, comparison),
        x=ChartAxis(
            measure.title, measure.unit, note=measure.direction, minimum=0.0, maximum=(cut := _cut(cells, measure))
        ),
        y=ChartAxis("", categories=tuple(_category(r, comparison) for r in rows)),
        series=tuple(series),
        references=references,
        notes=(*_notes(comparison, rows, cells, (cut,)), *_engine_note(series, engines)),
        provenance=provenance_line(comparison, rows),
        summary=_bar_summary(measure, rows, cells, comparison),
        empty=_empty(comparison, metric, cells),
    )


def scatter_chart(comparison: Comparison, x_metric: str, y_metric: str, hidden: frozenset[str] = frozenset()) -> Chart:
    """Trade-off of two metrics, a point per configuration with both intervals. Configurations that lack one of them
    are named in the notes."""
    rows = [r for r in comparison.rows if r.configuration not in hidden]
    across, up = _measure(comparison, x_metric), _measure(comparison, y_metric)
    series, missing = [], []
    names, engines = point_names(comparison), _engines(comparison)
    for row in rows:
        x, y = row.cells.get(x_metric), row.cells.get(y_metric)
        name = names[row.configuration]
        if x is None or y is None or x.value is None or y.value is None:
            missing.append(name)
            continue
        (x_low, x_high), (y_low, y_high) = across.ends(x.interval), up.ends(y.interval)
        series.append(
            Series(
                key=row.configuration,
                title=row.title,
                x=np.array([across.shown(x.value)]),
                y=np.array([up.shown(y.value)]),
                color=row.color,
                style="markers",
                x_low=np.array([x_low]),
                x_high=np.array([x_high]),
                y_low=np.array([y_low]),
                y_high=np.array([y_high]),
                labels=(name,),
                hollow=len(engines) > 1 and row.labels.get("engine") != engines[0],
            )
        )
    drawn_rows = [r for r in rows if r.configuration in {s.key for s in series}]
    cuts = (
        _cut([r.cells[x_metric] for r in drawn_rows], across),
        _cut([r.cells[y_metric] for r in drawn_rows], up),
    )
    cells = [r.cells.get(x_metric) for r in rows] + [r.cells.get(y_metric) for r in rows]
    notes = _notes(comparison, rows, cells, cuts)
    front = _front(series, across, up)
    if front:
        notes = (*notes, "Dashed: Pareto front of the means; no configuration shown is better in both.")
    notes = (*notes, *_engine_note(series, engines))
    if missing and series:
        notes = (*notes, f"Not drawn, without both figures: {', '.join(missing)}.")
    drawn = f"{len(series)} of {len(rows)} configurations" if missing else f"{len(rows)} configurations"
    return Chart(
        id=f"scatter:{x_metric}:{y_metric}",
        title="Trade-off",
        subtitle=f"{up.title} against {across.title[:1].lower()}{across.title[1:]}",
        x=_directed(across, cuts[0]),
        y=_directed(up, cuts[1]),
        series=tuple(series),
        front=front,
        notes=notes,
        provenance=provenance_line(comparison, rows),
        summary=f"{up.title} against {across.title} for {drawn}. "
        + " ".join(f"{s.labels[0]}: {_said(s.x[0], across)}, {_said(s.y[0], up)}." for s in series),
        empty="" if series else _no_pair(comparison, across, up),
    )


def point_names(comparison: Comparison) -> dict[str, str]:
    """What each point of a trade-off is called, by configuration: as short as tells them apart. The engine, and what
    only one engine has, are left to the markers where the rest does."""
    rest = [n for n in comparison.varying if n != "engine"]
    short = {r.configuration: short_title(r.labels, rest, r.title) for r in comparison.rows}
    if len(set(short.values())) == len(short):
        return short
    return {r.configuration: short_title(r.labels, comparison.varying, r.title) for r in comparison.rows}


def _engines(comparison: Comparison) -> tuple[str, ...]:
    """Engines of the rows, in their order."""
    return tuple(dict.fromkeys(r.labels["engine"] for r in comparison.rows if r.labels.get("engine")))


def _engine_note(series: Sequence[Series], engines: Sequence[str]) -> tuple[str, ...]:
    """What filled and open mean, where both are drawn."""
    drawn = {s.hollow for s in series if np.isfinite(s.x).any()}
    if len(drawn) == 2:
        return (f"Filled: {engines[0]}; open: {', '.join(engines[1:])}.",)
    return ()


def _front(series: Sequence[Series], across: _Measure, up: _Measure) -> tuple[tuple[float, float], ...]:
    if "neither" in (across.better, up.better):
        return ()
    points = [(float(s.x[0]), float(s.y[0])) for s in series]
    return front_line(points, across.better, up.better)


def _basis(comparison: Comparison) -> str:
    """On what basis training trials are compared, in words; "" where they are not."""
    return comparison.training.basis.words if comparison.training is not None else ""


def provenance_line(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Where the figures come from, in one line: goes into every export."""
    hashes = ", ".join(r.configuration[:12] for r in rows)
    trials = sum(r.counted for r in rows)
    what = f"{comparison.name} ({comparison.experiment}) · {trials} trials of configurations {hashes}"
    return " · ".join(part for part in (what, _basis(comparison), f"llm-workbench {version()}") if part)


def _measure(comparison: Comparison, metric: str) -> _Measure:
    known = find(metric)
    cells = [r.cells[metric] for r in comparison.rows if metric in r.cells]
    unit = next((c.unit for c in cells if c.unit), known.unit if known is not None else "")
    largest = max((abs(c.value) for c in cells if c.value is not None), default=0.0)
    shown = known.shown_unit if known is not None and known.unit == unit else ""
    shown = shown or practical_unit(largest, unit)
    title = known.title if known is not None else metric.replace("_", " ")
    return _Measure(
        metric,
        title,
        known.definition if known is not None else "",
        "" if shown == "ratio" else shown,
        scale(unit, shown),
        known.better if known is not None else "neither",
    )


def _value_texts(cells: Sequence[Cell | None], measure: _Measure) -> list[str]:
    """Values with three digits, four where different values would otherwise read the same; where there is none, "" or
    that it was not reached."""

    def texts(digits: int) -> list[str]:
        return [_value_text(c, measure, digits) for c in cells]

    valued = {c.value: _value_text(c, measure, 3) for c in cells if c is not None and c.value is not None}
    return texts(3 if len(set(valued.values())) == len(valued) else 4)


def _value_text(cell: Cell | None, measure: _Measure, digits: int) -> str:
    if cell is None:
        return ""
    return cell.mark if cell.value is None else significant(measure.shown(cell.value), digits)


_ROOM_FOR_TWO_LINES = 10
"""Bars up to which a label of two lines has room."""


def _directed(measure: _Measure, cut: float | None = None) -> ChartAxis:
    return ChartAxis(measure.title, measure.unit, note=measure.direction, maximum=cut)


def _cut(cells: Sequence[Cell | None], measure: _Measure) -> float | None:
    """Where to cut intervals (shown unit): of two trials they can reach to ten times the largest value."""
    valued = [c for c in cells if c is not None and c.value is not None]
    largest = max((c.value for c in valued if c.value is not None), default=0.0)
    reach = max((c.interval.high for c in valued if c.interval is not None), default=0.0)
    return measure.shown(_SHOWN * largest) if largest > 0 and reach > _FAR * largest else None


def _category(row: Row, comparison: Comparison) -> str:
    """What tells the row from the others; "model · rest" or "engine · rest" where those differ too, drawn in two
    lines."""
    others = [n for n in comparison.varying if n != "model"]
    if "model" not in comparison.varying and "engine" in others and len(others) > 1 and row.labels.get("engine"):
        rest = [n for n in others if n != "engine"]
        name = short_title(row.labels, rest, row.title)
        alone = {short_title(r.labels, rest, r.title) for r in comparison.rows}
        if len(comparison.rows) > _ROOM_FOR_TWO_LINES and len(alone) == len(comparison.rows):
            return name
        return f"{row.labels['engine']} · {name}"
    if "model" not in comparison.varying or not others:
        return short_title(row.labels, comparison.varying, row.title)
    return f"{row.model} · {short_title(row.labels, others, row.title)}"


def _counts(rows: Sequence[Row], cells: Sequence[Cell | None], hidden: frozenset[str], comparison: Comparison) -> str:
    counts = sorted({c.n for c in cells if c is not None and c.value is not None})
    parts = [f"n = {counts[0]}" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]}"] if counts else []
    gone = sum(r.configuration in hidden for r in comparison.rows)
    if gone:
        parts.append(f"{gone} hidden")
    return "; ".join(parts)


def _notes(
    comparison: Comparison, rows: Sequence[Row], cells: Sequence[Cell | None], cuts: Sequence[float | None]
) -> tuple[str, ...]:
    valued = [c for c in cells if c is not None and c.value is not None]
    notes = [f"Training compared {basis}."] if (basis := _basis(comparison)) else []
    medians = [(r, c) for r, c in zip(cycle(rows), cells, strict=False) if c in valued and c and _is_median(c)]
    means = [c for c in valued if not _is_median(c)]
    if medians:
        notes.append("Medians of the trials with their intervals; a trial that did not reach it counts as infinite.")
    notes += [f"{short_title(r.labels, comparison.varying, r.title)}: {c.mark}." for r, c in medians if c.mark]
    if any(c.interval is not None for c in means):
        notes.append(f"Whiskers: {100 * comparison.confidence:g} % t interval over trials.")
    elif means and all(c.n > 1 for c in means):
        notes.append("The same value in every trial: no interval.")
    elif means:
        notes.append("One trial each: no interval.")
    if any(cut is not None for cut in cuts):
        notes.append(f"Arrow: the {BEYOND}.")
    excluded = {trial for c in valued for trial in c.excluded}
    if excluded:
        notes.append(f"{counted(len(excluded), 'invalid trials')} left out.")
    origins = [n for n in comparison.footnotes if "quality is that of" in n]
    if origins and any(c.metric in ("perplexity", "bits_per_byte") for c in valued):
        notes += origins
    return tuple(notes)


def _is_median(cell: Cell) -> bool:
    known = find(cell.metric)
    return known is not None and known.censored


def _said(value: float, measure: _Measure) -> str:
    return format_value(value, measure.unit or "ratio", measure.unit or "ratio")


def _bar_summary(measure: _Measure, rows: Sequence[Row], cells: Sequence[Cell | None], comparison: Comparison) -> str:
    """Two sentences: the figures, and what differs from the baseline."""
    points = [
        f"{short_title(r.labels, comparison.varying, r.title)} {_said(measure.shown(c.value), measure)}"
        for r, c in zip(rows, cells, strict=True)
        if c is not None and c.value is not None
    ]
    judged = [
        f"{short_title(r.labels, comparison.varying, r.title)} {c.word}, "
        + format_ratio(c.ratio, *((c.ratio_interval.low, c.ratio_interval.high) if c.ratio_interval else ()))
        for r, c in zip(rows, cells, strict=True)
        if c is not None and c.word and c.ratio is not None and not r.is_baseline
    ]
    first = f"{measure.title}: {', '.join(points)}." if points else f"{measure.title}: no values."
    return f"{first} Against the baseline: {'; '.join(judged)}." if judged else first


def _empty(comparison: Comparison, metric: str, cells: Sequence[Cell | None]) -> str:
    if any(c is not None and c.value is not None for c in cells):
        return ""
    if not cells:
        return "Every configuration is hidden."
    reason = comparison.unavailable.get(metric)
    if reason:
        return f"Not available: {reason}"
    if not comparison.metrics:
        return "No trial has results yet."
    return "None of the configurations shown has this figure."


def _no_pair(comparison: Comparison, across: _Measure, up: _Measure) -> str:
    for measure in (across, up):
        reason = comparison.unavailable.get(measure.id)
        if reason:
            return f"{measure.title} is not available: {reason}"
    return "No configuration shown has both figures yet." if comparison.metrics else "No trial has results yet."
