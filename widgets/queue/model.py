"""The queue as an item model with drag and drop, and the delegate that paints a row. Main thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QByteArray,
    QMimeData,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from widgets.queue.rows import QueueRow, dropped
from widgets.theme.icons import pixmap
from widgets.theme.run_paint import paint_swatch
from widgets.theme.swatch import EDGE
from widgets.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
MIME = "application/x-llm-workbench-trials"
_WITH_BLOCK = 200
"""Pixels of a row's texts from which the block has room."""


class QueueModel(QAbstractListModel):
    """One row a trial. Rows that stay are changed in place, so that the selection stays with them."""

    order_wanted = Signal(tuple)
    """Waiting trials in the order the user dropped them."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[QueueRow, ...] = ()

    @property
    def rows(self) -> tuple[QueueRow, ...]:
        return self._rows

    @property
    def waiting(self) -> tuple[str, ...]:
        """Ids of the waiting trials in order."""
        return tuple(r.trial for r in self._rows if r.state == "waiting")

    def row_of(self, trial: str) -> int:
        """Place of a trial, -1 where it is not in the queue."""
        return next((i for i, r in enumerate(self._rows) if r.trial == trial), -1)

    def show_rows(self, rows: Sequence[QueueRow]) -> None:
        """Show another state of the queue."""
        new = tuple(rows)
        if [r.trial for r in new] == [r.trial for r in self._rows]:
            changed = [i for i, (a, b) in enumerate(zip(self._rows, new, strict=True)) if a != b]
            self._rows = new
            for i in changed:
                self.dataChanged.emit(self.index(i), self.index(i))
            return
        if len(new) != len(self._rows):
            # another number of rows is not a new layout: the views start over
            self.beginResetModel()
            self._rows = new
            self.endResetModel()
            return
        self.layoutAboutToBeChanged.emit()
        held = self.persistentIndexList()
        trials = [self._rows[i.row()].trial for i in held]
        self._rows = new
        self.changePersistentIndexList(held, [self._index_of(t) for t in trials])
        self.layoutChanged.emit()

    def _index_of(self, trial: str) -> QModelIndex:
        row = self.row_of(trial)
        return self.index(row) if row >= 0 else QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.sentence
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.tip
        if role == ROW_ROLE:
            return row
        return None

    # --- drag and drop ----------------------------------------------------------------------------

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        if not index.isValid():
            return flags | Qt.ItemFlag.ItemIsDropEnabled
        if self._rows[index.row()].state == "waiting":
            flags |= Qt.ItemFlag.ItemIsDragEnabled
        return flags

    def supportedDropActions(self) -> Qt.DropAction:
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        return [MIME]

    def mimeData(self, indexes: Sequence[QModelIndex]) -> QMimeData:
        data = QMimeData()
        trials = [self._rows[i.row()].trial for i in indexes]
        data.setData(MIME, QByteArray(json.dumps(trials).encode()))
        return data

    def dropMimeData(self, data: QMimeData, action: Qt.DropAction, row: int, column: int, parent: Index) -> bool:
        """Ask for the new order. False in any case: the view must not remove rows, the runner's answer moves them."""
        if data.hasFormat(MIME):
            chosen = json.loads(bytes(data.data(MIME).data()).decode())
            below = [r.trial for r in self._rows[row:] if r.state == "waiting"] if row >= 0 else []
            before = next((t for t in below if t not in chosen), None)
            if row >= 0 and row < self.rowCount() and self._rows[row].state == "running":
                before = next(iter(t for t in self.waiting if t not in chosen), None)
            order = dropped(self.waiting, chosen, before)
            if order != self.waiting:
                self.order_wanted.emit(order)
        return False


def columns(width: int, px: Callable[[float], int], has_technique: bool) -> tuple[int, int, int]:
    """Pixels of name, technique and block, the same in every row; what is left of `width` is for time or outcome. In a
    narrow panel the block goes first, then name and technique share what there is."""
    last, block = px(86), px(44) if width >= px(_WITH_BLOCK) else 0
    room = max(0, width - last - block)
    technique = min(px(64), room // 2) if has_technique else 0
    return room - technique, technique, block


class QueueDelegate(QStyledItemDelegate):
    """State, swatch, model, technique, block, time or outcome: 28 px, painted with the tokens."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._theme.height("queue_row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(ROW_ROLE)
        if not isinstance(row, QueueRow):
            return
        theme, px, rect = self._theme, self._theme.px, option.rect
        painter.save()
        runs = row.state == "running"
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("bg.selected"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color("bg.hover"))
        elif runs:
            painter.fillRect(rect, theme.color("bg.header"))
        tint = "status.error" if row.tone == "error" else "accent.default" if runs else "text.muted"
        picture = pixmap(theme, row.icon, tint, 14, painter.device().devicePixelRatioF())
        edge = picture.deviceIndependentSize().height()
        painter.drawPixmap(
            QRectF(rect.left() + px(8), rect.center().y() - edge / 2 + 1, edge, edge), picture, QRectF(picture.rect())
        )
        swatch = px(EDGE)
        place = QRectF(rect.left() + px(29), rect.center().y() - swatch / 2 + 1, swatch, swatch)
        paint_swatch(painter, theme, place, row.color)
        self._paint_texts(painter, row, QRect(rect.left() + px(48), rect.top(), rect.width() - px(60), rect.height()))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.subtle"))
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(theme.color("border.focus"))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(rect.adjusted(0, 0, -1, -2))
        painter.restore()

    def _paint_texts(self, painter: QPainter, row: QueueRow, box: QRect) -> None:
        theme, px = self._theme, self._theme.px
        middle = Qt.AlignmentFlag.AlignVCenter
        runs = row.state == "running"
        painter.setFont(theme.font("dense", 500 if runs else 400))
        metrics = painter.fontMetrics()
        painter.setPen(theme.color("status.error" if row.tone == "error" else f"text.{row.tone}"))
        painter.drawText(box, middle | Qt.AlignmentFlag.AlignRight, row.left)
        name, technique, block = columns(box.width(), px, bool(row.technique))
        room = name + technique
        painter.setPen(theme.color("text.primary"))
        painter.drawText(
            QRect(box.left(), box.top(), name, box.height()),
            middle,
            metrics.elidedText(row.name, Qt.TextElideMode.ElideRight, name - px(8)),
        )
        painter.setFont(theme.font("dense"))
        painter.setPen(theme.color("text.secondary"))
        at = QRect(box.left() + name, box.top(), technique, box.height())
        painter.drawText(at, middle, metrics.elidedText(row.technique, Qt.TextElideMode.ElideRight, technique - px(4)))
        painter.setPen(theme.color("text.muted"))
        painter.drawText(QRect(box.left() + room, box.top(), block, box.height()), middle, row.block)
