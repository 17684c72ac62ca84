"""An item model of rows that have rows of their own, and no deeper. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex

Index = QModelIndex | QPersistentModelIndex


class TwoLevelModel(QAbstractItemModel):
    """An index' internal id is 0 for a row at the top, otherwise 1 + the place of its parent."""

    def top_count(self) -> int:
        """Rows at the top."""
        raise NotImplementedError

    def inner_count(self, place: int) -> int:
        """Rows below the one at this place."""
        raise NotImplementedError

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        if not index.isValid() or index.internalId() == 0:
            return QModelIndex()
        return self.createIndex(int(index.internalId()) - 1, 0, 0)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        if not parent.isValid():
            return self.top_count()
        return self.inner_count(parent.row()) if parent.column() == 0 and parent.internalId() == 0 else 0
