"""Exported figures, read back: sizes, real text, metadata, and labels that do not cover each other."""

from __future__ import annotations

import os
import pickle
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engines.protocol.records import Telemetry
from tests.workbench.synthetic import FakeTrial, records
from tests.workbench.synthetic_experiment import experiment_detail
from workbench.charts.series import TrialData
from workbench.charts.stored import Chart, ChartAxis, Reference, Series, bar_chart, scatter_chart
from workbench.charts.trial import trial_charts
from workbench.comparison.comparison import compare
from workbench.export import figures
from workbench.export.look import look
from workbench.export.provenance import of_chart
from workbench.plan.looks import HOLLOW_STRIPE, STRIPE

MADE = datetime(2026, 10, 2, 9, 30, tzinfo=UTC)
DECODE = "decode_tokens_per_second"


@pytest.fixture(scope="module")
def bars() -> Chart:
    return bar_chart(compare(experiment_detail()), DECODE)


@pytest.fixture(scope="module")
def curves() -> tuple[Chart, ...]:
    data = TrialData(trial="t-1", title="SmolLM2 · float32", color=0)
    for record in records(FakeTrial()):
        data.take(record)
    return trial_charts(data)


def png_parts(content: bytes) -> tuple[int, int, dict[str, str]]:
    """Width, height and text chunks of a PNG."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, texts = 8, {}
    width = height = 0
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            texts[key.decode()] = value.decode("latin-1")
        elif kind == b"iTXt":
            key, _, rest = body.partition(b"\0")
            texts[key.decode()] = rest[2:].split(b"\0", 2)[2].decode()
        at += 12 + length
    return width, height, texts


def svg_texts(content: bytes) -> list[str]:
    root = ElementTree.fromstring(content)
    return ["".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_that_a_png_has_its_size_and_its_provenance_inside(bars: Chart) -> None:
    for size, inches in figures.WIDTHS.items():
        width, height, texts = png_parts(figures.render(bars, "png", size=size, made=MADE))  # type: ignore[arg-type]
        assert width == pytest.approx(inches * figures.DPI, abs=1)
        assert height > 300
        assert texts["Title"] == "Decode throughput"
        assert "e-fake" in texts["Source"]
        assert "c-bfloat16" in texts["Source"]
        assert texts["Creation Time"] == "2026-10-02T09:30:00Z"
        assert texts["Software"].startswith("llm-workbench")


def test_that_an_svg_has_real_text_and_metadata(bars: Chart) -> None:
    content = figures.render(bars, "svg", made=MADE)
    texts = svg_texts(content)
    for wanted in ("Decode throughput", "float32", "bfloat16", "int8", "float16", "26.6", "baseline"):
        assert wanted in texts
    assert any("18 trials of configurations" in t for t in texts)
    source = content.decode()
    assert "<dc:title>Decode throughput</dc:title>" in source
    assert "2026-10-02T09:30:00Z" in source
    assert "<image" not in source


def test_that_a_pdf_has_real_text_and_an_info_dictionary(bars: Chart) -> None:
    content = figures.render(bars, "pdf", made=MADE)
    assert content.startswith(b"%PDF")
    assert b"/Type0" in content
    assert b"/Subtype /Type3" not in content
    assert b"Decode throughput" in content
    # a text beyond ASCII is UTF-16 in a PDF
    assert "precision of SmolLM2".encode("utf-16-be") in content
    assert b"/ToUnicode" in content
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    drawn = b"".join(zlib.decompress(s) for s in streams if s[:1] == b"x")
    assert b" Tf" in drawn
    assert b"Tj" in drawn or b"TJ" in drawn


def test_that_the_same_chart_gives_the_same_file(bars: Chart) -> None:
    assert figures.render(bars, "svg", made=MADE) == figures.render(bars, "svg", made=MADE)


def test_that_drawing_leaves_matplotlibs_settings_alone(bars: Chart) -> None:
    before = dict(mpl.rcParams)
    figures.render(bars, "svg", theme="dark", made=MADE)
    assert dict(mpl.rcParams) == before


HOSTILE = """text.usetex: True
savefig.bbox: tight
savefig.transparent: True
axes.spines.left: False
axes.prop_cycle: cycler('color', ['red'])
axes.titlesize: 60
xtick.labelsize: 40
lines.linewidth: 20
svg.fonttype: path
figure.constrained_layout.use: True
no.such.key: 1
"""
_CHILD = """
import pickle, sys
from workbench.export import figures
chart, made = pickle.load(sys.stdin.buffer)
pickle.dump([figures.render(chart, format, made=made) for format in ("svg", "png", "pdf")], sys.stdout.buffer)
"""


@pytest.mark.parametrize("where", ["home", "cwd"])
def test_that_the_users_settings_of_matplotlib_change_nothing(bars: Chart, tmp_path: Path, where: str) -> None:
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    environment = {**os.environ, "MPLBACKEND": "something", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=pickle.dumps((bars, MADE)),
        env=environment | ({"MATPLOTLIBRC": str(tmp_path)} if where == "home" else {}),
        cwd=tmp_path if where == "cwd" else None,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    same = [
        figures.render(bars, format, made=MADE) == file
        for format, file in zip(("svg", "png", "pdf"), pickle.loads(done.stdout), strict=True)
    ]
    assert same == [True] * 3


def test_that_intervals_are_drawn(bars: Chart) -> None:
    without = replace(bars, series=tuple(replace(s, x_low=None, x_high=None) for s in bars.series))
    marks = [figures.render(c, "svg", made=MADE).count(b"LineCollection") for c in (bars, without)]
    assert marks[0] == marks[1] + 4


def drawn(chart: Chart, width: float) -> tuple[Figure, list[tuple[str, object]]]:
    """The figure and the pixel box of every text in it."""
    with mpl.rc_context(figures._settings(look("light"))):  # type: ignore[arg-type]
        figure = figures.draw(chart, look("light"), width, of_chart(chart, MADE))
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        texts = list(figure.texts)
        for axes in figure.axes:
            legend = axes.get_legend()
            texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else ())]
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                # matplotlib keeps labels of ticks outside the plot and does not draw them
                texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text() and t.get_visible()]
    return figure, boxes


def crowd(names: list[str], style: str) -> Chart:
    """Configurations with long names, and points that lie on top of each other."""
    places = np.arange(len(names), dtype=float)
    return Chart(
        id="crowd",
        title="Decode throughput",
        subtitle="n = 5",
        x=ChartAxis("Memory", "GiB", minimum=0.0 if style == "bars" else None),
        y=ChartAxis("", categories=tuple(names)) if style == "bars" else ChartAxis("Throughput", "tokens/s"),
        series=tuple(
            Series(
                key=name,
                title=name,
                x=np.array([1.0 + 0.01 * i]),
                y=np.array([places[i] if style == "bars" else 5.0 + 0.02 * i]),
                color=i,
                style=style,  # type: ignore[arg-type]
                labels=(f"{1 + 0.01 * i:.2f}" if style == "bars" else name,),
            )
            for i, name in enumerate(names)
        ),
        references=(Reference(1.0, "baseline", "vertical"),) if style == "bars" else (),
    )


NAMES = [f"SmolLM2-135M-Instruct · technique number {i} with parameters" for i in range(9)]


@pytest.mark.parametrize("width", [3.5, 7.0])
@pytest.mark.parametrize("style", ["bars", "markers"])
def test_that_labels_never_cover_each_other_and_stay_in_the_figure(style: str, width: float) -> None:
    names = NAMES if style == "bars" else [f"configuration {i}" for i in range(6)]
    figure, boxes = drawn(crowd(names, style), width)
    for i, (text, box) in enumerate(boxes):
        assert box.x0 >= 0, text  # type: ignore[attr-defined]
        assert box.x1 <= figure.bbox.width + 1, text  # type: ignore[attr-defined]
        for other, there in boxes[i + 1 :]:
            across = min(box.x1, there.x1) - max(box.x0, there.x0)  # type: ignore[attr-defined]
            up = min(box.y1, there.y1) - max(box.y0, there.y0)  # type: ignore[attr-defined]
            assert across <= 1 or up <= 1, f"{text!r} covers {other!r}"


@pytest.mark.parametrize("width", [3.5, 7.0])
def test_that_real_charts_have_no_covered_text(bars: Chart, curves: tuple[Chart, ...], width: float) -> None:
    pair = scatter_chart(compare(experiment_detail()), DECODE, "perplexity")
    for chart in (bars, pair, *curves):
        figure, boxes = drawn(chart, width)
        for i, (text, box) in enumerate(boxes):
            assert box.x1 <= figure.bbox.width + 1, (chart.id, text)  # type: ignore[attr-defined]
            for other, there in boxes[i + 1 :]:
                across = min(box.x1, there.x1) - max(box.x0, there.x0)  # type: ignore[attr-defined]
                up = min(box.y1, there.y1) - max(box.y0, there.y0)  # type: ignore[attr-defined]
                assert across <= 1 or up <= 1, f"{chart.id}: {text!r} covers {other!r}"


def test_that_long_names_keep_apart_in_one_column() -> None:
    _, boxes = drawn(crowd(NAMES, "bars"), 3.5)
    shown = [text for text, _ in boxes if "technique" in text]
    assert len(set(shown)) == len(NAMES)
    assert not any("…" in text for text in shown)


def test_that_a_name_too_long_for_the_page_is_shortened_in_its_middle() -> None:
    names = [f"a folder with a very long name indeed, {'x' * 90}, number {i}" for i in range(3)]
    figure, boxes = drawn(crowd(names, "bars"), 3.5)
    assert figure.axes[0].get_position().width > 0.4
    shown = [text for text, _ in boxes if "…" in text]
    assert [text[-8:] for text in shown] == ["number 0", "number 1", "number 2"]


def test_that_a_trials_phases_are_named(curves: tuple[Chart, ...]) -> None:
    texts = svg_texts(figures.render(curves[1], "svg", made=MADE))
    for wanted in ("load", "warm-up", "decode", "evaluate", "prefill", "Process RSS", "Process PSS"):
        assert wanted in texts


def test_that_an_empty_chart_says_why() -> None:
    chart = bar_chart(compare(experiment_detail()), "energy_per_token_joules")
    texts = " ".join(svg_texts(figures.render(chart, "svg", made=MADE)))
    assert "no NVIDIA driver was found" in texts


def test_that_themes_differ_in_their_ground(bars: Chart) -> None:
    light, dark = (figures.render(bars, "svg", theme=t, made=MADE).decode() for t in ("light", "dark"))  # type: ignore[arg-type]
    assert look("light").background.lower() in light.lower()
    assert look("dark").background.lower() in dark.lower()
    assert look("light").color(0) != look("dark").color(0)


def test_that_colours_repeat_with_another_marker_after_ten() -> None:
    style = look("light")
    assert style.color(0) == style.color(10)
    assert style.marker(0) != style.marker(10)
    assert len({style.marker(i) for i in range(10)}) == 10


def many_bars(count: int, *, hollow: bool = False) -> Chart:
    series = tuple(
        Series(f"c{i}", f"c{i}", np.array([1.0 + i]), np.array([float(i)]), i, "bars", hollow=hollow)
        for i in range(count)
    )
    names = tuple(s.title for s in series)
    return Chart("bars:x", "X", "", ChartAxis("X", minimum=0.0), ChartAxis("", categories=names), series)


@pytest.mark.parametrize("hollow", [False, True])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_that_bars_beyond_ten_have_a_texture_in_every_format(theme: Any, hollow: bool) -> None:
    few = figures.render(many_bars(10, hollow=hollow), "svg", theme=theme, made=MADE).decode()
    many = figures.render(many_bars(17, hollow=hollow), "svg", theme=theme, made=MADE).decode()
    assert few.count("<pattern") == 0
    assert many.count("<pattern") == 7
    stripe = look(theme).stripe(10, HOLLOW_STRIPE if hollow else STRIPE)
    assert stripe.lower() in many.lower()
    for format in ("png", "pdf"):
        assert figures.render(many_bars(12, hollow=hollow), format, theme=theme, made=MADE)  # type: ignore[arg-type]


def test_that_no_name_of_a_point_stands_on_the_pareto_front() -> None:
    def point(name: str, x: float, y: float) -> Series:
        return Series(name, name, np.array([x]), np.array([y]), 0, "markers", labels=(name,))

    points = (point("bfloat16", 13.0, 16.70), point("Q8_0", 60.0, 16.95))
    chart = Chart(
        "s", "T", "", ChartAxis("X"), ChartAxis("Y"), points, front=((13.0, 16.70), (13.0, 16.95), (60.0, 16.95))
    )
    figure = figures.draw(chart, look("light"), 7.0, None)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    axes = figure.axes[0]
    front = axes.transData.transform(chart.front)
    for name in ("bfloat16", "Q8_0"):
        (text,) = (t for t in axes.texts if t.get_text() == name)
        box = text.get_window_extent(renderer)
        for (x0, y0), (x1, y1) in pairwise(front):
            apart = max(x0, x1) < box.x0 or min(x0, x1) > box.x1 or max(y0, y1) < box.y0 or min(y0, y1) > box.y1
            assert apart, name


def test_that_a_gap_of_a_curve_is_one_in_the_figure() -> None:
    data = TrialData(trial="t-1", title="SmolLM2 · float32")
    values = [1e9, 1e9, None, 2e9, 2e9]
    times = [round(1e9 * t) for t in range(5)]
    data.take(Telemetry(source="proc.tree", times_ns=times, columns={"rss_bytes": values}))
    chart = trial_charts(data)[1]
    figure = figures.draw(chart, look("light"), 7.0, None)
    (line,) = figure.axes[0].lines
    drawn = np.asarray(line.get_path().cleaned(transform=None, remove_nans=True).codes)
    assert (drawn == 1).sum() >= 2, "the pen is lifted once"


def test_that_saving_goes_by_suffix(bars: Chart, tmp_path: Path) -> None:
    assert b"<svg" in figures.save(bars, tmp_path / "a.SVG").read_bytes()
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        figures.save(bars, tmp_path / "a.gif")


def test_that_a_title_with_dollars_is_no_formula(bars: Chart) -> None:
    texts = svg_texts(figures.render(replace(bars, title="Cost in $ and $$_x"), "svg", made=MADE))
    assert "Cost in $ and $$_x" in texts


@pytest.mark.parametrize("steps", [1, 2, 4, 10, 5000])
def test_that_an_axis_of_steps_has_no_tick_between_two_steps(steps: int) -> None:
    line = Series("a", "a", np.linspace(0, steps, 5), np.linspace(3, 2, 5), 0)
    axis = ChartAxis("Training steps", minimum=0.0, whole=True)
    chart = Chart("course:step", "Loss", "", axis, ChartAxis("Loss", "nats/token"), (line,))
    for width in figures.WIDTHS.values():
        figure, _ = drawn(chart, width)
        places = figure.axes[0].get_xticks()
        assert len(places) >= 2
        assert all(place == round(place) for place in places)
