"""The comparison table as an item model: configurations with their trials as children. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, Qt

from widgets.compare.table.views import CellView, Column, RowView, TableView
from widgets.parts.two_levels import Index, TwoLevelModel

ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
CELL_ROLE = int(Qt.ItemDataRole.UserRole) + 2
_ROLE = Qt.ItemDataRole


class CompareModel(TwoLevelModel):
    """Shows a `TableView`. An index' internal id is 0 for a row at the top, otherwise 1 + the place of its parent."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._view = TableView()

    @property
    def view(self) -> TableView:
        return self._view

    def show_view(self, view: TableView) -> bool:
        """Show another state; cells change in place where rows and columns stay. -> whether they stayed"""
        if _shape(view) == _shape(self._view):
            old, self._view = self._view, view
            self._tell_changes(old, view)
            return True
        self.beginResetModel()
        self._view = view
        self.endResetModel()
        return False

    def _tell_changes(self, old: TableView, new: TableView) -> None:
        last = len(new.columns) - 1
        if old.columns != new.columns:
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, last)
        for place, (before, after) in enumerate(zip(old.rows, new.rows, strict=True)):
            if before == after:
                continue
            self.dataChanged.emit(self.index(place, 0), self.index(place, last))
            parent = self.index(place, 0)
            if after.children:
                end = self.index(len(after.children) - 1, last, parent)
                self.dataChanged.emit(self.index(0, 0, parent), end)

    # --- structure --------------------------------------------------------------------------------

    def top_count(self) -> int:
        return len(self._view.rows)

    def inner_count(self, place: int) -> int:
        return len(self._view.rows[place].children)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(self._view.columns)

    # --- content ----------------------------------------------------------------------------------

    def row_at(self, index: Index) -> RowView | None:
        """The configuration or trial behind an index."""
        if not index.isValid():
            return None
        if index.internalId() == 0:
            return self._view.rows[index.row()] if index.row() < len(self._view.rows) else None
        children = self._view.rows[int(index.internalId()) - 1].children
        return children[index.row()] if index.row() < len(children) else None

    def column_at(self, section: int) -> Column | None:
        return self._view.columns[section] if 0 <= section < len(self._view.columns) else None

    def find(self, key: str, column: int = 0) -> QModelIndex:
        """The index of a configuration or trial id; invalid where it is not shown."""
        for place, row in enumerate(self._view.rows):
            if row.key == key:
                return self.index(place, column)
            for inner, child in enumerate(row.children):
                if child.key == key:
                    return self.index(inner, column, self.index(place, 0))
        return QModelIndex()

    def data(self, index: Index, role: int = _ROLE.DisplayRole) -> object:
        row = self.row_at(index)
        if row is None:
            return None
        cell = row.cells[index.column()]
        if role == ROW_ROLE:
            return row
        if role == CELL_ROLE:
            return cell
        if role == _ROLE.DisplayRole:
            return plain_text(cell)
        if role == _ROLE.ToolTipRole:
            return cell.tip or None
        if role == _ROLE.AccessibleTextRole:
            return cell.spoken or plain_text(cell)
        if role == _ROLE.AccessibleDescriptionRole:
            return row.message or None
        if role == _ROLE.TextAlignmentRole and self._view.columns[index.column()].kind != "label":
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole) -> object:
        column = self.column_at(section)
        if orientation != Qt.Orientation.Horizontal or column is None:
            return None
        if role == _ROLE.DisplayRole:
            return f"{column.title}\n{column.detail}" if column.detail else column.title
        if role == _ROLE.ToolTipRole:
            return column.tip or None
        if role == _ROLE.AccessibleTextRole:
            better = f", {column.better} is better" if column.better in ("higher", "lower") else ""
            return f"{column.title}{f' in {column.unit}' if column.unit else ''}{better}"
        return None


def plain_text(cell: CellView) -> str:
    """Both lines of a cell as text."""
    lines = (" ".join(p for p in (cell.word, cell.text) if p), " ".join(p for p in (cell.second, cell.rest) if p))
    return "\n".join(line for line in lines if line)


def _shape(view: TableView) -> tuple[object, ...]:
    rows = tuple((r.key, tuple(c.key for c in r.children)) for r in view.rows)
    return tuple(c.key for c in view.columns), rows
