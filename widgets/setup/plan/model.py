"""The plan as an item model: rows of `PlanRow`, columns that change with the experiment, sorting. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from widgets.setup.plan.columns import Column, memory_sentence
from widgets.setup.plan.rows import PlanRow, fix_text, sorted_rows

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
COLUMN_ROLE = int(Qt.ItemDataRole.UserRole) + 2


class PlanModel(QAbstractTableModel):
    """The same rows keep their places (and the view its focus) when only their words change."""

    leave_out_wanted = Signal(object, bool)
    """Hashes of a row's configurations, a tuple, and whether they are to be left out."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._columns: tuple[Column, ...] = (Column("check", ""),)
        self._given: tuple[PlanRow, ...] = ()
        self._rows: tuple[PlanRow, ...] = ()
        self._sort = ("problems", Qt.SortOrder.AscendingOrder)

    @property
    def rows(self) -> tuple[PlanRow, ...]:
        return self._rows

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._columns

    def column_of(self, key: str) -> int:
        return next((i for i, c in enumerate(self._columns) if c.key == key), -1)

    def row_of(self, hash: str) -> int:
        return next((i for i, r in enumerate(self._rows) if r.hash == hash), -1)

    def show_rows(self, columns: Sequence[Column], rows: Sequence[PlanRow]) -> None:
        """Show another plan, or the same one seen through another filter."""
        self._given = tuple(rows)
        new = self._sorted()
        if tuple(columns) != self._columns or {r.hash for r in new} != {r.hash for r in self._rows}:
            self.beginResetModel()
            self._columns, self._rows = tuple(columns), new
            self.endResetModel()
            return
        self._move(new)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if 0 <= column < len(self._columns):
            self._sort = (self._columns[column].key, order)
            self._move(self._sorted())

    @property
    def sorting(self) -> tuple[str, Qt.SortOrder]:
        return self._sort

    def _sorted(self) -> tuple[PlanRow, ...]:
        key, order = self._sort
        return sorted_rows(self._given, key, order == Qt.SortOrder.DescendingOrder)

    def _move(self, new: tuple[PlanRow, ...]) -> None:
        if [r.hash for r in new] == [r.hash for r in self._rows]:
            changed = [i for i, (a, b) in enumerate(zip(self._rows, new, strict=True)) if a != b]
            self._rows = new
            for row in changed:
                self.dataChanged.emit(self.index(row, 0), self.index(row, len(self._columns) - 1))
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        hashes = [self._rows[i.row()].hash for i in held]
        self._rows = new
        moved = [self.index(self.row_of(h), i.column()) for h, i in zip(hashes, held, strict=True)]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    # --- the model --------------------------------------------------------------------------------

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.cells.get(column.key, "")
        if role == ROW_ROLE:
            return row
        if role == COLUMN_ROLE:
            return column.key
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return _accessible(row) if column.key == "check" else f"{column.title}: {row.cells.get(column.key, '')}"
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.StatusTipRole):
            return _tip(row, column.key)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.CheckStateRole and column.key == "check":
            return Qt.CheckState.Checked if row.state == "runs" else Qt.CheckState.Unchecked
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if not index.isValid() or role != Qt.ItemDataRole.CheckStateRole:
            return False
        self.leave_out_wanted.emit(self._rows[index.row()].hashes, Qt.CheckState(value) == Qt.CheckState.Unchecked)
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = super().flags(index) | Qt.ItemFlag.ItemNeverHasChildren
        return flags | Qt.ItemFlag.ItemIsUserCheckable if self._columns[index.column()].key == "check" else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self._columns):
            return None
        column = self._columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.tip or None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if column.right else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.AccessibleTextRole and column.key == "check":
            return "Runs"
        return None


def _accessible(row: PlanRow) -> str:
    state = {"runs": "runs", "left_out": "left out", "cannot": "cannot run"}[row.state]
    fixes = f" Fixes with Alt+Enter: {'; '.join(map(fix_text, row.fixes))}." if row.fixes else ""
    return f"{row.title}: {state}. {memory_sentence(row.memory)} {row.problem_text}{fixes}".strip()


def _tip(row: PlanRow, key: str) -> str | None:
    if key in ("memory", "needs"):
        return memory_sentence(row.memory)
    if key == "time" and row.state == "runs" and row.time_source:
        return row.time_source
    if key == "problems" and row.problems:
        return "\n".join(" ".join(filter(None, (p.message, p.hint, *p.changes))) for p in row.problems)
    if key == "check":
        return {
            "runs": "Runs. Untick to leave it out.",
            "left_out": "Left out. Tick to take it in.",
            "cannot": "Cannot run as it is. Click to leave it out.",
        }[row.state]
    return row.title if key == "model" else None
