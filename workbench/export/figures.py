"""A chart as PNG, SVG or PDF, drawn by matplotlib from the same description as the window's.

Uses `Figure` objects only, never pyplot's global state, so it runs without a display and in any thread, one figure at
a time. SVG and PDF hold real text. matplotlib is imported here: import this module late.
"""

from __future__ import annotations

from workbench.export.plain_matplotlib import DEFAULTS

# isort: split
import io
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from workbench.charts.stored import Chart, ChartAxis
from workbench.export import marks
from workbench.export.look import Look, ThemeName, look
from workbench.export.provenance import SOFTWARE, Provenance, of_chart
from workbench.version import version

Format = Literal["png", "svg", "pdf"]
Size = Literal["column", "wide"]

WIDTHS: dict[str, float] = {"column": 3.5, "wide": 7.0}
"""Inches: one column of a journal, and both."""
DPI = 300
_DRAWING = Lock()
_OTHER_FONTS = 1.15
"""How much wider than in ours a line may be in another font."""
_ROW = 0.34
"""Inches a category needs, two lines of names included."""
_NAMES = 0.45
"""Share of the width that names of categories may take."""
_HEADROOM = 1.12
"""Room above curves that start at zero: for the lane of phases."""
_FOOT = 5.0
"""Points of the notes and the provenance under a chart."""


def render(
    chart: Chart,
    format: Format,
    *,
    size: Size = "wide",
    theme: ThemeName = "light",
    footer: bool = True,
    made: datetime | None = None,
) -> bytes:
    """The file's content. `footer` prints notes and provenance under the plot; both are in the metadata in any case."""
    style = look(theme)
    origin = of_chart(chart, made)
    said = _metadata(chart, origin, format)
    out = io.BytesIO()
    # matplotlib's settings belong to the process: two threads must not draw at once
    with _DRAWING, mpl.rc_context(DEFAULTS | _settings(style)):  # type: ignore[arg-type]
        figure = draw(chart, style, WIDTHS[size], origin if footer else None)
        figure.savefig(out, format=format, dpi=DPI, facecolor=style.background, metadata=said)
    return out.getvalue()


def save(
    chart: Chart, path: Path, *, size: Size = "wide", theme: ThemeName = "light", made: datetime | None = None
) -> Path:
    """Write the chart; the format is the path's suffix. Raises `ValueError` for another suffix, `OSError`."""
    suffix = path.suffix.removeprefix(".").lower()
    if suffix not in ("png", "svg", "pdf"):
        raise ValueError(f"{path.name}: a chart is exported as .png, .svg or .pdf")
    path.write_bytes(render(chart, suffix, size=size, theme=theme, made=made))  # type: ignore[arg-type]
    return path


def draw(chart: Chart, style: Look, width: float, origin: Provenance | None) -> Figure:
    """The figure, laid out in inches so that nothing depends on what matplotlib guesses."""
    under = _under(chart, origin, width)
    top, foot = 0.42, 0.46 + 0.085 * len(under) + (0.06 if under else 0.0)
    height = _plot_height(chart, width) + top + foot
    figure = Figure(figsize=(width, height))
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    axes = figure.add_axes((0.15, foot / height, 0.8, 1 - (top + foot) / height))
    axes.set_facecolor(style.background)
    _head(figure, chart, style, width, height)
    for index, line in enumerate(under):
        y = (0.06 + 0.085 * (len(under) - 1 - index)) / height
        figure.text(0.08 / width, y, line, fontsize=_FOOT, color=style.muted, va="bottom", ha="left")
    if chart.empty or not chart.series:
        _say_empty(axes, chart, style, width)
        return figure
    _frame(axes, style)
    marks.draw_bands(axes, chart, style)
    if chart.x.log:
        axes.set_xscale("log")
    if chart.y.log:
        axes.set_yscale("log")
    marks.draw_series(axes, chart, style)
    marks.draw_spans(axes, chart, style)
    _axis(axes, "x", chart.x, style)
    _axis(axes, "y", chart.y, style)
    if chart.y.categories:
        marks.name_categories(axes, chart, style, renderer, _NAMES * width * figure.dpi)
    _fit_sides(figure, axes, chart, width, renderer)
    marks.draw_references(axes, chart, style)
    marks.draw_labels(figure, axes, chart, style, renderer)
    return figure


class Thousands(ScalarFormatter):
    """Plain numbers with grouped thousands, no offset."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = str(super().__call__(x, pos))
        sign = "−" if x < 0 else ""
        whole, point, rest = text.lstrip("−-").partition(".")
        return f"{sign}{int(whole):,}{point}{rest}" if whole.isdigit() else text


def _plot_height(chart: Chart, width: float) -> float:
    if chart.empty or not chart.series:
        return 1.2
    if chart.y.categories:
        return max(0.9, _ROW * len(chart.y.categories) + 0.14)
    return 2.4 if width < 5 else 3.1


def _settings(style: Look) -> dict[str, object]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = [name for name in (*style.families, "DejaVu Sans") if name in installed]
    return {
        "font.family": "sans-serif",
        "font.sans-serif": families,
        "svg.fonttype": "none",
        "svg.hashsalt": SOFTWARE,
        "pdf.fonttype": 42,
        "axes.unicode_minus": True,
        "text.parse_math": False,
        "font.size": 7.5,
        "path.simplify": True,
        "hatch.linewidth": 2.0,
    }


def _head(figure: Figure, chart: Chart, style: Look, width: float, height: float) -> None:
    x, y = 0.08 / width, 1 - 0.1 / height
    title = figure.text(x, y, chart.title, fontsize=9, fontweight="semibold", color=style.text, va="top", ha="left")
    if chart.subtitle:
        # from the other edge, with room to spare: an SVG is drawn with whatever font its reader has
        end = _OTHER_FONTS * title.get_window_extent().x1 / figure.dpi
        text = _cut(chart.subtitle, int((width - end - 0.2) / (_OTHER_FONTS * 0.055)))
        figure.text(1 - x, y - 0.022 / height, text, fontsize=7.5, color=style.muted, va="top", ha="right")


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else textwrap.shorten(text, max(characters, 8), placeholder="…")


def _under(chart: Chart, origin: Provenance | None, width: float) -> list[str]:
    """Notes and provenance as lines that fit the width."""
    if origin is None:
        return []
    characters = max(30, int((width - 0.16) / (_OTHER_FONTS * 0.0365)))
    parts = [" ".join(chart.notes), origin.footer]
    return [line for part in parts if part for line in textwrap.wrap(part, characters, break_on_hyphens=False)]


def _say_empty(axes: Axes, chart: Chart, style: Look, width: float) -> None:
    axes.set_axis_off()
    said = textwrap.fill(chart.empty or "Nothing to draw yet.", int(width * 12))
    axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color=style.label)


def _frame(axes: Axes, style: Look) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(style.axis)
        spine.set_linewidth(0.7)
    axes.tick_params(colors=style.tick, labelsize=7, width=0.7, length=2.5, color=style.axis)
    axes.set_axisbelow(True)


def _axis(axes: Axes, which: Literal["x", "y"], axis: ChartAxis, style: Look) -> None:
    if axis.categories:
        return
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    set_label(axis.label, fontsize=7.5, color=style.label, labelpad=3)
    axes.grid(True, axis=which, color=style.grid, linewidth=0.6)
    ticks = axes.xaxis if which == "x" else axes.yaxis
    if axis.log:
        ticks.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        ticks.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("e-0", "e-")))
        ticks.set_minor_locator(NullLocator())
        return
    ticks.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=axis.whole))
    ticks.set_major_formatter(Thousands())
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if axis.minimum is not None and low <= high:
        box = axes.dataLim
        smallest, largest = (box.x0, box.x1) if which == "x" else (box.y0, box.y1)
        low = min(axis.minimum, smallest) if np.isfinite(smallest) else axis.minimum
        if which == "y" and np.isfinite(largest) and largest > low:
            high = low + (largest - low) * _HEADROOM
        (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)


def _fit_sides(figure: Figure, axes: Axes, chart: Chart, width: float, renderer: RendererAgg) -> None:
    """Move the left edge so that the widest tick label or category name just fits, and leave air on the right."""
    box = axes.get_position()
    widest = max(
        (label.get_window_extent(renderer).width for label in axes.get_yticklabels() if label.get_text()), default=0.0
    )
    widest = max(widest, marks.widest_category(axes, renderer))
    left = 0.08 + widest / figure.dpi + 0.08 + (0.0 if chart.y.categories else 0.2)
    axes.set_position((left / width, box.y0, 1 - (left + 0.16) / width, box.height))


def _metadata(chart: Chart, origin: Provenance, format: Format) -> dict[str, object]:
    """PNG text chunks, SVG's Dublin Core, PDF's info dictionary."""
    software = f"{SOFTWARE} {version()}"
    description = " ".join(part for part in (chart.summary, *chart.notes, origin.text) if part)
    if format == "png":
        return {
            "Title": chart.title,
            "Description": description,
            "Source": origin.text,
            "Software": software,
            "Creation Time": origin.made,
        }
    if format == "svg":
        return {
            "Title": chart.title,
            "Description": description,
            "Source": origin.text,
            "Creator": software,
            "Date": origin.made,
        }
    made = datetime.strptime(origin.made, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return {
        "Title": chart.title,
        "Subject": description,
        "Keywords": origin.text,
        "Creator": software,
        "CreationDate": made,
    }
