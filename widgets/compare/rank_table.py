"""Ranks of training methods, metric by metric, among models of one size: a plain table without colours. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from widgets.parts.components import label
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.theme import Theme
from workbench.comparison.training.ranks import Rank, Ranking
from workbench.export.spreadsheet import tab_separated
from workbench.metrics.registry import metric
from workbench.units import format_value

Index = QModelIndex | QPersistentModelIndex
_SAID = "Each method at its own best learning rate. A span means that intervals do not separate the method from others."
_NONE = "Ranks need two methods with a figure: run another method in the same experiment."


class RankModel(QAbstractTableModel):
    """A row for each method of a size, a column for each metric."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._metrics: list[str] = []
        self._rows: list[tuple[str, str]] = []
        """(size, method)"""
        self._ranks: dict[tuple[str, str, str], Rank] = {}

    def show_rankings(self, rankings: Sequence[Ranking]) -> None:
        self.beginResetModel()
        self._metrics = list(dict.fromkeys(r.metric for r in rankings))
        self._rows = list(dict.fromkeys((r.size, rank.method) for r in rankings for rank in r.ranks))
        self._rows.sort(key=lambda row: [r.size for r in rankings].index(row[0]))
        self._ranks = {(r.size, rank.method, r.metric): rank for r in rankings for rank in r.ranks}
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._metrics)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        size, method = self._rows[index.row()]
        known = metric(self._metrics[index.column()])
        rank = self._ranks.get((size, method, known.id))
        if role == Qt.ItemDataRole.DisplayRole:
            return "–" if rank is None else rank_text(rank)
        if role == Qt.ItemDataRole.ToolTipRole:
            if rank is None:
                return f"{known.title} is not available for {method}"
            return f"{known.title} of {method}: {format_value(rank.value, known.unit, known.shown_unit)}"
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation == Qt.Orientation.Vertical:
            size, method = self._rows[section]
            several = len({s for s, _ in self._rows}) > 1
            said = f"{method} · {size}" if several else method
            return said if role == Qt.ItemDataRole.DisplayRole else None
        known = metric(self._metrics[section])
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{known.definition} {known.better.capitalize()} is better."
        return known.title.replace(" ", "\n", 1) if role == Qt.ItemDataRole.DisplayRole else None

    def as_tsv(self) -> str:
        """Everything, as tab-separated text."""
        lines = [("size", "method", *(metric(m).title for m in self._metrics))]
        for size, method in self._rows:
            ranks = (self._ranks.get((size, method, m)) for m in self._metrics)
            lines.append((size, method, *("" if r is None else rank_text(r) for r in ranks)))
        return tab_separated(lines)


def rank_text(rank: Rank) -> str:
    """ "1", or "1–2" where intervals leave it open."""
    return str(rank.best) if rank.best == rank.worst else f"{rank.best}–{rank.worst}"


class RankTable(QWidget):
    """The table and, under it, what its ranks mean."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        set_ground(self, "base")
        self.model = RankModel(self)
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setAccessibleName("Ranks of methods")
        self.view.setShowGrid(False)
        self.view.setFrameShape(QTableView.Shape.NoFrame)
        self.view.setTabKeyNavigation(False)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        QShortcut(QKeySequence.StandardKey.Copy, self.view, self.copy, context=Qt.ShortcutContext.WidgetShortcut)
        self.notes = label("", role="dense", tone="muted")
        self.notes.setWordWrap(True)
        column = flush_column(self)
        column.addWidget(self.view, 1)
        column.addWidget(self.notes)
        theme.follow(self._restyle)

    def copy(self) -> None:
        """All ranks to the clipboard."""
        QGuiApplication.clipboard().setText(self.model.as_tsv())

    def _restyle(self) -> None:
        rows = self.view.verticalHeader()
        self.notes.setMargin(self._theme.px(8))
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(self._theme.height("row"))
        self.view.horizontalHeader().setFixedHeight(self._theme.height("table_header_two_lines"))

    def show_rankings(self, rankings: Sequence[Ranking], basis: str) -> None:
        self.model.show_rankings(rankings)
        self.view.resizeColumnsToContents()
        self.view.setVisible(bool(rankings))
        sizes = list(dict.fromkeys(r.size for r in rankings))
        among = f"Models of {sizes[0]}. " if len(sizes) == 1 else ""
        self.notes.setText(f"{basis[:1].upper()}{basis[1:]}. {among}{_SAID}" if rankings else _NONE)
