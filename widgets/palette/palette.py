"""The command palette (Ctrl+K): every action, experiment and trial by a few letters. A child of the window.

Lists what the registry of actions has and what `set_items` was given. Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from widgets.messages.overlay import Overlay
from widgets.palette.matching import Candidate, rank
from widgets.parts.labels import label
from widgets.shell.actions import Actions
from widgets.theme.icons import pixmap
from widgets.theme.theme import Theme

WIDTH = 560
ROWS = 10
RECENT = 8


class PaletteModel(QAbstractListModel):
    """The ranked candidates. `Qt.UserRole` is the `Candidate`."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[Candidate] = []

    def set_rows(self, rows: list[Candidate]) -> None:
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex | QPersistentModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(p for p in (row.text, row.detail, row.keys) if p)
        return row if role == Qt.ItemDataRole.UserRole else None


class PaletteDelegate(QStyledItemDelegate):
    """Icon, text, detail in muted, keys at the right."""

    def __init__(self, theme: Theme, parent: QObject) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(self._theme.px(200), self._theme.height("row"))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        theme, row = self._theme, index.data(Qt.ItemDataRole.UserRole)
        area: QRect = option.rect  # type: ignore[attr-defined]
        state: QStyle.StateFlag = option.state  # type: ignore[attr-defined]
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, theme.color("bg.selected"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(area, theme.color("bg.hover"))
        pad, edge = theme.px(12), theme.icon_size()
        if row.icon:
            tint = "text.secondary" if row.enabled else "text.disabled"
            painter.drawPixmap(area.left() + pad, area.center().y() - edge // 2, pixmap(theme, row.icon, tint))
        left, right = area.left() + pad + edge + theme.px(10), area.right() - pad
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        if row.keys:
            painter.setFont(theme.font("dense"))
            painter.setPen(theme.color("text.muted"))
            width = painter.fontMetrics().horizontalAdvance(row.keys)
            painter.drawText(QRect(right - width, area.top(), width + 1, area.height()), middle, row.keys)
            right -= width + theme.px(12)
        painter.setFont(theme.font("body"))
        painter.setPen(theme.color("text.primary" if row.enabled else "text.disabled"))
        text = painter.fontMetrics().elidedText(row.text, Qt.TextElideMode.ElideRight, right - left)
        painter.drawText(QRect(left, area.top(), right - left, area.height()), middle, text)
        left += painter.fontMetrics().horizontalAdvance(text) + theme.px(10)
        if row.detail and right > left:
            painter.setFont(theme.font("dense"))
            painter.setPen(theme.color("text.muted"))
            detail = painter.fontMetrics().elidedText(row.detail, Qt.TextElideMode.ElideRight, right - left)
            painter.drawText(QRect(left, area.top(), right - left, area.height()), middle, detail)
        painter.restore()


class Palette(Overlay):
    """Open with `open()`; Enter runs, Esc closes, arrow keys move while the field keeps the focus."""

    picked = Signal(str)
    """Id of a candidate that was given by `set_items` (actions are invoked by the palette itself)."""
    asked = Signal()
    """It opens: time to bring the items up to date."""

    def __init__(self, theme: Theme, actions: Actions, host: QWidget) -> None:
        super().__init__(theme, host, "Command palette")
        self._actions = actions
        self._items: tuple[Candidate, ...] = ()
        self._recent: list[str] = []
        self._column = column = QVBoxLayout(self)
        self.field = QLineEdit(self)
        self.field.setPlaceholderText("Type a few letters of an action, an experiment or a trial")
        self.field.setAccessibleName("Search actions, experiments and trials")
        self.list = QListView(self)
        self.list.setUniformItemSizes(True)
        self.list.setMouseTracking(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setAccessibleName("Matches")
        self.model = PaletteModel(self)
        self.list.setModel(self.model)
        self.list.setItemDelegate(PaletteDelegate(theme, self.list))
        self.nothing = label("Nothing is called that.", tone="muted")
        self.nothing.hide()
        column.addWidget(self.field)
        column.addWidget(self.list)
        column.addWidget(self.nothing)
        self.field.textChanged.connect(self._search)
        self.field.installEventFilter(self)
        self.list.clicked.connect(self._run)

    def set_items(self, items: Sequence[Candidate]) -> None:
        """Experiments and trials that can be found, besides the actions."""
        self._items = tuple(items)
        if self.isVisible():
            self._search(self.field.text())

    def open(self, text: str = "") -> None:
        self.field.setText(text)
        self._search(text)
        self.appear(self.field)
        self.asked.emit()

    def place(self) -> None:
        """Under the menu bar, in the middle; as many whole rows as the window has room for."""
        px = self.theme.px
        edge = px(8)
        self._column.setContentsMargins(edge, edge, edge, edge)
        width = min(px(WIDTH), self.host.width() - 2 * px(24))
        top = self.theme.height("menu_bar") + edge
        self.move((self.host.width() - width) // 2, top)
        self.setFixedWidth(width)
        row = self.theme.height("row")
        room = self.host.height() - top - self.field.sizeHint().height() - 4 * edge
        rows = max(1, min(self.model.rowCount(), ROWS, room // row))
        self.list.setFixedHeight(rows * row)
        # the rows' height is that of the text now, which the view has remembered from before
        self.list.doItemsLayout()
        self.list.scrollTo(self.list.currentIndex())
        self.adjustSize()

    def _candidates(self) -> list[Candidate]:
        made = []
        for action in self._actions.all():
            if action.id == "view.palette":
                continue
            enabled = self._actions.is_enabled(action.id)
            keys = self._actions.qaction(action.id).shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            place = action.menu.replace("/", " › ")
            detail = self._actions.why_not(action.id) or place
            made.append(Candidate(action.id, action.text, detail, keys, action.words, action.icon, enabled))
        return [*made, *self._items]

    def _search(self, text: str) -> None:
        self.model.set_rows(rank(text, self._candidates(), self._recent))
        found = self.model.rowCount()
        if found:
            self.list.setCurrentIndex(self.model.index(0))
        self.nothing.setVisible(not found)
        self.list.setVisible(found > 0)
        self.place()

    def _run(self, index: QModelIndex) -> None:
        candidate = index.data(Qt.ItemDataRole.UserRole)
        if candidate is None or not candidate.enabled:
            return
        self.leave()
        self._recent = [candidate.id, *(r for r in self._recent if r != candidate.id)][:RECENT]
        if candidate.id in self._actions:
            self._actions.invoke(candidate.id)
        else:
            self.picked.emit(candidate.id)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.field and event.type() == QEvent.Type.FocusOut and self.isVisible():
            self.hide()
        if watched is not self.field or not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return super().eventFilter(watched, event)
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1, Qt.Key.Key_PageDown: ROWS, Qt.Key.Key_PageUp: -ROWS}
        key = Qt.Key(event.key())
        if key in steps and self.model.rowCount():
            row = min(self.model.rowCount() - 1, max(0, self.list.currentIndex().row() + steps[key]))
            self.list.setCurrentIndex(self.model.index(row))
            return True
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._run(self.list.currentIndex())
            return True
        if key == Qt.Key.Key_Escape:
            self.leave()
            return True
        return False
