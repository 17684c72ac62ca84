"""The table twins of charts: what is drawn, as rows. An item model for views, tab-separated text for the clipboard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from workbench.charts.stored import Chart
from workbench.export.spreadsheet import tab_separated

Index = QModelIndex | QPersistentModelIndex


def chart_as_tsv(chart: Chart) -> str:
    """Every point of a chart with its interval; the provenance in the last line."""
    lines: list[Sequence[str]] = [("series", *_column_names(chart))]
    for series in chart.series:
        for i in range(len(series.x)):
            name = series.title
            if chart.y.categories and series.style == "bars" and 0 <= round(series.y[i]) < len(chart.y.categories):
                name = chart.y.categories[round(series.y[i])]
            arrays = (series.x, series.x_low, series.x_high, series.y, series.y_low, series.y_high)
            cells = [_cell(a, i) for a in (arrays[:3] if chart.y.categories else arrays)]
            lines.append((name, *cells))
    if chart.provenance:
        lines.append((chart.provenance,))
    return tab_separated(lines)


def _column_names(chart: Chart) -> tuple[str, ...]:
    def names(title: str, unit: str) -> tuple[str, str, str]:
        full = f"{title} ({unit})" if unit else title
        return full, f"{full} low", f"{full} high"

    x = names(chart.x.title, chart.x.unit)
    return x if chart.y.categories else x + names(chart.y.title, chart.y.unit)


def _cell(values: np.ndarray | None, i: int) -> str:
    return "" if values is None or not np.isfinite(values[i]) else f"{values[i]:.6g}"


class ColumnsModel(QAbstractTableModel):
    """Equally long columns of numbers under names; NaN shows as a dash with "no reading" as tooltip."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] = ()
        self._columns: tuple[np.ndarray, ...] = ()

    def show_columns(self, names: Sequence[str], columns: Sequence[np.ndarray]) -> None:
        """Replace everything. Columns of shape (n,), all of the same n."""
        self.beginResetModel()
        self._names, self._columns = tuple(names), tuple(columns)
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() or not self._columns else len(self._columns[0])

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        value = float(self._columns[index.column()][index.row()])
        if role == Qt.ItemDataRole.DisplayRole:
            return "–" if np.isnan(value) else f"{value:,.6g}"
        if role == Qt.ItemDataRole.ToolTipRole and np.isnan(value):
            return "no reading at this time"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return self._names[section] if 0 <= section < len(self._names) else None
        return None

    def as_tsv(self, rows: Sequence[int] | None = None) -> str:
        """The given rows (all by default) as tab-separated text under the names."""
        chosen = range(self.rowCount()) if rows is None else rows
        lines = ["\t".join(self._names)]
        lines += ["\t".join("" if np.isnan(c[r]) else f"{c[r]:.9g}" for c in self._columns) for r in chosen]
        return "\n".join(lines) + "\n"
