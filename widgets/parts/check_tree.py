"""A tree of ticks: Space and clicks toggle, group rows fold, the row that is current keeps its place. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from widgets.parts.grouped_model import GROUP_ROLE, ROW_ROLE, Group, GroupedModel, Row, can_toggle
from widgets.parts.strokes import draw_focus, draw_icon, draw_text
from widgets.parts.two_levels import Index
from widgets.theme.theme import Theme


class CheckTree(QTreeView):
    """`whole_row`: a click anywhere on a row toggles it; otherwise only one on the tick."""

    button_pressed = Signal(str)
    """Key of a row whose painted button was clicked (or Enter pressed on it)."""
    current_changed = Signal(str)
    """Key of the row the form is to show, "" for a group."""

    def __init__(self, theme: Theme, name: str, delegate: RowDelegate, *, whole_row: bool = False) -> None:
        super().__init__()
        self._theme = theme
        self._whole_row = whole_row
        self._pressed: tuple[str, bool] = ("", False)
        self._folded: set[str] = set()
        self.model_ = GroupedModel(self)
        self.setModel(self.model_)
        self.setItemDelegate(delegate)
        delegate.setParent(self)
        self.setAccessibleName(name)
        self.setHeaderHidden(True)
        self.setIndentation(0)
        self.setRootIsDecorated(False)
        self.setExpandsOnDoubleClick(False)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.expanded.connect(self._unfold)
        self.collapsed.connect(self._fold)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.model_.layoutChanged.emit()

    def show_groups(self, groups: tuple[Group, ...]) -> None:
        """Show other rows; folded groups stay folded, the current row stays current where it is still there."""
        current = self.current_key
        top = self.verticalScrollBar().value()
        self.model_.show_groups(groups)
        for g, group in enumerate(groups):
            index = self.model_.index(g, 0)
            if self.isExpanded(index) == (group.key in self._folded):
                self.setExpanded(index, group.key not in self._folded)
        if current and self.current_key != current:
            index = self.model_.index_of(current)
            if index.isValid():
                self.setCurrentIndex(index)
            self.verticalScrollBar().setValue(top)

    @property
    def current_key(self) -> str:
        row = self.model_.row(self.currentIndex())
        return row.key if row is not None else ""

    def choose(self, key: str) -> None:
        """Make a row current."""
        index = self.model_.index_of(key)
        if index.isValid():
            self.setCurrentIndex(index)

    def currentChanged(self, current: Index, previous: Index) -> None:
        super().currentChanged(current, previous)
        self.current_changed.emit(self.current_key)

    def _fold(self, index: QModelIndex) -> None:
        self._folded.add(self.model_.groups[index.row()].key)

    def _unfold(self, index: QModelIndex) -> None:
        self._folded.discard(self.model_.groups[index.row()].key)

    # --- toggling ---------------------------------------------------------------------------------

    def toggle(self, index: QModelIndex) -> None:
        """Tick or untick a row that can be; fold or unfold a group."""
        row = self.model_.row(index)
        if row is None:
            self.setExpanded(index, not self.isExpanded(index))
        elif can_toggle(row):
            state = Qt.CheckState.Unchecked if row.checked else Qt.CheckState.Checked
            self.model_.setData(index, state, Qt.ItemDataRole.CheckStateRole)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Select) and index.isValid():
            self.toggle(index)
            return
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers() and index.isValid():
            row = self.model_.row(index)
            if row is not None and self._delegate.button_text(row):
                self.button_pressed.emit(row.key)
            else:
                self.toggle(index)
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        if event.button() == Qt.MouseButton.LeftButton:
            index = self.indexAt(event.position().toPoint())
            row = self.model_.row(index)
            self._pressed = (row.key if row is not None else "", index.isValid())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        pressed, was_pressed = self._pressed
        self._pressed = ("", False)
        at = event.position().toPoint()
        index = self.indexAt(at)
        if event.button() != Qt.MouseButton.LeftButton or not was_pressed or not index.isValid():
            return
        row = self.model_.row(index)
        if row is None:
            if not pressed:
                self.toggle(index)
        elif row.key == pressed:
            self._clicked(index, row, at)

    def _clicked(self, index: QModelIndex, row: Row, at: QPoint) -> None:
        rect = self.visualRect(index)
        if self._delegate.button_text(row):
            if self._delegate.button_rect(rect, row).contains(at):
                self.button_pressed.emit(row.key)
        elif self._whole_row or at.x() < self._delegate.check_width(rect):
            self.toggle(index)

    @property
    def _delegate(self) -> RowDelegate:
        delegate = self.itemDelegate()
        assert isinstance(delegate, RowDelegate)
        return delegate

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.viewport().update()

    def sizeHint(self) -> QSize:
        return QSize(self._theme.px(200), self._theme.px(200))


class RowDelegate(QStyledItemDelegate):
    """Group rows of 24 px; `paint_row` is the subclass's."""

    height = "tree_row"

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        is_group = index.data(ROW_ROLE) is None
        return QSize(0, self._theme.height("group_row" if is_group else self.height))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        painter.save()
        row = index.data(ROW_ROLE)
        if row is None:
            self._paint_group(painter, option, index.data(GROUP_ROLE))
        else:
            self.paint_row(painter, option, row)
        if option.state & QStyle.StateFlag.State_HasFocus:
            draw_focus(painter, self._theme, option.rect)
        painter.restore()

    def paint_row(self, painter: QPainter, option: QStyleOptionViewItem, row: Row) -> None:
        raise NotImplementedError

    def button_text(self, row: Row) -> str:
        """Words of the button in a row, "" without one."""
        return ""

    def button_rect(self, rect: QRect, row: Row) -> QRect:
        return QRect()

    def check_width(self, rect: QRect) -> int:
        """Clicks left of this are meant for the tick."""
        return rect.left() + self._theme.px(36)

    def _paint_group(self, painter: QPainter, option: QStyleOptionViewItem, group: Group) -> None:
        theme, px, rect = self._theme, self._theme.px, option.rect
        painter.fillRect(rect, theme.color("bg.header"))
        if option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color("bg.hover"))
        is_open = bool(option.state & QStyle.StateFlag.State_Open)
        edge = px(16)
        chevron = QRect(rect.left() + px(8), rect.top(), edge, rect.height())
        draw_icon(painter, theme, "chevron-down" if is_open else "chevron-right", "text.secondary", chevron, 14)
        font = theme.font("dense", 600)
        left = chevron.right() + px(4)
        painter.setFont(font)
        count_font = theme.font("dense")
        count = QFontMetrics(count_font).horizontalAdvance(group.count)
        room = rect.right() - px(4) - left - (count + px(6) if count else 0)
        words = group.title
        if QFontMetrics(font).horizontalAdvance(words) + 2 > room:
            words = words.partition(":")[0]  # the explanation after the colon gives way; the tooltip keeps it
        title = min(QFontMetrics(font).horizontalAdvance(words) + 2, room)
        draw_text(painter, font, theme.color("text.secondary"), QRect(left, rect.top(), title, rect.height()), words)
        at = QRect(left + title + px(6), rect.top(), count + 2, rect.height())
        draw_text(painter, count_font, theme.color("text.muted"), at, group.count)
