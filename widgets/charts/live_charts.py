"""The linked live charts of one trial as a picture: lane, plots with readouts, axis, what is missing. Main thread.

Ranges, cursors and the zoom history are places on the axis that is drawn against; values are read at times.

Repaints when the trial's revision changed, at most `rate_hz` times a second and never while hidden; between two
repaints nothing runs, no timer ticks while nothing arrives.
"""

from __future__ import annotations

import math

import pyqtgraph as pg
from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPixmap, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QLabel, QWidget

from widgets.charts.axes import Ticks, strip, ticks
from widgets.charts.cursors import Cursors, Selection
from widgets.charts.history import History
from widgets.charts.live_plot import LivePlot
from widgets.charts.phases import Placed, Spans
from widgets.charts.readout import Entry, Readout
from widgets.charts.strips import AxisStrip, PhaseLane
from widgets.charts.window import FIRST_S, following, seconds_text, whole
from widgets.parts.layout import flush_column, scroll_area
from widgets.theme.theme import Theme
from workbench.charts.curves import Curve, TrialChart, best_held_out, charts_of, figure, latest_place, latest_time
from workbench.charts.curves import why_no_axis as why_no_axis_of
from workbench.charts.series import TrialData
from workbench.charts.x_axis import XAxis, is_whole, position_text, shown_unit

FRAME_MS = 16
_MARGIN = 0.01
"""Of an axis of steps, on either side."""


class LiveCharts(QWidget):
    """What the stack draws of a trial; `ChartStack` adds what the user does with it."""

    view_changed = Signal()
    """Range, following, freezing or the zoom history changed: the toolbar looks again."""
    cursors_changed = Signal()
    cursor_moved = Signal()
    legend_left = Signal(tuple)
    """(title, colour name) of phases whose names fit neither their blocks nor the lane."""
    """The crosshair moved, or the values it reads changed."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._data: TrialData | None = None
        self._plots: list[LivePlot] = []
        self._wanted: XAxis = "step"
        self._x: XAxis = "time"
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
        self._due = QTimer(self, singleShot=True)
        self._due.timeout.connect(self.redraw)
        self._frame = QTimer(self, interval=FRAME_MS, singleShot=True)
        self._frame.timeout.connect(self._move_crosshair)
        theme.follow(self._restyle)

    def _build(self) -> None:
        theme = self._theme
        self.lane = PhaseLane(theme)
        self.axis = AxisStrip(theme)
        self.readouts: list[Readout] = []
        self._view = pg.GraphicsLayoutWidget()
        self._view.setFrameStyle(0)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._view.ci.layout.setContentsMargins(0, 0, 0, 0)
        self._view.ci.layout.setSpacing(1)
        self._scroll = scroll_area(self._view)
        self._missing = QLabel()
        self._missing.setTextFormat(Qt.TextFormat.PlainText)
        self._missing.setWordWrap(True)
        self._missing.hide()
        column = flush_column(self)
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
        self._frozen, self._drawn, self._hover = False, None, None
        self._follow = data is not None and data.ended is None
        self._marks.times = [-1.0, -1.0]
        self._x = self._offered()
        self._start_over()

    def _start_over(self) -> None:
        """Draw on the present axis from the beginning."""
        self._spans = Spans(trains=self._data is not None and self._data.trains)
        self._history.clear()
        self._make_plots()
        self._range = self._followed() if self._follow else self._whole()
        self._history.visit(self._range)
        self._marks.bring_into(*self._range)
        self._drawn = None
        self.redraw()
        self.view_changed.emit()

    # --- the axis ---------------------------------------------------------------------------------

    @property
    def x_axis(self) -> XAxis:
        """What everything is drawn against."""
        return self._x

    def why_not(self, x: XAxis) -> str:
        """Why an axis cannot be chosen, "" where it can."""
        return "" if self._data is None else why_no_axis_of(self._data, x)

    def set_x_axis(self, x: XAxis) -> None:
        """Draw against another axis. Data, cursors and crosshair stay at their moments; the whole trial is in view."""
        self._wanted = x
        if self._offered() == self._x:
            return
        moments = [self._time_at(place) for place in self._marks.times]
        hover = None if self._hover is None else self._time_at(self._hover)
        self._x = self._offered()
        self._marks.times = [self._place_of(time) for time in moments]
        self._hover = None if hover is None else self._place_of(hover)
        self._start_over()
        self._move_crosshair()
        self.cursors_changed.emit()

    def _offered(self) -> XAxis:
        """The wanted axis where the trial has it."""
        if self._data is None or not self._data.trains:
            return "time"
        return "time" if self.why_not(self._wanted) else self._wanted

    def _time_at(self, place: float) -> float:
        return place if self._data is None else self._data.axis(self._x).time_at(place)

    def _place_of(self, time: float) -> float:
        return time if self._data is None else self._data.axis(self._x).at(time)

    def _snapped(self, place: float) -> float:
        """The nearest step; on the clock any moment."""
        return place if self._data is None else self._data.axis(self._x).snapped(place)

    def _now(self) -> float:
        """How far the trial is on the axis."""
        return 0.0 if self._data is None else latest_place(self._data, self._x)

    def _whole(self) -> tuple[float, float]:
        """From the beginning to a little after now, or to the last planned step of a trial that runs."""
        planned = None
        if self._data is not None and self._x == "step" and self._data.ended is None:
            planned = self._data.planned_steps
        end = whole(self._now(), planned)
        # a circle at either end is drawn whole
        return (0.0, end) if self._x == "time" else (-_MARGIN * end, (1 + _MARGIN) * end)

    def _followed(self) -> tuple[float, float]:
        """What is in view while following."""
        return following(self._now(), self._window_s) if self._x == "time" else self._whole()

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

    def _charts(self) -> tuple[TrialChart, ...]:
        return () if self._data is None else charts_of(self._data, self._x)

    def _make_plots(self) -> None:
        self._view.ci.clear()
        self._placed, self._bands, self._speaking = [], None, ()
        self._plots = []
        self._marks.clear()
        self._selection.clear()
        for readout in self.readouts:
            readout.deleteLater()
        charts = self._charts()
        shown = [c for c in charts if not c.missing]
        color = self._theme.run_color(0 if self._data is None else self._data.color)
        self.readouts = [Readout(self._theme, self._view) for _ in shown]
        least = self._theme.height("chart_min")
        for row, chart in enumerate(shown):
            plot = LivePlot(self._theme, chart, color)
            for column, item in enumerate((plot.left, plot.box, plot.right)):
                self._view.ci.addItem(item, row=row, col=column)
            self._view.ci.layout.setRowStretchFactor(row, chart.kind.weight)
            plot.box.setMinimumHeight(least * chart.kind.weight / 2)
            plot.box.sigResized.connect(self._resized)
            self._plots.append(plot)
            self._marks.add_to(plot)
            self._plot_added(plot)
        self._view.setMinimumHeight(sum(least * c.kind.weight // 2 + 1 for c in shown))
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
        if self._offered() != self._x or self._spans.trains != self._data.trains:
            self.set_x_axis(self._wanted) if self._offered() != self._x else self._start_over()
            return
        shown = [c for c in self._charts() if not c.missing]
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
        if self._follow and not self._frozen:
            self._range = self._followed()
        self._drawn = state
        self._since.restart()
        self._draw()

    def _draw(self) -> None:
        if self._data is None or not self._plots:
            return
        self.redraws += 1
        start, end = self._range
        box = self._plots[0].box
        left, width = self._left(), box.width()
        if width < 2:
            return
        shown, unit = self._ticks(start, end, width)
        places = [(v - start) / (end - start) * width for v in shown.values]
        self.axis.show_ticks(shown, places, unit, left, width)
        self._draw_phases(left, width)
        best = self._best()
        for plot in self._plots:
            plot.draw(start, end, places, best if plot.chart.kind.id == "loss" else None)
            plot.ground.show_bands(self._bands)
        self._show_flags()
        self._update_readout()
        self.cursor_moved.emit()

    def _ticks(self, start: float, end: float, width: float) -> tuple[Ticks, str]:
        """Round places of the axis in the unit that it is written in."""
        unit, of = shown_unit(self._x, end)
        most = max(2, int(width / self._theme.px(90)))
        found = ticks(start / of, end / of, most, whole=is_whole(self._x, of))
        return Ticks(tuple(v * of for v in found.values), found.texts, found.step), unit or self._x

    def _best(self) -> tuple[float, float, str] | None:
        """Place, value and words of the best held-out loss."""
        best = None if self._data is None else best_held_out(self._data)
        if best is None or self._data is None:
            return None
        time, step, loss = best
        so_far = "best" if self._data.ended is not None else "best so far"
        return self._place_of(time), loss, f"{so_far} {figure(loss)}, step {step}"

    def _draw_phases(self, left: float, width: float) -> None:
        """Lane, legend and the strip of bands, all from the same list; nothing where it is the same as before."""
        if self._data is None:
            return
        self._spans.update(self._data.phases, latest_time(self._data))
        spans = self._spans if self._x == "time" else self._spans.on_axis(self._data.axis(self._x))
        placed = spans.visible(*self._range, width)
        same = placed == self._placed and (self._bands is not None) == self._show_phases
        self.lane.show_spans(placed, left, width)
        if same:
            return
        self._placed = placed
        narrow = self._theme.px(40)
        names = dict.fromkeys((s.title, s.color) for a, b, s in placed if b - a < narrow and s.color != "idle")
        legend = tuple(names)[:3]
        self.legend_left.emit(() if self.lane.show_legend(legend) else legend)
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
        """Start and end of what is shown, on the axis."""
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
        self._show_crosshair()
        width = self._plots[0].box.width() if self._plots else 0.0
        place = self._hover
        tag = None
        if place is not None and start <= place <= end:
            text = seconds_text(place, end - start) if self._x == "time" else position_text(self._x, place)
            tag = ((place - start) / (end - start) * width, text)
        self.axis.show_tag(tag)
        self._update_readout()
        self.cursor_moved.emit()

    def _show_crosshair(self) -> None:
        start, end = self._range
        place = self._hover if self._hover is not None and start <= self._hover <= end else None
        time = 0.0 if place is None else self._time_at(place)
        for plot in self._plots:
            plot.show_crosshair(place, time, start, end)

    def moment_texts(self) -> list[str]:
        """Where the crosshair is, or the trial now, on every axis of a training trial: "step 142", "1 min 52 s",
        "1.16 M tokens", "32.1 kJ"; nothing of other trials and before the first step."""
        if self._data is None or not self._data.axis("step").count:
            return []
        time = latest_time(self._data) if self._hover is None else self._time_at(self._hover)
        order: tuple[XAxis, ...] = ("step", "time", "tokens", "energy")
        there = [kind for kind in order if not self.why_not(kind)]
        return [position_text(kind, self._data.axis(kind).at(time)) for kind in there]

    def _update_readout(self) -> None:
        if self._data is None:
            return
        at = latest_time(self._data) if self._hover is None else self._time_at(self._hover)
        low, high = sorted(self._time_at(place) for place in self._marks.times)
        for plot, readout in zip(self._plots, self.readouts, strict=True):
            box = plot.box.sceneBoundingRect()
            said = (c for c in plot.series if c.kind.style != "points" or math.isfinite(c.value_at(at)))
            entries = tuple(self._entry(plot, curve, at, low, high) for curve in said)
            whole, title = plot.caption.width, plot.caption.title_width
            room = box.width() - whole
            readout.show_entries(entries, box.right(), box.top(), room, box.width() - title)
            plot.caption.leave(readout.width() if readout.isVisibleTo(self) else 0.0)
        if self._hover is not None:
            self._show_crosshair()

    def _entry(self, plot: LivePlot, curve: Curve, at: float, low: float, high: float) -> Entry:
        kind, steps = curve.kind, self._data.axis("step") if self._data is not None else None
        title = curve.title if steps is None else curve.title_at(at, steps)
        mean = figure(curve.mean(low, high)) if self._marks.shown and kind.style in ("line", "steps") else ""
        color = next((c.color for c in plot.curves if c.curve is curve), None)
        return Entry(title, curve.text_at(at), mean, color, "area" if kind.style == "area" else "line", kind.help)

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
            values = ", ".join(f"{s.title} {s.text_at(now)}" for s in plot.series) or "no reading yet"
            parts.append(f"{plot.chart.kind.title} ({plot.chart.kind.said}): {values}.")
        if self.missing_text:
            parts.append(self.missing_text)
        return " ".join(parts)
