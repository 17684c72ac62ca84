"""One stored chart on the screen: a `workbench.charts.stored.Chart` drawn in the theme, with readout, table twin and
menu.

Exports draw the same `Chart` with matplotlib; this widget only asks for one (`export_requested`). Main thread.
"""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QGuiApplication, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QMenu, QWidget

from widgets.charts.axes import Ground, Gutter, Ticks, powers, strip, ticks
from widgets.charts.frame import BottomAxis, CategoryGutter, TitledGutter
from widgets.charts.marks import SPAN_ROW, Marks, Target
from widgets.charts.table import chart_as_tsv
from widgets.parts.components import PanelHeader, tool_button
from widgets.parts.layout import flush_column
from widgets.theme import icons
from widgets.theme.theme import Theme
from workbench.charts.stored import Chart, ChartAxis

_CIRCLE = 6
"""Half of what a circle takes, with air."""


class ChartView(QWidget):
    """Draws what `set_chart` gives; `header=False` where the page has a header of its own."""

    export_requested = Signal(object)
    """Carries the chart."""

    def __init__(self, theme: Theme, parent: QWidget | None = None, *, header: bool = True) -> None:
        super().__init__(parent)
        self._theme = theme
        self._chart: Chart | None = None
        self._marks: Marks | None = None
        self._focused = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._head = PanelHeader(theme, "")
        self._export = tool_button(theme, "export", tip="Export this chart", clicked=self._ask_for_export, compact=True)
        self._head.add_tool(self._export)
        self._head.setVisible(header)
        self._view = pg.GraphicsLayoutWidget()
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setFrameStyle(0)
        self._view.ci.layout.setSpacing(0)
        self._view.ci.layout.setContentsMargins(8, 8, 12, 4)
        self._view.viewport().setMouseTracking(True)
        self._view.scene().sigMouseMoved.connect(self._pointer_moved)
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)
        self._empty = QLabel()
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setMargin(24)
        self._notes = QLabel()
        self._notes.setWordWrap(True)
        self._notes.setContentsMargins(12, 0, 12, 8)
        column = flush_column(self)
        column.addWidget(self._head)
        column.addWidget(self._view, 1)
        column.addWidget(self._empty, 1)
        column.addWidget(self._notes)
        self._readout = QLabel(self._view)
        self._readout.setObjectName("chartReadout")
        self._readout.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._readout.hide()
        theme.follow(self.restyle)

    # --- content ----------------------------------------------------------------------------------

    @property
    def _scatters(self) -> bool:
        """Whether nothing of it depends on the size at hand."""
        return self._chart is None or all(s.style == "markers" for s in self._chart.series)

    @property
    def chart(self) -> Chart | None:
        return self._chart

    @property
    def marks(self) -> Marks | None:
        """What is drawn, for tests and for the page that highlights a run."""
        return self._marks

    def set_chart(self, chart: Chart) -> None:
        """Draw `chart` instead of what was there."""
        self._chart = chart
        self._focused = -1
        self._readout.hide()
        self._head.set_title(chart.title)
        self._head.set_count(chart.subtitle)
        self.setAccessibleName(chart.title)
        self.setAccessibleDescription(chart.summary or chart.empty)
        nothing = chart.empty or ("" if chart.series else "Nothing to draw yet.")
        self._empty.setText(nothing)
        self._empty.setVisible(bool(nothing))
        self._view.setVisible(not nothing)
        self._view.clear()
        self._marks = None
        self._say_notes(chart)
        if not nothing:
            self._build(chart)

    def _say_notes(self, chart: Chart) -> None:
        """The chart's own notes, and one that says when samples are drawn together."""
        per_point = 1 if self._marks is None else self._marks.per_point
        notes = [*chart.notes]
        if per_point > 1:
            notes.append(f"drawn as min and max of {per_point:,} samples")
        text = " · ".join(notes)
        if text != self._notes.text():
            self._notes.setText(text)
        self._notes.setVisible(bool(text))

    def restyle(self) -> None:
        """Take the theme's colours and sizes."""
        theme = self._theme
        muted = f"color: {theme.hex('text.muted')};"
        self._notes.setStyleSheet(f"{muted} background: {theme.hex('chart.background')};")
        self._notes.setFont(theme.font("caption"))
        self._empty.setStyleSheet(f"{muted} background: {theme.hex('chart.background')};")
        self._readout.setFont(theme.font("dense"))
        self._readout.setStyleSheet(
            f"QLabel {{ background: {theme.hex('bg.raised')}; color: {theme.hex('text.primary')};"
            f" border: 1px solid {theme.hex('border.default')}; border-radius: 4px; padding: 4px 8px; }}"
        )
        self._view.setBackground(theme.color("chart.background"))
        if self._chart is not None:
            self.set_chart(self._chart)

    def _build(self, chart: Chart) -> None:
        theme = self._theme
        box = pg.ViewBox(enableMenu=False, enableMouse=not chart.y.categories)
        box.setDefaultPadding(0.0)
        self._box = box
        self._bottom = BottomAxis(theme, chart.x.label)
        if chart.y.categories:
            self._left: Gutter | CategoryGutter = CategoryGutter(
                theme, chart.y.categories, max(self.width() * 0.42, 80)
            )
            box.invertY(True)
        else:
            _, (low, high) = self._ranges(chart)
            self._left = TitledGutter(theme, chart.y.label, _marked(low, high, 6, chart.y))
        layout = self._view.ci
        layout.addItem(self._left, row=0, col=0)
        layout.addItem(box, row=0, col=1)
        layout.addItem(self._bottom, row=1, col=1)
        # an empty layout had shrunk to nothing and would stay so until the next resize
        layout.layout.activate()
        layout.setGeometry(self._view.range)
        self._ground = Ground(box, theme)
        self._marks = Marks(box, theme, chart)
        self._fit()
        box.sigResized.connect(self._resized)
        box.sigRangeChanged.connect(self._range_changed)

    # --- ranges -----------------------------------------------------------------------------------

    def _ranges(self, chart: Chart) -> tuple[tuple[float, float], tuple[float, float]]:
        """What the axes must hold: all points with their intervals and references."""
        xs = [a for s in chart.series for a in (s.x, s.x_low, s.x_high) if a is not None]
        ys = [a for s in chart.series for a in (s.y, s.y_low, s.y_high) if a is not None]
        for reference in chart.references:
            (xs if reference.orientation == "vertical" else ys).append(np.array([reference.value]))
        xs += [np.array([s.low, s.high]) for s in chart.spans]
        x = _extent(_placed(xs, chart.x), chart.x)
        if chart.x.log:
            x = _padded(x, chart.x)
        y = _extent(_placed(ys, chart.y), chart.y)
        if chart.y.categories:
            count = len(chart.y.categories)
            return (min(0.0, x[0]), x[1]), (-0.5, count - 0.5)
        if all(s.style == "markers" for s in chart.series):
            return _padded(x, chart.x), _padded(y, chart.y)
        bottom, top = _padded(y, chart.y)
        if chart.spans:
            # the ranges stand below all curves
            foot = min(len(chart.spans) * self._theme.px(SPAN_ROW) / max(float(self._box.height()), 80.0), 0.6)
            bottom = top - (top - bottom) / (1 - foot)
        return x, (bottom, top)

    def _fit(self) -> None:
        """Show everything, with room for the labels beside the bars."""
        if self._chart is None:
            return
        (low, high), (bottom, top) = self._ranges(self._chart)
        if self._chart.y.categories:
            high = self._room_for_labels(self._chart, low, high)
            if any(r.orientation == "vertical" and r.title for r in self._chart.references):
                # a line of text above the first bar
                height = max(self._box.height() - self._theme.px(18), 1.0)
                bottom -= (top - bottom) * self._theme.px(18) / height
        elif any(s.style in ("line", "steps", "points") for s in self._chart.series):
            high = self._room_for_names(self._chart, low, high)
        if any(s.style == "points" for s in self._chart.series):  # circles at the ends are whole
            beside = (high - low) * self._theme.px(_CIRCLE) / max(float(self._box.width()), 60.0)
            low, high = low - beside, high + beside
        self._box.setRange(xRange=(low, high), yRange=(bottom, top), padding=0)
        self._place()

    def _room_for_labels(self, chart: Chart, low: float, high: float) -> float:
        """The end of the value axis at which every bar's text still fits beside it."""
        metrics = self._view.fontMetrics()
        width = max(float(self._box.width()), 60.0)
        end = high
        for series in chart.series:
            reach = series.x if series.x_high is None else np.fmax(series.x, _within([series.x_high], chart.x))
            for i, tip in enumerate(reach):
                text = series.labels[i] if i < len(series.labels) else ""
                free = width - 14 - metrics.horizontalAdvance(text) * 1.1
                if math.isfinite(tip) and free > 20:
                    end = max(end, low + (float(tip) - low) * width / free)
        return end

    def _room_for_names(self, chart: Chart, low: float, high: float) -> float:
        """The end of the axis at which the names of the curves stand beside their ends, not on them."""
        if len(chart.series) < 2:
            return high
        widest = max(self._view.fontMetrics().horizontalAdvance(s.title) for s in chart.series)
        width = max(float(self._box.width()), 60.0)
        free = max(width - widest - self._theme.px(24), width / 2)
        return low + (high - low) * width / free

    def _resized(self, *_: object) -> None:
        if self._chart is not None and not self._scatters:
            self._fit()
        else:
            self._place()

    def _range_changed(self, *_: object) -> None:
        self._place()

    def _place(self) -> None:
        """Ticks, grid and marks for the present size and range."""
        if self._marks is None or self._chart is None:
            return
        (low, high), (bottom, top) = self._box.viewRange()
        width, height = self._box.width(), self._box.height()
        most = max(2, int(width / self._theme.px(70)))
        across = _marked(low, high, most, self._chart.x)
        places = [(v - low) / (high - low) * width for v in across.values]
        self._bottom.show_ticks(across, places)
        rows: list[float] = []
        if isinstance(self._left, CategoryGutter):
            count = len(self._chart.y.categories)
            self._left.show_centers([(i - bottom) / (top - bottom) * height for i in range(count)])
        else:
            upright = _marked(bottom, top, max(2, int(height / self._theme.px(44))), self._chart.y)
            self._left.show_ticks(upright, bottom, top)
            rows = [height - (v - bottom) / (top - bottom) * height for v in upright.values]
        self._ground.show_lines(places, rows)
        if self._chart.bands:
            scale = width / (high - low)
            bands = [
                ((b.start - low) * scale, (b.end - low) * scale, self._theme.phase_color(b.phase))
                for b in self._chart.bands
            ]
            plain = self._theme.color("chart.background")
            self._ground.show_bands(strip(width, bands, plain, self.devicePixelRatioF()))
        self._marks.layout()
        self._say_notes(self._chart)

    # --- readout ----------------------------------------------------------------------------------

    def _pointer_moved(self, at: QPointF) -> None:
        if self._marks is None:
            return
        inside = self._box.mapFromScene(at)
        near = [t for t in self._marks.targets if t.area.contains(inside)]
        nearest = min(near, key=lambda t: _distance(t.point, inside), default=None)
        self._show_readout(nearest)

    def _show_readout(self, target: Target | None) -> None:
        if target is None:
            self._readout.hide()
            return
        self._readout.setText(target.text)
        self._readout.adjustSize()
        place = self._view.mapFromScene(self._box.mapToScene(target.point)) + QPoint(14, 10)
        x = min(place.x(), self._view.width() - self._readout.width() - 4)
        y = min(place.y(), self._view.height() - self._readout.height() - 4)
        self._readout.move(max(x, 4), max(y, 4))
        self._readout.show()

    def leaveEvent(self, event: object) -> None:
        self._readout.hide()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys walk from mark to mark; Escape hides the readout; Home shows everything again."""
        steps = {Qt.Key.Key_Right: 1, Qt.Key.Key_Down: 1, Qt.Key.Key_Left: -1, Qt.Key.Key_Up: -1}
        step = steps.get(Qt.Key(event.key()))
        if step is not None and self._marks is not None and self._marks.targets:
            start = self._focused if self._focused >= 0 else (-1 if step > 0 else 0)
            self._focused = (start + step) % len(self._marks.targets)
            target = self._marks.targets[self._focused]
            self._show_readout(target)
            self.setAccessibleDescription(target.text)
        elif event.key() == Qt.Key.Key_Escape and self._readout.isVisible():
            self._readout.hide()
        elif event.key() == Qt.Key.Key_Home and self._marks is not None:
            self._fit()
        else:
            super().keyPressEvent(event)

    @property
    def readout_text(self) -> str:
        """What the readout says; "" while hidden."""
        return self._readout.text() if self._readout.isVisibleTo(self) else ""

    # --- menu -------------------------------------------------------------------------------------

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if self._chart is None:
            return
        menu = self.context_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def context_menu(self) -> QMenu:
        """Export, copy as a table, show everything."""
        menu = QMenu(self)
        menu.addAction(icons.icon(self._theme, "export"), "Export chart…", self._ask_for_export)
        menu.addAction("Copy values as table", self.copy_values)
        if self._chart is not None and not self._chart.y.categories:
            menu.addAction("Show everything", self._fit)
        return menu

    def _ask_for_export(self) -> None:
        if self._chart is not None:
            self.export_requested.emit(self._chart)

    def copy_values(self) -> None:
        """Put the chart's values on the clipboard as tab-separated text, with its provenance."""
        if self._chart is not None:
            QGuiApplication.clipboard().setText(chart_as_tsv(self._chart))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self._marks is not None:
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._readout.hide()


def _distance(a: QPointF, b: QPointF) -> float:
    return math.hypot(a.x() - b.x(), a.y() - b.y())


def _within(values: list[np.ndarray], axis: ChartAxis) -> np.ndarray:
    """All of them in one array, intervals cut where the axis says."""
    joined = np.concatenate(values) if values else np.empty(0)
    return joined if axis.maximum is None else np.minimum(joined, axis.maximum)


def _placed(values: list[np.ndarray], axis: ChartAxis) -> np.ndarray:
    """The same where they stand on the axis: a logarithmic one counts in powers of ten."""
    within = _within(values, axis)
    return np.log10(within[within > 0]) if axis.log else within


def _marked(low: float, high: float, count: int, axis: ChartAxis) -> Ticks:
    return powers(low, high, count) if axis.log else ticks(low, high, count, whole=axis.whole)


def _extent(values: np.ndarray, axis: ChartAxis) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if axis.minimum is not None:
        low = min(axis.minimum, low)
    if high <= low:
        pad = abs(high) * 0.1 or 1.0
        return (low if axis.minimum == low else low - pad), high + pad
    return low, high


def _padded(extent: tuple[float, float], axis: ChartAxis) -> tuple[float, float]:
    low, high = extent
    pad = (high - low) * 0.1
    return (low if axis.minimum is not None and low >= axis.minimum else low - pad), high + pad
