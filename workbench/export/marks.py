"""The parts of an exported plot: bands, bars, points, curves, intervals, references and direct labels.

Used by `figures` only.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from workbench.charts.labels import Box, place_labels
from workbench.charts.phases import phase_title
from workbench.charts.stored import Chart, ChartAxis, Floats, Series
from workbench.export.look import Look
from workbench.plan.looks import HOLLOW_STRIPE, STRIPE

_SEPARATOR = " · "
_CATEGORY = "category-name"
_LANE = 0.955
"""Where the lane of phases begins, as a share of the plot's height."""


def draw_bands(axes: Axes, chart: Chart, style: Look) -> None:
    for band in chart.bands:
        ground = style.bands.get(band.phase)
        if ground is not None:
            axes.axvspan(band.start, band.end, color=ground, linewidth=0, zorder=0)


def draw_lane(axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> list[Patch]:
    """Phases as named blocks along the top of the plot. -> patches for a legend, of the phases too short for a name"""
    named: set[str] = set()
    nameless: dict[str, Patch] = {}
    across = axes.get_xaxis_transform()
    for band in chart.bands:
        color = style.lanes.get(band.phase)
        if color is None:
            continue
        length = band.end - band.start
        block = Rectangle((band.start, _LANE), length, 1 - _LANE, transform=across, color=color, linewidth=0, zorder=5)
        axes.add_patch(block)
        name = phase_title(band.phase)
        text = axes.text(
            band.start + length / 2,
            (1 + _LANE) / 2 - 0.002,
            name,
            transform=across,
            fontsize=5.5,
            color=style.text,
            ha="center",
            va="center",
            zorder=6,
        )
        room = block.get_window_extent(renderer).width
        if text.get_window_extent(renderer).width + 4 <= room:
            named.add(band.phase)
        else:
            text.remove()
            nameless[band.phase] = Patch(facecolor=color, label=name)
    return [patch for phase, patch in nameless.items() if phase not in named]


def draw_series(axes: Axes, chart: Chart, style: Look) -> None:
    for series in chart.series:
        color = style.color(series.color)
        if series.style == "bars":
            fill = style.background if series.hollow else color
            edge = 1.2 if series.hollow else 0.0
            lengths = np.nan_to_num(series.x)
            if hatch := style.hatch(series.color):
                # matplotlib draws a pattern in the colour of the edge: a second bar brings it, and the edge lies above
                axes.barh(series.y, lengths, height=0.56, color=fill, linewidth=0, zorder=1.8)
                stripe = style.stripe(series.color, HOLLOW_STRIPE if series.hollow else STRIPE)
                axes.barh(
                    series.y, lengths, height=0.56, color="none", edgecolor=stripe, linewidth=0, hatch=hatch, zorder=1.9
                )
                fill = "none"
            axes.barh(series.y, lengths, height=0.56, color=fill, edgecolor=color, linewidth=edge, zorder=2)
            # on dark bars an interval is read by its edge of ground
            _whiskers(axes, series, chart, style.text, 3, edge=style.background)
        elif series.style == "markers":
            _whiskers(axes, series, chart, color, 2)
            axes.plot(
                series.x,
                series.y,
                linestyle="none",
                marker=style.marker(series.color),
                markersize=6,
                color=color,
                markerfacecolor=style.background if series.hollow else color,
                markeredgecolor=color if series.hollow else style.background,
                markeredgewidth=1.2 if series.hollow else 0.6,
                zorder=3,
            )
        elif series.style == "area" and series.y_low is not None and series.y_high is not None:
            ground = style.memory[series.token.rpartition(".")[2]]
            axes.fill_between(series.x, series.y_low, series.y_high, color=ground, linewidth=0, zorder=1)
        else:
            drawstyle = "steps-post" if series.style == "steps" else "default"
            dashes = "--" if series.color < -2 else "-"
            more = {"label": series.title, **_circles(series, style)}
            axes.plot(series.x, series.y, dashes, color=color, linewidth=0.9, drawstyle=drawstyle, zorder=2, **more)
            if series.filled:
                best = list(series.filled)
                axes.plot(series.x[best], series.y[best], "o", color=color, markersize=5.5, zorder=3)
            if series.y_low is not None and series.y_high is not None:
                axes.fill_between(series.x, series.y_low, series.y_high, color=color, alpha=0.18, linewidth=0, zorder=1)
    if chart.y.categories:
        axes.set_ylim(len(chart.y.categories) - 0.5, -0.5)
    elif all(s.style == "markers" for s in chart.series):
        axes.margins(0.14)
    else:
        axes.margins(x=0.01, y=0.08)


def _circles(series: Series, style: Look) -> dict[str, Any]:
    """Settings of a line through points that are far between."""
    if series.style != "points":
        return {}
    return {
        "marker": "o",
        "markersize": 4,
        "markerfacecolor": style.background,
        "markeredgewidth": 1.0,
        "clip_on": False,
    }


def _seen(high: Floats, axis: ChartAxis) -> Floats:
    """Upper ends of intervals as far as the axis shows them."""
    return high if axis.maximum is None else np.minimum(high, axis.maximum)


def _whiskers(axes: Axes, series: Series, chart: Chart, color: str, zorder: int, edge: str = "") -> None:
    for low, full, name, axis in (
        (series.x_low, series.x_high, "xerr", chart.x),
        (series.y_low, series.y_high, "yerr", chart.y),
    ):
        if low is None or full is None:
            continue
        high = _seen(full, axis)
        middle = series.x if name == "xerr" else series.y
        good = np.isfinite(low) & np.isfinite(high) & np.isfinite(middle)
        if not good.any():
            continue
        # a geometric mean may stand a rounding error outside its own interval
        spread = np.clip(np.vstack([middle - low, high - middle])[:, good], 0.0, None)
        _, caps, lines = axes.errorbar(
            series.x[good],
            series.y[good],
            xerr=spread if name == "xerr" else None,
            yerr=spread if name == "yerr" else None,
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            capsize=2.2,
            capthick=0.9,
            zorder=zorder,
        )
        if edge:
            for artist in (*caps, *lines):
                artist.set_path_effects([withStroke(linewidth=2.1, foreground=edge)])
        cut = good & (full > high)
        if cut.any():
            across = name == "xerr"
            axes.plot(
                high[cut] if across else series.x[cut],
                series.y[cut] if across else high[cut],
                linestyle="none",
                marker=">" if across else "^",
                markersize=3.6,
                color=color,
                zorder=zorder,
            )


def name_categories(axes: Axes, chart: Chart, style: Look, renderer: RendererBase, widest: float) -> None:
    """Names beside their bars: "model · rest" in two lines, the rest on top.

    A name wider than `widest` pixels is set in two lines; one that is still too wide is shortened in its middle,
    because names differ at their ends.
    """
    axes.set_yticks(range(len(chart.y.categories)), [""] * len(chart.y.categories))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")

    def write(text: str, place: int, offset: float, size: float, color: str) -> Text:
        return axes.annotate(
            text,
            (0, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-5, offset),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=size,
            color=color,
            linespacing=1.0,
            gid=_CATEGORY,
            annotation_clip=False,
        )

    for place, name in enumerate(chart.y.categories):
        first, second = name, ""
        if _SEPARATOR in name:
            second, _, first = name.partition(_SEPARATOR)
        upper = write(first, place, 4.0 if second else 0.0, 7.5, style.text)
        if upper.get_window_extent(renderer).width > widest:
            upper.set_text("\n".join(_halves(first)))
            upper.set_fontsize(6.5)
            upper.set_position((-5, 3.4 if second else 0.0))
        below = 8.4 if "\n" in upper.get_text() else 4.5
        _shorten(upper, widest, renderer)
        if second:
            _shorten(write(second, place, -below, 6.0, style.muted), widest, renderer)


def _halves(text: str) -> list[str]:
    """A long name in two lines of about the same length, broken at a space where there is one."""
    middle = len(text) // 2
    spaces = [i for i, c in enumerate(text) if c == " "]
    at = min(spaces, key=lambda i: abs(i - middle), default=middle)
    if abs(at - middle) > len(text) // 4:
        at = middle
    return [text[:at].rstrip(), text[at:].lstrip()]


def _shorten(text: Text, widest: float, renderer: RendererBase) -> None:
    whole = text.get_text()
    kept = len(whole)
    while text.get_window_extent(renderer).width > widest and kept > 8:
        kept -= max(1, kept // 12)
        text.set_text(f"{whole[: kept // 2]}…{whole[-(kept - kept // 2) :]}")


def widest_category(axes: Axes, renderer: RendererBase) -> float:
    return max(
        (t.get_window_extent(renderer).width for t in axes.texts if t.get_gid() == _CATEGORY),
        default=0.0,
    )


def draw_spans(axes: Axes, chart: Chart, style: Look) -> None:
    """Ranges in rows at the foot of the plot, below all curves."""
    if not chart.spans:
        return
    foot = 0.05 * len(chart.spans)
    low, high = axes.get_ylim()
    axes.set_ylim(high - (high - low) / (1 - foot), high)
    across = axes.get_xaxis_transform()
    for i, span in enumerate(chart.spans):
        y, color = foot - 0.05 * (i + 0.5), style.color(span.color)
        axes.plot([span.low, span.high], [y, y], color=color, linewidth=2.4, transform=across, zorder=3)
        for open_, x, marker in ((span.open_low, span.low, "<"), (span.open_high, span.high, ">")):
            if open_:
                axes.plot([x], [y], marker, color=color, markersize=4, transform=across, zorder=3)
        axes.plot(
            [span.at], [y], "o", color=color, markersize=5, markeredgecolor=style.background, transform=across, zorder=4
        )


def draw_references(axes: Axes, chart: Chart, style: Look) -> None:
    if chart.front:
        xs, ys = zip(*chart.front, strict=True)
        axes.plot(xs, ys, color=style.reference, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
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


def draw_labels(figure: Figure, axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> None:
    """Values beside bars, names beside points, names at the ends of curves."""
    if chart.y.categories:
        _bar_labels(figure, axes, chart, style, renderer)
    elif any(s.style == "markers" for s in chart.series):
        _point_labels(axes, chart, style, renderer)
    if not chart.y.categories and any(s.style != "markers" for s in chart.series):
        _legend(axes, chart, style, draw_lane(axes, chart, style, renderer))


def _bar_labels(figure: Figure, axes: Axes, chart: Chart, style: Look, renderer: RendererBase) -> None:
    ends = []
    for series in chart.series:
        for i, value in enumerate(series.x):
            text = series.labels[i] if i < len(series.labels) else ""
            tip = value
            if series.x_high is not None and np.isfinite(series.x_high[i]):
                tip = max(value, _seen(series.x_high, chart.x)[i])
            missing = not np.isfinite(value)
            drawn = axes.annotate(
                (text or "not available") if missing else text,
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
    points, texts, obstacles = [], [], _front_boxes(axes, chart)
    for series in (s for s in chart.series if s.style == "markers"):
        for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            if not (np.isfinite(x) and np.isfinite(y)):
                continue
            px, py = axes.transData.transform((x, y))
            obstacles.append(Bbox.from_extents(px - 6, py - 6, px + 6, py + 6))
            obstacles += _whisker_boxes(axes, series, chart, i)
            points.append((float(px), float(py)))
            name = series.labels[i] if i < len(series.labels) else series.title
            texts.append(axes.text(x, y, name, fontsize=7, color=style.text, ha="left", va="center", zorder=6))
    extents = [text.get_window_extent(renderer) for text in texts]
    placed = place_labels(
        points,
        [(box.width, box.height) for box in extents],
        [_box(box) for box in obstacles],
        _box(axes.get_window_extent(renderer)),
        gap=10.0,
        up=1,
        always=True,
    )
    to_data = axes.transData.inverted()
    for text, point, place in zip(texts, points, placed, strict=True):
        assert place is not None
        x0, y0, _, y1 = place.box
        x, y = to_data.transform((x0, (y0 + y1) / 2))
        text.set_position((x, y))
        if place.leader:
            xs, ys = to_data.transform([point, place.nearest(point)]).T
            axes.plot(xs, ys, color=style.axis, linewidth=0.5, zorder=1)


def _box(box: Bbox) -> Box:
    return float(box.x0), float(box.y0), float(box.x1), float(box.y1)


def _front_boxes(axes: Axes, chart: Chart) -> list[Bbox]:
    """Where the lines of a Pareto front run (px)."""
    if not chart.front:
        return []
    corners = axes.transData.transform(chart.front)
    return [
        Bbox.from_extents(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
        for a, b in pairwise(corners)
    ]


def _whisker_boxes(axes: Axes, series: Series, chart: Chart, i: int) -> list[Bbox]:
    boxes = []
    x, y = float(series.x[i]), float(series.y[i])
    if series.x_low is not None and series.x_high is not None and np.isfinite(series.x_low[i] + series.x_high[i]):
        (left, middle), (right, _) = axes.transData.transform(
            [(series.x_low[i], y), (_seen(series.x_high, chart.x)[i], y)]
        )
        boxes.append(Bbox.from_extents(left - 4, middle - 4, right + 4, middle + 4))
    if series.y_low is not None and series.y_high is not None and np.isfinite(series.y_low[i] + series.y_high[i]):
        (middle, bottom), (_, top) = axes.transData.transform(
            [(x, series.y_low[i]), (x, _seen(series.y_high, chart.y)[i])]
        )
        boxes.append(Bbox.from_extents(middle - 4, bottom - 4, middle + 4, top + 4))
    return boxes


def _legend(axes: Axes, chart: Chart, style: Look, phases: list[Patch]) -> None:
    """Names of the curves in one row above the plot, where they cover nothing."""
    lines = (line for line in axes.lines if not str(line.get_label()).startswith("_"))
    curves = [s for s in chart.series if s.style != "markers"]
    named = curves if len(curves) > 1 else []
    marks = [Patch(facecolor=style.memory[s.token.rpartition(".")[2]]) if s.token else next(lines) for s in named]
    if not marks and not phases:
        return
    axes.legend(
        [*marks, *phases],
        [*(s.title for s in named), *(str(p.get_label()) for p in phases)],
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(marks) + len(phases),
        frameon=False,
        fontsize=6.5,
        labelcolor=style.label,
        handlelength=1.2,
        columnspacing=1.0,
        borderaxespad=0.1,
    )
