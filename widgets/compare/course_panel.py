"""The panel of how training went: loss against steps, tokens, time or energy, or the result against learning rate.

Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QSizePolicy

from widgets.compare.chart_panel import ChartPanel
from widgets.parts.components import SegmentedControl
from widgets.shell.services import Services
from widgets.theme.theme import Theme
from workbench.charts.courses import TITLES, loss_chart
from workbench.charts.rates import rate_chart
from workbench.charts.stored import Chart
from workbench.comparison.courses import Courses, Kept, Read, read_courses
from workbench.comparison.results import Comparison
from workbench.metrics.training.progress import Axis

_AXES: tuple[tuple[Axis, str], ...] = (("step", "Step"), ("tokens", "Tokens"), ("time", "Time"), ("energy", "Energy"))
_RATE = len(_AXES)
"""Place of the learning rate behind the axes."""
_TITLED = 480
"""Width of the panel (of the design) from which its title is there; the segments and the axes say the same."""


class CoursePanel(ChartPanel):
    """ "Loss against" one of five: draws what `show_courses` is given."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "Loss against")
        self._shown: tuple[Comparison, Kept, Courses, frozenset[str]] | None = None
        self.axes = SegmentedControl(theme, [*(title for _, title in _AXES), "Rate"], "Loss against")
        for place, (axis, _) in enumerate(_AXES):
            self.axes.set_enabled(place, True, f"Loss against {TITLES[axis].lower()}")
        self.axes.chosen.connect(self._draw)
        self.axes.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.add_widget(self.axes)
        self.show_subtitle(False)
        self.widened.connect(self._give_title)

    def show_courses(self, comparison: Comparison, kept: Kept, courses: Courses, hidden: frozenset[str]) -> None:
        """`courses` as far as they have been read."""
        self._shown = (comparison, kept, courses, hidden)
        energy = [axis for axis, _ in _AXES].index("energy")
        for place, empty, what in (
            (energy, self._chart(energy).empty, TITLES["energy"].lower()),
            (_RATE, self._chart(_RATE).empty, "learning rate, with each method's best"),
        ):
            self.axes.set_enabled(place, not empty, empty or f"Loss against {what}")
            if empty and self.axes.index == place:
                self.axes.show_choice(0)
        self._draw()

    @property
    def read(self) -> Read | None:
        """What the curves are made of, as far as it has been read."""
        return Read(*self._shown[1:3]) if self._shown is not None else None

    def charts(self) -> tuple[Chart, ...]:
        """Against everything that was measured, for an export."""
        made = [self._chart(place) for place in range(_RATE + 1)] if self._shown is not None else []
        return tuple(chart for chart in made if not chart.empty)

    def _chart(self, place: int) -> Chart:
        assert self._shown is not None
        comparison, kept, courses, hidden = self._shown
        if place == _RATE:
            return rate_chart(comparison, hidden)
        return loss_chart(comparison, kept, courses, _AXES[place][0], hidden)

    def _draw(self, _place: int = 0) -> None:
        if self._shown is not None:
            self.set_chart(self._chart(self.axes.index), "Loss against")

    def _give_title(self, width: int) -> None:
        self.header.title.setVisible(width > self._theme.px(_TITLED))


class CourseReader(QObject):
    """Reads the courses of the trials that are shown; those that have ended once."""

    arrived = Signal()
    """`courses` has become more."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._toasts = services.bridge, services.toasts
        self.courses: Courses = {}
        self._busy = False
        self._next: Kept | None = None

    def read(self, kept: Kept) -> None:
        """What is missing of them; `arrived` follows where something is."""
        wanted = {t.trial for trials in kept.values() for t in trials.counted}
        workbench = self._bridge.workbench
        if wanted <= self.courses.keys() or workbench is None:
            return
        if self._busy:
            self._next = kept
            return
        self._busy = True
        known, store = dict(self.courses), workbench.store
        self._bridge.run(lambda: read_courses(store, kept, known), self._arrived, self._failed)

    def _arrived(self, courses: Courses) -> None:
        self.courses = courses
        self._busy = False
        self.arrived.emit()
        self._go_on()

    def _failed(self, error: BaseException) -> None:
        self._busy = False
        self._toasts.error(error)
        self._go_on()

    def _go_on(self) -> None:
        kept, self._next = self._next, None
        if kept is not None:
            self.read(kept)
