"""The panel of how training went: loss against steps, tokens, time or energy, with bands over trials. Main thread."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QObject, Signal

from widgets.compare.chart_panel import ChartPanel
from widgets.parts.components import SegmentedControl
from widgets.shell.services import Services
from widgets.theme.theme import Theme
from workbench.charts.courses import TITLES, loss_chart
from workbench.charts.stored import Chart
from workbench.comparison.courses import Courses, read_courses
from workbench.comparison.results import Comparison
from workbench.comparison.trials import ConfigurationTrials
from workbench.metrics.training.progress import Axis

_AXES: tuple[tuple[Axis, str], ...] = (("step", "Step"), ("tokens", "Tokens"), ("time", "Time"), ("energy", "Energy"))
Kept = Mapping[str, ConfigurationTrials]


class CoursePanel(ChartPanel):
    """Draws what `show_courses` is given."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "Loss")
        self._shown: tuple[Comparison, Kept, Courses, frozenset[str]] | None = None
        self.axis: Axis = "step"
        self.axes = SegmentedControl(theme, [title for _, title in _AXES], "X axis")
        for place, (axis, _) in enumerate(_AXES):
            self.axes.set_enabled(place, True, f"Against {TITLES[axis].lower()}")
        self.axes.chosen.connect(self._choose)
        self.add_widget(self.axes)
        self.show_subtitle(False)

    def show_courses(self, comparison: Comparison, kept: Kept, courses: Courses, hidden: frozenset[str]) -> None:
        self._shown = (comparison, kept, courses, hidden)
        energy = loss_chart(comparison, kept, courses, "energy", hidden)
        place = [axis for axis, _ in _AXES].index("energy")
        measured = not energy.empty
        why = f"Energy: not available. {energy.empty}" if not measured else f"Against {TITLES['energy'].lower()}"
        self.axes.set_enabled(place, measured, why)
        if self.axis == "energy" and not measured:
            self.axis = "step"
            self.axes.show_choice(0)
        self._draw()

    def charts(self) -> tuple[Chart, ...]:
        """Against every axis that was measured, for an export of everything."""
        if self._shown is None:
            return ()
        comparison, kept, courses, hidden = self._shown
        made = (loss_chart(comparison, kept, courses, axis, hidden) for axis, _ in _AXES)
        return tuple(chart for chart in made if not chart.empty)

    def _choose(self, place: int) -> None:
        self.axis = _AXES[place][0]
        self._draw()

    def _draw(self) -> None:
        if self._shown is None:
            return
        comparison, kept, courses, hidden = self._shown
        chart = loss_chart(comparison, kept, courses, self.axis, hidden)
        self.set_chart(chart, chart.y.title or self.accessibleName())


class CourseReader(QObject):
    """Reads the courses of the trials that are shown; those that have ended once."""

    arrived = Signal()
    """`courses` has become more."""

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bridge = services.bridge
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

    def _failed(self, _error: BaseException) -> None:
        """A trial was deleted meanwhile: what is shown next reads again."""
        self._busy = False
        self._go_on()

    def _go_on(self) -> None:
        kept, self._next = self._next, None
        if kept is not None:
            self.read(kept)
