"""The linked live charts of one trial as a picture: lane, plots, readout, time axis, what is missing. Main thread.

Repaints when the trial's revision changed, at most `rate_hz` times a second and never while hidden; between two
repaints nothing runs, no timer ticks while nothing arrives.
"""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPixmap, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from widgets.charts.axes import strip, ticks
from widgets.charts.cursors import Cursors, Selection
from widgets.charts.history import History
from widgets.charts.live_plot import LivePlot
from widgets.charts.phases import Placed, Spans
from widgets.charts.readout import Readout, Row
from widgets.charts.time_axis import PhaseLane, TimeAxis
from widgets.charts.window import FIRST_S, following, seconds_text, whole
from widgets.theme.theme import Theme
from workbench.charts.curves import charts_of, figure, latest_time
from workbench.charts.series import TrialData

FRAME_MS = 16


class LiveCharts(QWidget):
    """What the stack draws of a trial; `ChartStack` adds what the user does with it."""

    view_changed = Signal()
    """Range, following, freezing or the zoom history changed: the toolbar looks again."""
    cursors_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._data: TrialData | None = None
        self._plots: list[LivePlot] = []
        self._range = (0.0, FIRST_S)
        self._history = History()
        self._drawn: tuple[int, int] | None = None
        self._rate_hz = 10.0
        self._window_s: float | None = 60.0
        self._follow, self._frozen = True, False
        self._show_phases = True
        self._marks = Cursors(theme, self)
        self._marks.moved.connect(self._cursor_moved)
        self._selection = Selection(theme)
        self._hover: float | None = None
        self._spans = Spans()
        self._placed: Placed = []
        self._bands: QPixmap | None = None
        self._speaking: tuple[object, ...] = ()
        self.redraws = 0
        """How often the plots were drawn, for benchmarks and tests."""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Live charts")
        self._build()
        self._since = QElapsedTimer()
        self._due = QTimer(self)
        self._due.setSingleShot(True)
        self._due.timeout.connect(self.redraw)
        self._frame = QTimer(self)
        self._frame.setSingleShot(True)
        self._frame.setInterval(FRAME_MS)
        self._frame.timeout.connect(self._move_crosshair)
        theme.follow(self._restyle)

    def _build(self) -> None:
        theme = self._theme
        self.lane = PhaseLane(theme)
        self.axis = TimeAxis(theme)
        self.readout = Readout(theme)
        self._view = pg.GraphicsLayoutWidget()
        self._view.setFrameStyle(0)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._view.ci.layout.setContentsMargins(0, 0, 0, 0)
        self._view.ci.layout.setSpacing(1)
        inner = QWidget()
        across = QHBoxLayout(inner)
        across.setContentsMargins(0, 0, 0, 0)
        across.setSpacing(0)
        across.addWidget(self._view, 1)
        across.addWidget(self.readout)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(inner)
        self._missing = QLabel()
        self._missing.setTextFormat(Qt.TextFormat.PlainText)
        self._missing.setWordWrap(True)
        self._missing.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self.lane, self._scroll, self.axis, self._missing):
            column.addWidget(widget, 1 if widget is self._scroll else 0)

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def data(self) -> TrialData | None:
        return self._data

    @property
    def plots(self) -> list[LivePlot]:
        return self._plots

    @property
    def missing_text(self) -> str:
        """Which charts are not drawn and why; "" where all are."""
        return self._missing.text()

    def set_trial(self, data: TrialData | None) -> None:
        """Show another trial (a live one is followed, a finished one is shown whole), or nothing."""
        self._data = data
        self._spans = Spans()
        self._frozen, self._drawn, self._hover = False, None, None
        self._history.clear()
        self._make_plots()
        now = 0.0 if data is None else latest_time(data)
        self._follow = data is not None and data.ended is None
        self._range = following(now, self._window_s) if self._follow else (0.0, whole(now))
        self._history.visit(self._range)
        self._marks.times = [-1.0, -1.0]
        self._marks.bring_into(*self._range)
        self.redraw()
        self.view_changed.emit()

    def notify(self) -> None:
        """The trial has taken records: draw them as soon as the rate allows."""
        if self._frozen or self._data is None or not self.isVisible() or self._due.isActive():
            return
        if self._drawn is not None and self._drawn[1] == self._data.revision:
            return
        period = 1000.0 / self._rate_hz
        past = self._since.elapsed() if self._since.isValid() else period
        self._due.start(max(0, math.ceil(period - past)))

    def set_rate(self, hertz: float) -> None:
        """Repaints a second at the most: 2 where drawing would disturb what is measured."""
        self._rate_hz = hertz

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.redraw()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._due.stop()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._drawn = None
        self._due.start(0)

    def _restyle(self) -> None:
        theme = self._theme
        self._view.setBackground(theme.color("border.default"))
        self._missing.setFont(theme.font("dense"))
        self._missing.setContentsMargins(theme.px(12), theme.px(6), theme.px(12), theme.px(6))
        self._missing.setStyleSheet(
            f"color: {theme.hex('text.muted')}; background: {theme.hex('bg.panel')};"
            f" border-top: 1px solid {theme.hex('border.default')};"
        )
        self._make_plots()
        self._drawn = None
        if self._data is not None:
            self.redraw()

    # --- plots ------------------------------------------------------------------------------------

    def _make_plots(self) -> None:
        self._view.ci.clear()
        self._placed, self._bands, self._speaking = [], None, ()
        self._plots = []
        self._marks.clear()
        self._selection.clear()
        charts = () if self._data is None else charts_of(self._data, "time")
        shown = [c for c in charts if not c.missing]
        color = self._theme.run_color(0 if self._data is None else self._data.color)
        for row, chart in enumerate(shown):
            plot = LivePlot(self._theme, chart, color)
            self._view.ci.addItem(plot.left, row=row, col=0)
            self._view.ci.addItem(plot.box, row=row, col=1)
            self._view.ci.layout.setRowStretchFactor(row, 1)
            plot.box.sigResized.connect(self._resized)
            self._plots.append(plot)
            self._marks.add_to(plot)
            self._plot_added(plot)
        height = self._theme.height("chart_min")
        self._view.setMinimumHeight((height + 1) * len(self._plots))
        # an empty layout had shrunk to nothing and would stay so until the next resize
        self._view.ci.layout.activate()
        self._view.ci.setGeometry(self._view.range)
        self._missing.setText("\n".join(f"{c.kind.title}: not available. {c.missing}" for c in charts if c.missing))
        self._missing.setVisible(bool(self._missing.text()))

    def _plot_added(self, plot: LivePlot) -> None:
        """A plot was made: connect what it is asked by the mouse."""

    def _resized(self, *_: object) -> None:
        self._drawn = None
        self._due.start(0)

    def _take_new_series(self) -> None:
        """Plots for what began to speak since: a row more or less makes all anew, a curve more does not."""
        if self._data is None:
            return
        speaking = (len(self._data.channels), self._data.sensors, self._data.started, self._data.ended is None)
        if speaking == self._speaking:
            return
        self._speaking = speaking
        shown = [c for c in charts_of(self._data, "time") if not c.missing]
        if [c.kind.title for c in shown] != [p.chart.kind.title for p in self._plots]:
            self._make_plots()
            return
        for plot, chart in zip(self._plots, shown, strict=True):
            plot.take_series(chart)

    def redraw(self) -> None:
        """Draw now, unless hidden or nothing changed."""
        if self._data is None or not self.isVisible():
            return
        state = (id(self._data), self._data.revision)
        if self._drawn == state:
            return
        self._take_new_series()
        if not self._plots or self._plots[0].box.width() < 2:
            return
        now = latest_time(self._data)
        if self._follow and not self._frozen:
            self._range = following(now, self._window_s)
        self._drawn = state
        self._since.restart()
        self._draw(now)

    def _draw(self, now: float) -> None:
        if self._data is None or not self._plots:
            return
        self.redraws += 1
        start, end = self._range
        box = self._plots[0].box
        left, width = self._left(), box.width()
        if width < 2:
            return
        shown = ticks(start, end, max(2, int(width / self._theme.px(90))))
        places = [(v - start) / (end - start) * width for v in shown.values]
        bar = self._scroll.verticalScrollBar()
        self.lane.inset = self.axis.inset = bar.width() if bar.isVisible() else 0
        self.axis.show_ticks(shown, places, left, width)
        self._draw_phases(now, left, width)
        for plot in self._plots:
            plot.draw(start, end, places)
            plot.ground.show_bands(self._bands)
        self._show_flags()
        self._update_readout()

    def _draw_phases(self, now: float, left: float, width: float) -> None:
        """Lane, legend and the strip of bands, all from the same list; nothing where it is the same as before."""
        if self._data is None:
            return
        self._spans.update(self._data.phases, now)
        placed = self._spans.visible(*self._range, width)
        same = placed == self._placed and (self._bands is not None) == self._show_phases
        self.lane.show_spans(placed, left, width)
        if same:
            return
        self._placed = placed
        narrow = self._theme.px(40)
        names = dict.fromkeys((s.title, s.color) for a, b, s in placed if b - a < narrow and s.color != "idle")
        self.axis.show_legend(tuple(names)[:3])
        self._bands = None
        if self._show_phases:
            colors = {color: self._theme.phase_color(color) for color in {s.color for _, _, s in placed}}
            bands = [(a, b, colors[s.color]) for a, b, s in placed]
            self._bands = strip(width, bands, self._theme.color("chart.background"), self.devicePixelRatioF())

    def _left(self) -> float:
        """Where the plots begin, in pixels of this widget."""
        return float(self._plots[0].box.pos().x()) if self._plots else 0.0

    # --- the range --------------------------------------------------------------------------------

    @property
    def visible_range(self) -> tuple[float, float]:
        """Start and end (s) of what is shown."""
        return self._range

    @property
    def following(self) -> bool:
        return self._follow

    @property
    def frozen(self) -> bool:
        return self._frozen

    def _cursor_moved(self) -> None:
        self._show_flags()
        self._update_readout()
        self.cursors_changed.emit()

    def _show_flags(self) -> None:
        self.lane.show_flags(self._marks.flags(*self._range, float(self.columns)))

    # --- crosshair and readout --------------------------------------------------------------------

    def _move_crosshair(self) -> None:
        start, end = self._range
        time = self._hover if self._hover is not None and start <= self._hover <= end else None
        for plot in self._plots:
            plot.show_crosshair(time, start, end)
        width = self._plots[0].box.width() if self._plots else 0.0
        tag = None if time is None else ((time - start) / (end - start) * width, seconds_text(time, end - start))
        self.axis.show_tag(tag)
        self._update_readout()

    def _update_readout(self) -> None:
        if self._data is None:
            return
        start, end = self._range
        if self._hover is None:
            at, title, when = latest_time(self._data), "Latest", ""
        else:
            at, title, when = self._hover, "At cursor", seconds_text(self._hover, end - start)
        low, high = sorted(self._marks.times)
        two = self._marks.shown
        self.lane.show_header(f"{title} / A–B" if two else title, when, "mean" if two else "")
        groups = []
        for plot in self._plots:
            rows = tuple(
                Row(s.title, figure(s.value_at(at)), figure(s.mean(low, high)) if two else "", plot.color_of(i), s.help)
                for i, s in enumerate(plot.series)
            )
            box = plot.box.sceneBoundingRect()
            groups.append((box.top(), box.height(), rows))
        self.readout.show_groups(tuple(groups), two)
        if self._hover is not None:
            for plot in self._plots:
                plot.show_crosshair(self._hover if start <= self._hover <= end else None, start, end)

    @property
    def columns(self) -> int:
        """Width of the plots in pixels."""
        return int(self._plots[0].box.width()) if self._plots else 1

    def summary(self) -> str:
        """What a screen reader says of the charts: time, phase, and every series' latest value."""
        if self._data is None:
            return "No trial is shown."
        now = latest_time(self._data)
        parts = [f"{self._data.title}, {now:.0f} s since its start."]
        for plot in self._plots:
            values = ", ".join(f"{s.title} {figure(s.value_at(now))}" for s in plot.series) or "no reading yet"
            parts.append(f"{plot.chart.kind.title} ({plot.chart.kind.unit}): {values}.")
        if self.missing_text:
            parts.append(self.missing_text)
        return " ".join(parts)
