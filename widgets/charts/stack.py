"""The live charts as a thing to use: zoom and its history, follow, freeze, cursors, keyboard. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QHelpEvent, QKeyEvent
from PySide6.QtWidgets import QToolTip, QWidget

from widgets.charts.live_charts import LiveCharts
from widgets.charts.live_plot import LivePlot
from widgets.charts.window import at_least
from widgets.theme.theme import Theme


class ChartStack(LiveCharts):
    """Give it a trial with `set_trial` and call `notify` when the trial has taken records."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._view.scene().sigMouseMoved.connect(self._pointer_moved)
        self._view.viewport().installEventFilter(self)

    def _plot_added(self, plot: LivePlot) -> None:
        plot.box.wheel_turned.connect(self._zoom_at)
        plot.box.range_dragged.connect(self._select)
        plot.box.panned.connect(self._pan)

    # --- the range --------------------------------------------------------------------------------

    @property
    def can_back(self) -> bool:
        return self._history.can_back

    @property
    def can_forward(self) -> bool:
        return self._history.can_forward

    def set_range(self, start: float, end: float, *, remember: bool = True) -> None:
        """Show [start, end] of the axis and stop following."""
        self._follow = False
        self._range = at_least(start, end)
        if remember:
            self._history.visit(self._range)
        self._again()

    def _again(self) -> None:
        """Draw what is known once more, also while frozen: only new samples wait."""
        if self._data is not None and self.isVisible():
            self._draw()
        self.view_changed.emit()

    def fit(self) -> None:
        """The whole trial."""
        if self._data is not None:
            self.set_range(*self._whole())

    def back(self) -> None:
        """The range before the last zoom."""
        earlier = self._history.back()
        if earlier is not None:
            self.set_range(*earlier, remember=False)

    def forward(self) -> None:
        later = self._history.forward()
        if later is not None:
            self.set_range(*later, remember=False)

    def zoom(self, step: int) -> None:
        """In (+1), out (-1) around the middle, or the whole trial (0)."""
        if step == 0:
            self.fit()
        else:
            self._zoom_at(sum(self._range) / 2, float(step))

    def set_follow(self, follow: bool) -> None:
        """Keep the newest samples in view."""
        self._follow = follow
        if follow:
            self._frozen = False
            if self._data is not None:
                self._range = self._followed()
        self._again()

    def set_window(self, seconds: float | None) -> None:
        """Length of what is followed; None for the whole trial."""
        self._window_s = seconds
        self.set_follow(True)

    def set_frozen(self, frozen: bool) -> None:
        """Stop drawing what arrives; nothing is lost, it is drawn when the charts go on."""
        self._frozen = frozen
        self._due.stop()
        if not frozen:
            self._drawn = None
            self.redraw()
        self.view_changed.emit()

    def _zoom_at(self, place: float, steps: float) -> None:
        start, end = self._range
        factor = 0.8**steps
        self.set_range(max(place - (place - start) * factor, self._whole()[0]), place + (end - place) * factor)

    def _pan(self, far: float) -> None:
        far = max(far, self._whole()[0] - self._range[0])
        self.set_range(self._range[0] + far, self._range[1] + far, remember=False)

    def _select(self, start: float, end: float, finished: bool) -> None:
        """A drag over the plots: the chosen span is marked, and shown alone when the button is let go."""
        low, high = sorted((start, end))
        if not finished:
            self._selection.show(self._plots, low, high)
            return
        self._selection.hide()
        if (high - low) / (self._range[1] - self._range[0]) > 0.005:
            self.set_range(max(low, self._whole()[0]), high)

    # --- cursors ----------------------------------------------------------------------------------

    @property
    def cursors(self) -> tuple[float, float]:
        """A and B, places on the axis."""
        return self._marks.times[0], self._marks.times[1]

    @property
    def cursors_shown(self) -> bool:
        return self._marks.shown

    def set_cursors_shown(self, shown: bool) -> None:
        """Show A and B, brought into view where they are outside."""
        self._marks.shown = shown
        if shown:
            self._marks.bring_into(*self._range)
        self._marks.place()
        self._again()

    def set_cursor(self, which: int, time: float) -> None:
        """Move A (0) or B (1) to a place on the axis."""
        self._marks.move(which, time)

    def set_phases_shown(self, shown: bool) -> None:
        """Colour the plots by phase; the lane stays."""
        self._show_phases = shown
        self._again()

    # --- pointer and keyboard ---------------------------------------------------------------------

    def _pointer_moved(self, at: QPointF) -> None:
        """Only remembered here: the line moves at the next frame."""
        self._hover = None
        for plot in self._plots:
            if plot.box.sceneBoundingRect().contains(at):
                self._hover = self._snapped(float(plot.box.mapSceneToView(at).x()))
        if not self._frame.isActive():
            self._frame.start()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            under = next((r for r in self.readouts if r.geometry().contains(event.pos())), None)
            QToolTip.showText(event.globalPos(), "" if under is None else under.help(), self)
            return under is not None
        if event.type() == QEvent.Type.Leave:
            self._hover = None
            self._frame.start()
        elif event.type() == QEvent.Type.MouseButtonPress:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
        elif event.type() == QEvent.Type.MouseButtonDblClick:
            self.fit()
        return False

    def show_crosshair(self, time: float | None) -> None:
        """Put the crosshair at the place of a time (s), or take it away."""
        self._hover = None if time is None else self._snapped(self._place_of(time))
        self._move_crosshair()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A and B choose a cursor, arrows move it (Shift: ten times as far); + and - zoom; Home shows the whole
        trial; Alt+arrows walk the zoom history; Space freezes."""
        key, modifiers = Qt.Key(event.key()), event.modifiers()
        sideways = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(key)
        if sideways is not None and modifiers & Qt.KeyboardModifier.AltModifier:
            (self.back if sideways < 0 else self.forward)()
        elif sideways is not None:
            width = self._plots[0].box.width() if self._plots else 1.0
            far = 10 if modifiers & Qt.KeyboardModifier.ShiftModifier else 1
            pixel = (self._range[1] - self._range[0]) / max(width, 1.0)
            if not self._marks.shown:
                self.set_cursors_shown(True)
            active = self._marks.active
            self.set_cursor(active, self._marks.times[active] + sideways * far * pixel)
        elif key in (Qt.Key.Key_A, Qt.Key.Key_B):
            self._marks.active = 0 if key == Qt.Key.Key_A else 1
            self.set_cursors_shown(True)
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus):
            self.zoom(-1 if key == Qt.Key.Key_Minus else 1)
        elif key == Qt.Key.Key_Home:
            self.fit()
        elif key == Qt.Key.Key_Space:
            self.set_frozen(not self._frozen)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: object) -> None:
        self.setAccessibleDescription(self.summary())
