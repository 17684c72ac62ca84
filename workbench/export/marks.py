"""What stands in an exported plot: bands, bars, points, curves, intervals, references and direct labels.

Labels are placed against measured text extents, so that none covers another. Used by `figures` only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from workbench.charts import Chart, Series
from workbench.export.look import Look

_SEPARATOR = " · "
_CATEGORY = "category-name"
_PAD = 4.0
"""Pixels between a label and what it names."""


def draw_bands(axes: Axes, chart: Chart, style: Look) -> None:
    for band in chart.bands:
        axes.axvspan(
            band.start, band.end, color=style.bands.get(band.phase, style.background), linewidth=0, zorder=0, label="_band"
        )


def draw_series(axes: Axes, chart: Chart, style: Look) -> None:
    for series in chart.series:
        color = style.color(series.color)
        if series.style == "bars":
            axes.barh(series.y, np.nan_to_num(series.x), height=0.56, color=color, zorder=2)
            _whiskers(axes, series, style.text, 3)
        elif series.style == "markers":
            _whiskers(axes, series, color, 2)
            axes.plot(
                series.x,
                series.y,
                linestyle="none",
                marker=style.marker(series.color),
                markersize=6,
                color=color,
                markeredgecolor=style.background,
                markeredgewidth=0.6,
                zorder=3,
            )
        else:
            drawstyle = "steps-post" if series.style == "steps" else "default"
            axes.plot(series.x, series.y, color=color, linewidth=0.9, drawstyle=drawstyle, zorder=2)
            if series.y_low is not None and series.y_high is not None:
                axes.fill_between(series.x, series.y_low, series.y_high, color=color, alpha=0.18, linewidth=0, zorder=1)
    if chart.y.categories:
        axes.set_ylim(len(chart.y.categories) - 0.5, -0.5)
    elif all(s.style == "markers" for s in chart.series):
        axes.margins(0.14)
    else:
        axes.margins(x=0.01, y=0.08)


def _whiskers(axes: Axes, series: Series, color: str, zorder: int) -> None:
    for low, high, name in ((series.x_low, series.x_high, "xerr"), (series.y_low, series.y_high, "yerr")):
        if low is None or high is None:
            continue
        middle = series.x if name == "xerr" else series.y
        good = np.isfinite(low) & np.isfinite(high) & np.isfinite(middle)
        if not good.any():
            continue
        # a geometric mean may stand a rounding error outside its own interval
        spread = np.clip(np.vstack([middle - low, high - middle])[:, good], 0.0, None)
        axes.errorbar(
            series.x[good],
            series.y[good],
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            capsize=2.2,
            capthick=0.9,
            zorder=zorder,
            **{name: spread},
        )


def name_categories(axes: Axes, chart: Chart, style: Look) -> None:
    """Names beside their bars: "model · rest" in two lines, the rest on top."""
    axes.set_yticks(range(len(chart.y.categories)), [""] * len(chart.y.categories))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    for place, name in enumerate(chart.y.categories):
        first, second = name, ""
        if _SEPARATOR in name:
            second, _, first = name.partition(_SEPARATOR)
        for text, offset, size, color in ((first, 0.0 if not second else 4.0, 7.5, style.text), (second, -4.5, 6.0, style.muted)):
            if not text:
                continue
            axes.annotate(
                text,
                (0, place),
                xycoords=axes.get_yaxis_transform(),
                xytext=(-5, offset),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=size,
                color=color,
                gid=_CATEGORY,
                annotation_clip=False,
            )


def widest_category(axes: Axes, renderer: RendererBase) -> float:
    return max(
        (t.get_window_extent(renderer).width for t in axes.texts if t.get_gid() == _CATEGORY),
        default=0.0,
    )


def draw_references(axes: Axes, chart: Chart, style: Look) -> None:
    for reference in chart.references:
        line = axes.axvline if reference.orientation == "vertical" else axes.axhline
        line(reference.value, color=style.reference, linewidth=0.8, linestyle=(0, (4, 3)), zorder=4)
        if reference.orientation == "vertical":
            at, align = ((reference.value, 1.0), ("center", "bottom"))
            transform = axes.get_xaxis_transform()
        else:
            at, align = ((1.0, reference.value), ("right", "bottom"))
            transform = axes.get_yaxis_transform()
        text = axes.annotate(
            reference.title,
            at,
            xycoords=transform,
            xytext=(0, 1.5),
            textcoords="offset points",
            ha=align[0],
            va=align[1],
            fontsize=6.5,
            color=style.muted,
        )
        text.set_in_layout(False)


# --- direct labels --------------------------------------------------------------------------------


@dataclass
class _Label:
    text: str
    color: str
    at: tuple[float, float]
    """Pixels of what it names."""
    reach: tuple[float, float]
    """Half extents of that thing in pixels (marker and whiskers)."""


def draw_labels(figure: Figure, axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> None:
    """Values beside bars, names beside points, names at the ends of curves."""
    if chart.y.categories:
        _bar_labels(figure, axes, chart, style, renderer)
    elif any(s.style == "markers" for s in chart.series):
        _point_labels(axes, chart, style, renderer)
    elif len(chart.series) > 1:
        _legend(axes, chart, style)


def _bar_labels(figure: Figure, axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> None:
    ends = []
    for series in chart.series:
        for i, value in enumerate(series.x):
            text = series.labels[i] if i < len(series.labels) else ""
            tip = value
            if series.x_high is not None and np.isfinite(series.x_high[i]):
                tip = max(value, series.x_high[i])
            missing = not np.isfinite(value)
            drawn = axes.annotate(
                "not available" if missing else text,
                (0.0 if missing else max(tip, 0.0), series.y[i]),
                xytext=(3.5, 0),
                textcoords="offset points",
                va="center",
                ha="left",
                fontsize=7,
                color=style.muted if missing else style.text,
                zorder=5,
                # on the dashed baseline a number is read on a piece of ground
                bbox={"facecolor": style.background, "edgecolor": "none", "pad": 0.6},
            )
            ends.append((0.0 if missing else max(tip, 0.0), drawn.get_window_extent(renderer).width))
    low, high = axes.get_xlim()
    width = axes.get_window_extent(renderer).width
    gap = 3.5 / 72 * figure.dpi + 4
    for tip, text_width in ends:
        free = width - text_width - gap
        if free > 20:
            high = max(high, low + (tip - low) * width / free)
    axes.set_xlim(low, high)


def _point_labels(axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> None:
    """Each name on the side of its point where it covers nothing: right, left, above, below, then further away."""
    frame = axes.get_window_extent(renderer)
    labels, obstacles = [], []
    for series in (s for s in chart.series if s.style == "markers"):
        for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            px, py = axes.transData.transform((x, y))
            obstacles.append(Bbox.from_extents(px - 6, py - 6, px + 6, py + 6))
            obstacles += _whisker_boxes(axes, series, i)
            text = series.labels[i] if i < len(series.labels) else series.title
            labels.append(_Label(text, style.text, (px, py), (6.0, 6.0)))
    for label in labels:
        probe = axes.text(0, 0, label.text, fontsize=7)
        box = probe.get_window_extent(renderer)
        probe.remove()
        place = _free_place(label, box.width, box.height, frame, obstacles)
        obstacles.append(place)
        x, y = axes.transData.inverted().transform((place.x0, (place.y0 + place.y1) / 2))
        axes.text(x, y, label.text, fontsize=7, color=label.color, ha="left", va="center", zorder=6)
        gap = abs((place.y0 + place.y1) / 2 - label.at[1])
        if gap > 2.5 * box.height:
            end = axes.transData.inverted().transform(label.at)
            axes.plot([x, end[0]], [y, end[1]], color=style.axis, linewidth=0.5, zorder=1)


def _whisker_boxes(axes: Axes, series: Series, i: int) -> list[Bbox]:
    boxes = []
    x, y = float(series.x[i]), float(series.y[i])
    if series.x_low is not None and series.x_high is not None and np.isfinite(series.x_low[i] + series.x_high[i]):
        (left, middle), (right, _) = axes.transData.transform([(series.x_low[i], y), (series.x_high[i], y)])
        boxes.append(Bbox.from_extents(left, middle - 3, right, middle + 3))
    if series.y_low is not None and series.y_high is not None and np.isfinite(series.y_low[i] + series.y_high[i]):
        (middle, bottom), (_, top) = axes.transData.transform([(x, series.y_low[i]), (x, series.y_high[i])])
        boxes.append(Bbox.from_extents(middle - 3, bottom, middle + 3, top))
    return boxes


def _free_place(label: _Label, width: float, height: float, frame: Bbox, obstacles: list[Bbox]) -> Bbox:
    x, y = label.at
    best, least = None, np.inf
    for ring in range(6):
        away = _PAD + ring * height * 0.9
        right, left = x + label.reach[0] + away, x - label.reach[0] - away - width
        above, below = y + label.reach[1] + away, y - label.reach[1] - away - height
        for x0, y0 in (
            (right, y - height / 2),
            (left, y - height / 2),
            (x - width / 2, above),
            (x - width / 2, below),
            (x + label.reach[0] + _PAD, above),
            (x + label.reach[0] + _PAD, below),
            (x - label.reach[0] - _PAD - width, above),
            (x - label.reach[0] - _PAD - width, below),
        ):
            box = Bbox.from_extents(x0, y0, x0 + width, y0 + height)
            cost = sum(_overlap(box, other) for other in obstacles) + _outside(box, frame)
            if cost == 0:
                return box
            if cost < least:
                best, least = box, cost
    assert best is not None
    return best


def _overlap(a: Bbox, b: Bbox) -> float:
    across = min(a.x1, b.x1) - max(a.x0, b.x0)
    up = min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(across, 0.0) * max(up, 0.0)


def _outside(box: Bbox, frame: Bbox) -> float:
    inside = _overlap(box, frame)
    return 10 * (box.width * box.height - inside)


def _legend(axes: Axes, chart: Chart, style: Look) -> None:
    """Names of the curves in one row above the plot, where they cover nothing."""
    curves = [line for line in axes.lines if not line.get_label().startswith("_band")]
    axes.legend(
        curves[: len(chart.series)],
        [s.title for s in chart.series],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(chart.series),
        frameon=False,
        fontsize=6.5,
        labelcolor=style.label,
        handlelength=1.2,
        columnspacing=1.0,
        borderaxespad=0.1,
    )
