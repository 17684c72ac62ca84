"""Groups of rows with ticks as an item model: the models list and the techniques tree. Main thread.

A tick is a wish: `toggle_wanted` says it, the page changes the experiment, new rows come back by `show_groups`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PySide6.QtCore import QModelIndex, QObject, Qt, Signal

from widgets.parts.two_levels import Index, TwoLevelModel

ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
GROUP_ROLE = int(Qt.ItemDataRole.UserRole) + 2


class Row(Protocol):
    """What a row must say of itself."""

    @property
    def key(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def tip(self) -> str: ...
    @property
    def checked(self) -> bool: ...
    @property
    def enabled(self) -> bool: ...


class Group(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def count(self) -> str: ...
    @property
    def rows(self) -> Sequence[Row]: ...


class GroupedModel(TwoLevelModel):
    """Two levels, one column. Rows that stay are changed in place, so that focus and scrolling stay with them."""

    toggle_wanted = Signal(str, bool)
    """A row's key, and whether it is to be ticked."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._groups: tuple[Group, ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        return self._groups

    def show_groups(self, groups: Sequence[Group]) -> None:
        new = tuple(groups)
        if _shape(new) == _shape(self._groups):
            old, self._groups = self._groups, new
            for g, (a, b) in enumerate(zip(old, new, strict=True)):
                parent = self.index(g, 0)
                if a != b:
                    self.dataChanged.emit(parent, parent)
                for r, (x, y) in enumerate(zip(a.rows, b.rows, strict=True)):
                    if x != y:
                        self.dataChanged.emit(self.index(r, 0, parent), self.index(r, 0, parent))
            return
        self.beginResetModel()
        self._groups = new
        self.endResetModel()

    def row(self, index: Index) -> Row | None:
        """The row at an index, None for a group."""
        if not index.isValid() or index.internalId() == 0:
            return None
        return self._groups[index.internalId() - 1].rows[index.row()]

    def index_of(self, key: str) -> QModelIndex:
        """Where the row with this key is; invalid where it is not shown."""
        for g, group in enumerate(self._groups):
            for r, row in enumerate(group.rows):
                if row.key == key:
                    return self.index(r, 0, self.index(g, 0))
        return QModelIndex()

    # --- the model --------------------------------------------------------------------------------

    def top_count(self) -> int:
        return len(self._groups)

    def inner_count(self, place: int) -> int:
        return len(self._groups[place].rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 1

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        if index.internalId() == 0:
            group = self._groups[index.row()]
            if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
                return f"{group.title}, {group.count}" if group.count else group.title
            if role == Qt.ItemDataRole.ToolTipRole:
                return group.title
            return group if role == GROUP_ROLE else None
        row = self._groups[index.internalId() - 1].rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.text
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.StatusTipRole):
            return row.tip
        if role == Qt.ItemDataRole.CheckStateRole:
            return Qt.CheckState.Checked if row.checked else Qt.CheckState.Unchecked
        return row if role == ROW_ROLE else None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        row = self.row(index)
        if row is None or role != Qt.ItemDataRole.CheckStateRole or not can_toggle(row):
            return False
        self.toggle_wanted.emit(row.key, Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Rows that cannot be ticked stay enabled: the arrow keys reach them and their reason."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        row = self.row(index)
        if row is None:
            return flags
        flags |= Qt.ItemFlag.ItemNeverHasChildren
        return flags | Qt.ItemFlag.ItemIsUserCheckable if can_toggle(row) else flags


def can_toggle(row: Row) -> bool:
    """What cannot be chosen can still be taken out."""
    return row.enabled or row.checked


def _shape(groups: Sequence[Group]) -> list[tuple[str, list[str]]]:
    return [(g.key, [r.key for r in g.rows]) for g in groups]
