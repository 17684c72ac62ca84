"""The charts under the table: how training went, trade-off, bars, side by side or, in a narrow window, behind tabs.

Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QTabBar, QWidget

from widgets.compare.chart_panel import ChartPanel, fill_chooser
from widgets.compare.course_panel import CoursePanel
from widgets.compare.entries import AGAINST
from widgets.compare.rank_table import RankTable
from widgets.compare.table.views import Loaded
from widgets.parts.components import SegmentedControl, label
from widgets.parts.layout import flush_column, set_ground, splitter
from widgets.theme.theme import Theme
from workbench.charts.lengths import length_chart
from workbench.charts.stored import Chart, bar_chart, scatter_chart
from workbench.comparison.courses import Courses
from workbench.comparison.results import Comparison
from workbench.comparison.trade_offs import TradeOff, trade_offs
from workbench.export.bundle import trade_off
from workbench.export.tables import default_metrics
from workbench.metrics.registry import find

_SEGMENTS, _WORDS, _SUBTITLE = 620, 760, 980
"""Widths of the trade-off's panel (of the design) from which its segments are there, "Quality against" is written out,
and the subtitle. "Across" and "Up" offer all that the segments do."""

_LENGTH = 2
"""Place of the cost against length beside bars and ranks."""


class ChartsArea(QWidget):
    """Draws a comparison; which metrics is the user's, remembered by the page."""

    chosen = Signal()
    """Another metric is drawn."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._comparison: Comparison | None = None
        self._hidden: frozenset[str] = frozenset()
        self.bars_metric = ""
        self.pair: tuple[str, str] = ("", "")
        """Metrics across and up, as the user chose them; "" for the first ones there are."""
        self._narrow = self.trains = self._swept = False
        self._trade_offs: tuple[TradeOff, ...] = ()
        self.course = CoursePanel(theme)
        self.scatter = ChartPanel(theme, "Trade-off")
        self.bars = ChartPanel(theme, "Bars")
        self.ranks = RankTable(theme)
        self.bars.body.addWidget(self.ranks, 1)
        self.third = SegmentedControl(theme, ["Bars", "Ranks", "Length"], "Bars, ranks or cost against length")
        self.third.set_enabled(1, True, "Ranks of methods, metric by metric, among models of one size")
        self.third.set_enabled(_LENGTH, True, "Cost against length on log axes: how it grows, and where curves cross")
        self.third.chosen.connect(self._choose_third)
        self.bars.add_widget(self.third)
        self.bars.widened.connect(lambda width: self.bars.show_subtitle(not self.trains or width > theme.px(_SEGMENTS)))
        self.against = SegmentedControl(theme, [title for _, title in AGAINST], "Quality against")
        self.against.clear()
        for place, (_, title) in enumerate(AGAINST):
            self.against.set_text(place, title)
        self.against.chosen.connect(self._choose_against)
        self.scatter.widened.connect(self._give_words)
        self._said = label("Quality against", role="dense", tone="muted")
        self.against.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        for widget in (self._said, self.against):
            self.scatter.add_widget(widget)
        self._across = self.scatter.add_chooser("Across", "Metric across")
        self._up = self.scatter.add_chooser("Up", "Metric up")
        self._metric = self.bars.add_chooser("Metric", "Metric of the bars; a click on a column chooses it too")
        for button, fill in (
            (self._across, self._fill_across),
            (self._up, self._fill_up),
            (self._metric, self._fill_bars),
        ):
            button.menu().aboutToShow.connect(fill)
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.tabs.addTab("Trade-off")
        self.tabs.addTab("Bars")
        self.tabs.addTab("Loss")
        self.tabs.setAccessibleName("Charts")
        self.tabs.currentChanged.connect(self._arrange)
        self.splitter = splitter(Qt.Orientation.Horizontal, "three charts", self.course, self.scatter, self.bars)
        self.splitter.setSizes([456, 456, 456])
        column = flush_column(self)
        column.addWidget(self.tabs)
        column.addWidget(self.splitter, 1)
        set_ground(self, "panel")
        self._arrange()

    # --- content ----------------------------------------------------------------------------------

    def show_comparison(self, loaded: Loaded, courses: Courses, hidden: frozenset[str]) -> None:
        """`courses` of the trials of a training experiment, as far as they have been read."""
        self._comparison, self._hidden = loaded.comparison, hidden
        training = loaded.comparison.training
        if training is not None:
            self.course.show_courses(loaded.comparison, loaded.kept, courses, hidden)
            self.ranks.show_rankings(training.rankings, training.basis.words)
        shown = (training is not None, bool(loaded.comparison.costs))
        if shown != (self.trains, self._swept):
            self.trains, self._swept = shown
            if self.third.index == _LENGTH and not self._swept:
                self.third.show_choice(0)
            self._arrange()
        self._draw()

    @property
    def charts(self) -> tuple[Chart, ...]:
        """What is drawn."""
        drawn = (self.course.view.chart if self.trains else None, self.scatter.view.chart, self.bars.view.chart)
        return tuple(c for c in drawn if c is not None)

    def shown_bars(self) -> str:
        """The metric of the bars; "" where there is none."""
        if self._comparison is None:
            return ""
        known = {*self._comparison.metrics, *self._comparison.unavailable}
        wanted = (self.bars_metric, *default_metrics(self._comparison))
        return next((m for m in wanted if m in known), "")

    def shown_pair(self) -> tuple[str, str] | None:
        """The metrics of the trade-off; None where there are not two."""
        if self._comparison is None:
            return None
        metrics = self._comparison.metrics
        proposed = trade_off(self._comparison) or (metrics[0], metrics[1]) if len(metrics) > 1 else None
        if proposed is None:
            return None
        across, up = (w if w in metrics else p for w, p in zip(self.pair, proposed, strict=True))
        return across, up

    def choose_bars(self, metric: str) -> None:
        if metric and metric != self.shown_bars():
            self.bars_metric = metric
            self._draw()
            self.chosen.emit()
        else:
            self.bars_metric = metric or self.bars_metric

    def _choose_across(self, metric: str) -> None:
        self.pair = (metric, (self.shown_pair() or ("", ""))[1])
        self._draw()
        self.chosen.emit()

    def _choose_up(self, metric: str) -> None:
        self.pair = ((self.shown_pair() or ("", ""))[0], metric)
        self._draw()
        self.chosen.emit()

    def _choose_against(self, index: int) -> None:
        self.choose_trade_off(AGAINST[index][0])

    def choose_trade_off(self, id: str) -> None:
        """Quality against "memory", "speed" or "energy"."""
        found = next((t for t in self._trade_offs if t.id == id), None)
        if found is not None and not found.reason:
            self.pair = (found.across, found.up)
            self.tabs.setCurrentIndex(0)
            self._draw()
            self.chosen.emit()

    def can_trade_off(self, id: str) -> bool:
        return any(t.id == id and not t.reason for t in self._trade_offs)

    def _show_against(self, pair: tuple[str, str] | None) -> None:
        """Which of the three is drawn, and which cannot be and why."""
        self.against.blockSignals(True)
        self.against.clear()
        for place, found in enumerate(self._trade_offs):
            self.against.set_enabled(place, not found.reason, found.reason or f"Quality against {found.title.lower()}")
            if not found.reason and pair == (found.across, found.up):
                self.against.choose(place)
        self.against.blockSignals(False)

    def _draw(self) -> None:
        comparison = self._comparison
        if comparison is None:
            return
        pair, metric = self.shown_pair(), self.shown_bars()
        self._trade_offs = trade_offs(comparison)
        self._show_against(pair)
        self.scatter.set_chart(_scatter(comparison, pair, self._hidden))
        self.bars.set_chart(self._third_chart(comparison, metric))
        known = find(metric)
        self.tabs.setTabText(1, known.title if known is not None else "Bars")

    def _third_chart(self, comparison: Comparison, metric: str) -> Chart:
        """Bars of the metric; or its cost against length, the first cost's where it is none."""
        if self.third.index != _LENGTH or not comparison.costs:
            return bar_chart(comparison, metric, self._hidden)
        cost = next((c for c in comparison.costs if c.metric == metric), comparison.costs[0])
        return length_chart(comparison, cost, self._hidden)

    def _choose_third(self, _place: int) -> None:
        self._draw()
        self._arrange()

    # --- choosers ---------------------------------------------------------------------------------

    def _fill_across(self) -> None:
        if self._comparison is not None:
            fill_chooser(self._across.menu(), self._comparison, (self.shown_pair() or ("", ""))[0], self._choose_across)

    def _fill_up(self) -> None:
        if self._comparison is not None:
            fill_chooser(self._up.menu(), self._comparison, (self.shown_pair() or ("", ""))[1], self._choose_up)

    def _fill_bars(self) -> None:
        if self._comparison is not None:
            fill_chooser(self._metric.menu(), self._comparison, self.shown_bars(), self.choose_bars)

    def _give_words(self, width: int) -> None:
        """The words give way first; the segments' tooltips and the axes say them too."""
        self._said.setVisible(width > self._theme.px(_WORDS))
        self.against.setVisible(width > self._theme.px(_SEGMENTS))
        self.scatter.show_subtitle(width > self._theme.px(_SUBTITLE))

    # --- layout -----------------------------------------------------------------------------------

    def set_narrow(self, narrow: bool) -> None:
        """Tabs instead of two charts side by side."""
        if narrow != self._narrow:
            self._narrow = narrow
            self._arrange()

    @property
    def narrow(self) -> bool:
        return self._narrow

    def _arrange(self, _tab: int = 0) -> None:
        self.tabs.setVisible(self._narrow)
        self.tabs.setTabVisible(2, self.trains)
        self.against.set_shown(3, self.trains)
        self.third.setVisible(self.trains or self._swept)
        self.third.set_shown(1, self.trains)
        self.third.set_shown(_LENGTH, self._swept)
        ranks = self.trains and self.third.index == 1
        self.ranks.setVisible(ranks)
        self.bars.view.setVisible(not ranks)
        self._metric.setVisible(not ranks)
        self.bars.show_files(not ranks)
        drawn = self.bars.view.chart
        self.bars.header.set_title("Ranks" if ranks else drawn.title if drawn is not None else "Bars")
        for place, panel in enumerate((self.scatter, self.bars, self.course)):
            panel.setVisible((self.trains or panel is not self.course) and (not self._narrow or place == self._tab))

    @property
    def _tab(self) -> int:
        """The tab of a narrow window; that of training is not there for other work."""
        return self.tabs.currentIndex() if self.trains else min(self.tabs.currentIndex(), 1)


def _scatter(comparison: Comparison, pair: tuple[str, str] | None, hidden: frozenset[str]) -> Chart:
    if pair is None:
        # said by the chart itself: there is no value of any metric yet
        pair = (comparison.metrics[0],) * 2 if comparison.metrics else ("decode_tokens_per_second", "perplexity")
    return scatter_chart(comparison, *pair, hidden)
