"""How long the live charts take to draw: 8 curves of 1,000,000 samples that grow at 10 Hz.

    python benchmarks/chart_redraw.py [--samples N] [--frames N] [--size WxH]

Timed per frame: decimation of every curve, handing the points to pyqtgraph, and painting, with 10 more samples a curve
since the frame before. Printed: p50, p99 and worst with the bar of 16.7 ms; the same frame drawn by pyqtgraph alone
(its own down-sampling, antialiasing off, one plot a curve) as the reference, interleaved; and the processor time of
the stack over 10 s of a live feed, visible at 2 repaints a second and hidden. Everything is offscreen.
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pyqtgraph as pg
from PySide6.QtWidgets import QApplication

from widgets.charts.stack import ChartStack
from widgets.theme.theme import Theme
from workbench.charts.series import Channel, Phase, TrialData

BAR_MS = 16.7
RATE_HZ = 10.0
NEW = 10
KEYS = (
    "throughput",
    "nvml.0/memory_used_bytes",
    "proc.tree/pss_bytes",
    "proc.tree/rss_bytes",
    "nvml.0/power_watts",
    "nvml.0/utilisation_ratio",
    "proc.tree/cpu_utilisation_ratio",
    "nvml.0/temperature_celsius",
)
"""Eight curves in the five charts of the Monitor page."""


def grow(data: TrialData, count: int, rng: np.random.Generator) -> None:
    """Append `count` samples to every channel."""
    for key in KEYS:
        channel = data.channels.setdefault(key, Channel(key, key, ""))
        start = float(channel.times[-1]) if len(channel) else 0.0
        times = start + np.arange(1, count + 1) / RATE_HZ
        values = 100.0 + rng.normal(size=count).cumsum() * 0.05 + rng.normal(size=count)
        channel.extend(times, np.abs(values) * (1 << 30 if "bytes" in key else 1))
    data.revision += 1


def trial(samples: int, rng: np.random.Generator) -> TrialData:
    data = TrialData(trial="t", title="benchmark", color=0)
    grow(data, samples, rng)
    end = samples / RATE_HZ
    data.phases += [Phase("load", 0, 0.0, end / 100)]
    spans = np.linspace(end / 100, end, 401)
    for i, (a, b) in enumerate(pairwise(spans)):
        data.phases.append(Phase("prefill" if i % 2 else "decode", i, float(a), float(b)))
    return data


Frame = tuple[float, float]
"""Milliseconds of wall clock and of this thread's processor time."""


def frames(stack: ChartStack, data: TrialData, count: int, rng: np.random.Generator, whole: bool) -> list[Frame]:
    """What each frame took of a stack that shows the whole trial, or follows its last minute."""
    stack.set_window(None if whole else 60.0)
    took = []
    for _ in range(count):
        grow(data, NEW, rng)
        start, busy = time.perf_counter(), time.thread_time()
        stack.redraw()
        QApplication.processEvents()
        took.append(((time.perf_counter() - start) * 1e3, (time.thread_time() - busy) * 1e3))
    return took


class Plain:
    """The reference: pyqtgraph's own plots with its own down-sampling."""

    def __init__(self, data: TrialData, width: int, height: int) -> None:
        self.data = data
        self.view = pg.GraphicsLayoutWidget()
        self.view.resize(width, height)
        self.curves = []
        for row, key in enumerate(KEYS):
            plot = self.view.addPlot(row=row, col=0)
            plot.setDownsampling(auto=True, mode="peak")
            plot.setClipToView(True)
            self.curves.append((key, plot.plot(pen=pg.mkPen("b", width=1))))
        self.view.show()

    def frame(self) -> Frame:
        start, busy = time.perf_counter(), time.thread_time()
        for key, curve in self.curves:
            channel = self.data.channels[key]
            curve.setData(channel.times, channel.values)
        QApplication.processEvents()
        return (time.perf_counter() - start) * 1e3, (time.thread_time() - busy) * 1e3


def line(name: str, took: list[Frame], bar: float | None = BAR_MS) -> str:
    """Wall clock decides; processor time beside it tells a slow frame from a busy machine."""
    wall, busy = np.array(took).T
    p50, p99 = np.percentile(wall, 50), np.percentile(wall, 99)
    verdict = "" if bar is None else f"  bar {bar} ms: {'inside' if p99 <= bar else 'MISSED'}"
    cpu = f"processor p50 {np.percentile(busy, 50):.1f} p99 {np.percentile(busy, 99):.1f} ms"
    return (
        f"{name:<40} p50 {p50:6.1f} ms  p99 {p99:6.1f} ms  worst {wall.max():6.1f} ms  ({cpu})  n {len(took)}{verdict}"
    )


def live(stack: ChartStack, data: TrialData, seconds: float, rng: np.random.Generator) -> float:
    """Share of one core over a live feed of one sample a curve and tick at 10 Hz."""
    start, busy = time.perf_counter(), time.process_time()
    following = start
    while time.perf_counter() - start < seconds:
        if time.perf_counter() >= following:
            following += 1 / RATE_HZ
            grow(data, 1, rng)
            stack.notify()
        QApplication.processEvents()
        time.sleep(0.005)
    return (time.process_time() - busy) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--size", default="968x560", help="of the stack, as on a window of 1440 x 900")
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    app = QApplication.instance() or QApplication([])
    rng = np.random.default_rng(1)
    with TemporaryDirectory() as folder:
        theme = Theme(Path(folder), "light")
        theme.apply(app)  # type: ignore[arg-type]
        data = trial(arguments.samples, rng)
        stack = ChartStack(theme)
        stack.resize(width, height)
        stack.show()
        stack.set_trial(data)
        QApplication.processEvents()
        plain = Plain(data, width - 240, height)
        whole, follow, reference = [], [], []
        rounds = 10
        for _ in range(rounds):
            whole += frames(stack, data, arguments.frames // rounds, rng, True)
            follow += frames(stack, data, arguments.frames // rounds, rng, False)
            reference += [plain.frame() for _ in range(3)]
        print(f"8 curves x {arguments.samples:,} samples, {width} x {height}, offscreen")
        print(line("whole trial", whole))
        print(line("last 60 s followed", follow))
        print(line("reference: pyqtgraph alone, whole trial", reference, None))
        ratio = np.median(np.array(reference)[:, 0]) / np.median(np.array(whole)[:, 0])
        print(f"ratio of medians, reference to whole trial: {ratio:.1f}")
        plain.view.close()
        small = trial(600, rng)
        stack.set_trial(small)
        stack.set_rate(2.0)
        print(f"live feed at 10 Hz, visible, 2 repaints a second: {live(stack, small, 10.0, rng):.1%} of one core")
        stack.hide()
        print(f"the same, hidden: {live(stack, small, 5.0, rng):.1%} of one core (the feed itself included)")
        stack.close()


if __name__ == "__main__":
    main()
