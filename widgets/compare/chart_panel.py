"""A panel with one chart of the comparison: choosers of its metrics, export, copy. Main thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QPoint, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from widgets.charts.chart_view import ChartView
from widgets.compare.toolbar import calling
from widgets.parts.components import ElidedLabel, Panel, ToolButton, tool_button
from widgets.parts.exports import CHART_FORMATS
from widgets.theme.theme import Theme
from workbench.charts.stored import Chart
from workbench.comparison.results import Comparison
from workbench.metrics.registry import find

GROUPS = {
    "speed": "Speed",
    "latency": "Latency",
    "memory": "Memory",
    "energy": "Energy and use",
    "quality": "Quality",
    "cost": "Cost",
}


class ChartPanel(Panel):
    """Header over a `ChartView`. `add_chooser` puts a button with a menu of metrics into the header."""

    export_asked = Signal(object, str)
    """chart, format"""
    copied = Signal(str)
    """What was copied."""
    widened = Signal(int)
    """Another width (px)."""

    def __init__(self, theme: Theme, title: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, title, ground="base", parent=parent)
        self._theme = theme
        self._kind = title
        self.view = ChartView(theme, header=False)
        self.view.setMinimumHeight(theme.px(96))
        self.setMinimumWidth(theme.px(220))
        self._said = ElidedLabel(tone="muted")
        self.header.count.hide()
        self.header.row.insertWidget(2, self._said, 1)
        self.header.row.setStretch(3, 0)
        self.body.addWidget(self.view, 1)
        self._export = tool_button(theme, "export", tip="Export this chart", clicked=self._pop_export, compact=True)
        self._more = tool_button(theme, "more", tip="More for this chart", clicked=self._pop_more, compact=True)
        self._export_formats, self._more_entries = self._export_menu(), self._more_menu()
        for button in (self._export, self._more):
            self.header.add_tool(button)
        self._tools = 2
        self.view.export_requested.connect(self._export_wanted)

    def add_chooser(self, text: str, tip: str) -> ToolButton:
        """A button left of the export button; its menu is filled by `fill_chooser`."""
        button = tool_button(self._theme, text=text, tip=tip, compact=True)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(QMenu(button))
        self.header.row.insertWidget(self.header.row.count() - self._tools, button)
        return button

    def add_widget(self, widget: QWidget) -> None:
        """Something of the page's own, left of the export button."""
        self.header.row.insertWidget(self.header.row.count() - self._tools, widget)

    def show_files(self, shown: bool) -> None:
        """Whether the chart can be exported and copied: not while something else stands in its place."""
        self._export.setVisible(shown)
        self._more.setVisible(shown)

    def show_subtitle(self, shown: bool) -> None:
        """Whether there is room for it; the chart's axes say the same."""
        self._said.setVisible(shown)

    def set_chart(self, chart: Chart, title: str = "") -> None:
        """Draw; the header says what it is. Where nothing changed nothing is drawn."""
        self.header.set_title(title or chart.title or self._kind)
        self._said.setText(chart.subtitle)
        self.setAccessibleName(chart.title)
        self.setAccessibleDescription(chart.summary or chart.empty)
        if not same_chart(self.view.chart, chart):
            self.view.set_chart(chart)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.widened.emit(self.width())

    # --- menus ------------------------------------------------------------------------------------

    def _export_menu(self) -> QMenu:
        menu = QMenu(self)
        for format in CHART_FORMATS:
            menu.addAction(f"As {format.upper()}…", calling(self._export_as, format))
        return menu

    def _more_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("Copy as image", self.copy_image)
        menu.addAction("Copy values as table", self.copy_values)
        return menu

    def _pop_export(self) -> None:
        pop_below(self._export, self._export_formats)

    def _pop_more(self) -> None:
        pop_below(self._more, self._more_entries)

    def _export_as(self, format: str) -> None:
        if self.view.chart is not None:
            self.export_asked.emit(self.view.chart, format)

    def _export_wanted(self, chart: Chart) -> None:
        self.export_asked.emit(chart, "png")

    def copy_image(self) -> None:
        """The chart as the window shows it, to the clipboard."""
        QGuiApplication.clipboard().setPixmap(self.view.grab())
        self.copied.emit("The chart")

    def copy_values(self) -> None:
        self.view.copy_values()
        self.copied.emit("The chart's values")


def pop_below(button: QWidget, menu: QMenu) -> None:
    """Open a menu under its button."""
    menu.popup(button.mapToGlobal(QPoint(0, button.height() + 2)))


def fill_chooser(menu: QMenu, comparison: Comparison, chosen: str, choose: Callable[[str], None]) -> None:
    """The metrics of a comparison by group, the chosen one checked; those without values say why they are grey."""
    for action in menu.actions():
        menu.removeAction(action)
        action.deleteLater()
    menu.setToolTipsVisible(True)
    for group, metrics in grouped((*comparison.metrics, *comparison.unavailable)):
        menu.addSeparator()
        for metric in metrics:
            known = find(metric)
            title = known.title if known is not None else metric
            action = menu.addAction(title if metric in comparison.metrics else f"{title} (not available)")
            action.setCheckable(True)
            action.setChecked(metric == chosen)
            action.setEnabled(metric in comparison.metrics)
            action.setToolTip(comparison.unavailable.get(metric, known.definition if known is not None else group))
            action.triggered.connect(calling(choose, metric))


def grouped(metrics: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Metrics by group, in the order of `GROUPS`; unknown ones last."""
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for metric in metrics:
        known = find(metric)
        found.setdefault(known.group if known is not None else "other", []).append(metric)
    return [(GROUPS.get(group, "Other"), listed) for group, listed in found.items() if listed]


def same_chart(old: Chart | None, new: Chart) -> bool:
    """Whether two charts draw the same; arrays are compared by value."""
    return old is not None and _fingerprint(old) == _fingerprint(new)


def _fingerprint(chart: Chart) -> tuple[object, ...]:
    series = tuple(
        (
            s.key,
            s.title,
            s.color,
            s.style,
            s.labels,
            s.hollow,
            *(a.tobytes() if a is not None else None for a in (s.x, s.y, s.x_low, s.x_high, s.y_low, s.y_high)),
        )
        for s in chart.series
    )
    return (
        chart.id,
        chart.title,
        chart.x,
        chart.y,
        series,
        chart.references,
        chart.spans,
        chart.front,
        chart.notes,
        chart.empty,
        chart.summary,
    )
