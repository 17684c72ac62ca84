"""The two cursors of the live charts and the span that a drag chooses: one value each, a line in every plot."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, Signal

from widgets.charts.live_plot import LivePlot
from widgets.theme.theme import Theme

COLORS = ("chart.cursor_a", "chart.cursor_b")


class Cursors(QObject):
    """A (0) and B (1) as places on the axis; the user moves them with the mouse, the stack with keys."""

    moved = Signal()

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.times = [0.0, 0.0]
        self.active = 0
        """The one that the arrow keys move."""
        self.shown = False
        self._lines: list[tuple[pg.InfiniteLine, pg.InfiniteLine]] = []

    def clear(self) -> None:
        """The plots are gone."""
        self._lines = []

    def add_to(self, plot: LivePlot) -> None:
        """A line for each cursor in a plot."""
        pair = []
        for which, token in enumerate(COLORS):
            color = self._theme.color(token)
            line = pg.InfiniteLine(0.0, 90, movable=True, pen=pg.mkPen(color), hoverPen=pg.mkPen(color, width=2))
            line.setZValue(25)
            line.setCursor(Qt.CursorShape.SplitHCursor)
            line.sigDragged.connect(self._a_dragged if which == 0 else self._b_dragged)
            plot.box.addItem(line, ignoreBounds=True)
            pair.append(line)
        self._lines.append((pair[0], pair[1]))
        self.place()

    def bring_into(self, start: float, end: float) -> None:
        """Put both into [start, end] where neither is."""
        if not any(start <= time <= end for time in self.times):
            self.times = [start + (end - start) * share for share in (0.3, 0.7)]
            self.place()

    def move(self, which: int, time: float) -> None:
        """Move one; it becomes the active one."""
        self.active = which
        self.times[which] = max(time, 0.0)
        self.place()
        self.moved.emit()

    def place(self) -> None:
        """Every line where its cursor is."""
        for pair in self._lines:
            for which, line in enumerate(pair):
                line.setVisible(self.shown)
                if line.value() != self.times[which]:
                    line.setValue(self.times[which])

    def flags(self, start: float, end: float, width: float) -> tuple[tuple[str, float, str], ...]:
        """(letter, pixel, colour token) of those in view, for the lane."""
        return tuple(
            (letter, (time - start) / (end - start) * width, color)
            for letter, time, color in zip("AB", self.times, COLORS, strict=True)
            if self.shown and start <= time <= end
        )

    def _a_dragged(self, line: pg.InfiniteLine) -> None:
        self.move(0, float(line.value()))

    def _b_dragged(self, line: pg.InfiniteLine) -> None:
        self.move(1, float(line.value()))


class Selection:
    """The span a drag chooses, marked in all plots until the button is let go."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self._regions: list[tuple[LivePlot, pg.LinearRegionItem]] = []

    def show(self, plots: list[LivePlot], low: float, high: float) -> None:
        if not self._regions:
            brush = pg.mkBrush(self._theme.color("chart.selection"))
            pen = pg.mkPen(self._theme.color("border.focus"))
            for plot in plots:
                region = pg.LinearRegionItem((low, high), movable=False, brush=brush, pen=pen)
                region.setZValue(-20)
                plot.box.addItem(region, ignoreBounds=True)
                self._regions.append((plot, region))
        for _, region in self._regions:
            region.setRegion((low, high))

    def hide(self) -> None:
        for plot, region in self._regions:
            plot.box.removeItem(region)
        self._regions = []

    def clear(self) -> None:
        """The plots are gone."""
        self._regions = []
