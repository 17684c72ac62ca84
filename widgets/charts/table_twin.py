"""The live charts as a table: the samples that are drawn, at the time it was asked for. Main thread."""

from __future__ import annotations

import numpy as np
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from widgets.charts.live_plot import LivePlot
from widgets.charts.table import ColumnsModel
from widgets.parts.components import label, line, tool_button
from widgets.parts.layout import flush_column, plain_table, set_ground
from widgets.theme.theme import Theme
from workbench.charts.x_axis import TITLES, XAxis, position_text, shown_unit


class TableTwin(QWidget):
    """A snapshot: it does not move while one reads or copies."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.model = ColumnsModel(self)
        head = QFrame()
        set_ground(head, "panel")
        self._head = head
        self._said = label(role="dense", tone="muted")
        row = QHBoxLayout(head)
        row.setContentsMargins(12, 0, 8, 0)
        row.addWidget(self._said, 1)
        copy = tool_button(
            theme, "copy", "Copy", "Copy the chosen rows, or all, as tab-separated text", self.copy, compact=True
        )
        row.addWidget(copy)
        self.view = plain_table(self.model, "Visible samples", self.copy)
        self.view.setAlternatingRowColors(True)
        column = flush_column(self)
        column.addWidget(head)
        column.addWidget(line(self))
        column.addWidget(self.view, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self._head.setFixedHeight(self._theme.height("panel_header") - 1)
        rows = self.view.verticalHeader()
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(self._theme.height("tree_row"))

    def take(self, plots: list[LivePlot], x: XAxis, start: float, end: float, columns: int) -> None:
        """A snapshot of what the plots draw of [start, end] of the axis on `columns` pixels."""
        names, found = drawn_columns(plots, x, start, end, columns)
        self.model.show_columns(names, found)
        self.view.resizeColumnsToContents()
        first, last = (f"{at:.1f} s" if x == "time" else position_text(x, at) for at in (start, end))
        self._said.setText(f"{len(found[0]):,} places from {first} to {last}, as drawn; a dash is no reading")

    def copy(self) -> None:
        """The chosen rows, or all, to the clipboard."""
        chosen = sorted({i.row() for i in self.view.selectionModel().selectedRows()})
        QGuiApplication.clipboard().setText(self.model.as_tsv(chosen or None))


def drawn_columns(
    plots: list[LivePlot], x: XAxis, start: float, end: float, columns: int
) -> tuple[tuple[str, ...], tuple[np.ndarray, ...]]:
    """The axis and one column a curve over the union of the drawn places; NaN where a curve has no reading there."""
    unit, _ = shown_unit(x, 0.0)
    names, series = [f"Time ({unit})" if x == "time" else f"{TITLES[x]} ({unit})" if unit else TITLES[x]], []
    for plot in plots:
        unit = plot.chart.kind.unit
        for drawn, reduced in zip(plot.curves, plot.reduce(start, end, columns), strict=True):
            inside = (reduced.x >= start) & (reduced.x <= end)
            series.append((reduced.x[inside], reduced.y[inside]))
            names.append(f"{plot.chart.kind.title}: {drawn.curve.title}{f' ({unit})' if unit else ''}")
    places = np.unique(np.concatenate([at for at, _ in series])) if series else np.empty(0)
    found = [places]
    for at, y in series:
        column = np.full(len(places), np.nan)
        column[np.searchsorted(places, at)] = y
        found.append(column)
    return tuple(names), tuple(found)
