"""The parts of the Compare page on top of each other: table, notes and charts; or texts; or nothing yet.

Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QSettings, Qt
from PySide6.QtWidgets import QStackedWidget, QWidget

from widgets.compare import kept_view
from widgets.compare.charts_area import ChartsArea
from widgets.compare.table.notes import NotesBar
from widgets.compare.table.table import CompareTable
from widgets.parts.components import EmptyState
from widgets.parts.layout import flush_column, splitter
from widgets.theme.theme import Theme

NARROW = 1280
"""Under this window width the charts stand behind tabs."""
_RAIL = 72
_TWO_CHARTS = 1000
"""What two charts side by side need, at the text scale."""


class Figures(QStackedWidget):
    """Which of the three is shown, and how much room its parts have."""

    def __init__(self, theme: Theme, empty: EmptyState, texts: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._texts = texts
        self.empty = empty
        self.table = CompareTable(theme)
        self.notes = NotesBar(theme)
        self.charts = ChartsArea(theme)
        upper = QWidget()
        column = flush_column(upper)
        column.addWidget(self.table, 1)
        column.addWidget(self.notes)
        upper.setMinimumHeight(theme.px(150))
        self.charts.setMinimumHeight(theme.px(180))
        self._split = splitter(Qt.Orientation.Vertical, "main", upper, self.charts)
        # table and charts grow and shrink together
        self._split.setStretchFactor(0, 344)
        self._split.setStretchFactor(1, 416)
        self._split.setSizes([344, 416])
        for part in (empty, self._split, texts):
            self.addWidget(part)

    def show_empty(self, title: str, text: str, *, action: bool) -> None:
        """An empty page's words, with or without the one action that fills it."""
        self.empty.set(title, text)
        self.empty.button.setVisible(action)
        self.setCurrentWidget(self.empty)

    def show_figures(self, *, texts: bool) -> None:
        """Table and charts, or the texts in their place."""
        self.setCurrentWidget(self._texts if texts else self._split)

    def set_room(self, width: int) -> None:
        """`width` of the page in pixels."""
        px = self._theme.px
        self.charts.set_narrow(width + px(_RAIL) < NARROW or width < px(_TWO_CHARTS))

    # --- what is remembered -----------------------------------------------------------------------

    def save_layout(self, settings: QSettings) -> None:
        charts = self.charts
        kept_view.save_layout(settings, self.table.widths, charts.bars_metric, charts.pair, charts.tabs.currentIndex())

    def restore_layout(self, settings: QSettings) -> None:
        widths, bars, pair, tab = kept_view.load_layout(settings)
        self.table.set_widths(widths)
        self.charts.bars_metric, self.charts.pair = bars, pair
        self.charts.tabs.setCurrentIndex(tab)
