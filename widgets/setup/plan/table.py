"""The view of the plan: ticks, fixes by mouse and by Alt+Enter, sorting, column widths. Main thread."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QFontMetrics, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QStyleOptionViewItem, QToolTip, QTreeView

from widgets.setup.plan.columns import Column
from widgets.setup.plan.delegate import Button, PlanDelegate, paint_row_focus
from widgets.setup.plan.model import PlanModel
from widgets.setup.plan.rows import PlanRow, fix_text
from widgets.theme.theme import Theme

_WIDTHS = {"check": 40, "memory": 208}
_NUMBERS = ("time", "needs", "trials", "trainable", "share")
"""They change while one types: their columns grow where they must, and keep still otherwise."""
_UNSIZED = ("check", "memory", "problems", *_NUMBERS)
_NARROW_MEMORY = 104
_NARROW_UNDER = 1300
_MOST = {"model": 300, "technique": 190}
_MOST_NARROW = {"model": 256, "technique": 160}


class PlanTable(QTreeView):
    """One row a configuration. Says what is wanted by signals."""

    fix_wanted = Signal(str, object)
    """configuration hash, `Fix`"""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._pressed = QModelIndex()
        self.model_ = PlanModel(self)
        self.delegate_ = PlanDelegate(theme, self)
        self.setModel(self.model_)
        self.setItemDelegate(self.delegate_)
        self.setAccessibleName("Plan")
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        self.setIndentation(0)
        self.setUniformRowHeights(True)
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._context_menu)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        header = self.header()
        header.setSectionsMovable(False)
        header.setStretchLastSection(True)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(theme.px(32))
        header.setSectionsClickable(True)
        header.setSortIndicatorShown(True)
        header.sortIndicatorChanged.connect(self._sort)
        self._hidden: set[str] = set()
        self._was_narrow: bool | None = None
        self._words: tuple[str, ...] = ()
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self.header().setFixedHeight(self._theme.height("table_header"))
        self._fit_columns()
        self.scheduleDelayedItemsLayout()

    # --- rows and columns -------------------------------------------------------------------------

    def show_rows(self, columns: tuple[Column, ...], rows: tuple[PlanRow, ...]) -> None:
        """Show a plan; the current configuration stays current where it is still there."""
        current = self.current_row
        changed = columns != self.model_.columns
        self.model_.show_rows(columns, rows)
        words = tuple(sorted({row.cells.get(c.key, "") for row in rows for c in columns if c.key not in _UNSIZED}))
        if changed or words != self._words:
            self._words = words
            self._fit_columns()
        else:
            self._widen_numbers()
        if changed:
            self._show_indicator()
        if current is not None and self.current_row is None:
            row = self.model_.row_of(current.hash)
            if row >= 0:
                index = self.model_.index(row, 0)
                self.selectionModel().setCurrentIndex(
                    index,
                    QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows,
                )

    @property
    def current_row(self) -> PlanRow | None:
        index = self.currentIndex()
        return self.model_.rows[index.row()] if index.isValid() and index.row() < len(self.model_.rows) else None

    @property
    def hidden_columns(self) -> set[str]:
        return set(self._hidden)

    def hide_columns(self, keys: set[str]) -> None:
        """Columns the user does not want to see, by key."""
        self._hidden = set(keys)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Columns as wide as their words; the bar keeps its width, problems take what is left."""
        header, px = self.header(), self._theme.px
        narrow = self.width() < px(_NARROW_UNDER)
        for index, column in enumerate(self.model_.columns):
            header.setSectionHidden(index, column.key in self._hidden)
            fixed = column.key == "check"
            header.setSectionResizeMode(
                index, QHeaderView.ResizeMode.Fixed if fixed else QHeaderView.ResizeMode.Interactive
            )
            if column.key != "problems":
                header.resizeSection(index, self._column_width(column, narrow))
        self._was_narrow = narrow

    def _widen_numbers(self) -> None:
        """A number is never cut."""
        for index, column in enumerate(self.model_.columns):
            wanted = self._column_width(column, bool(self._was_narrow)) if column.key in _NUMBERS else 0
            if wanted > self.header().sectionSize(index) and not self.header().isSectionHidden(index):
                self.header().resizeSection(index, wanted)

    def _column_width(self, column: Column, narrow: bool) -> int:
        px = self._theme.px
        if column.key in _WIDTHS:
            return px(_NARROW_MEMORY if narrow and column.key == "memory" else _WIDTHS[column.key])
        metrics = QFontMetrics(self._theme.font("body", 600 if column.key in ("model", "needs") else 500))
        texts = {row.cells.get(column.key, "") for row in self.model_.rows}
        widest = max((metrics.horizontalAdvance(text) for text in texts), default=0)
        title = QFontMetrics(self._theme.font("dense", 500)).horizontalAdvance(column.title)
        most = (_MOST_NARROW if narrow else _MOST).get(column.key.partition(":")[0], 400)
        return min(px(most), max(widest, title) + px(20))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if (self.width() < self._theme.px(_NARROW_UNDER)) != self._was_narrow:
            self._fit_columns()

    def _sort(self, section: int, order: Qt.SortOrder) -> None:
        columns = self.model_.columns
        if 0 <= section < len(columns) and columns[section].key != "check":
            self.model_.sort(section, order)

    def _show_indicator(self) -> None:
        key, order = self.model_.sorting
        header = self.header()
        header.blockSignals(True)
        header.setSortIndicator(self.model_.column_of(key), order)
        header.blockSignals(False)

    # --- drawing ----------------------------------------------------------------------------------

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:  # type: ignore[override]
        super().drawRow(painter, option, index)
        if index.row() == self.currentIndex().row() and self.hasFocus():
            paint_row_focus(painter, self._theme, option.rect.adjusted(0, 0, 0, -1))

    # --- keys and mouse ---------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.current_row
        if row is not None and event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Select):
            self.toggle(row)
        elif row is not None and event.key() == Qt.Key.Key_Delete and row.state != "left_out":
            self.model_.leave_out_wanted.emit(row.hashes, True)
        else:
            super().keyPressEvent(event)

    def toggle(self, row: PlanRow) -> None:
        """Leave a configuration out or take it in again."""
        self.model_.leave_out_wanted.emit(row.hashes, row.state != "left_out")

    def open_fixes(self) -> None:
        """The current row's fixes as a menu (Alt+Enter)."""
        row = self.current_row
        if row is not None:
            rect = self.visualRect(self.model_.index(self.currentIndex().row(), self.model_.column_of("problems")))
            self._menu(row).popup(self.viewport().mapToGlobal(QPoint(rect.left(), rect.bottom())))

    def _context_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        if index.isValid():
            self._menu(self.model_.rows[index.row()]).popup(self.viewport().mapToGlobal(at))

    def _menu(self, row: PlanRow) -> QMenu:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for fix in row.fixes:
            if fix.path != "skip":
                self._entry(menu, fix_text(fix), partial(self.fix_wanted.emit, row.hash, fix))
        self._entry(menu, "Take in" if row.state == "left_out" else "Leave out", partial(self.toggle, row))
        return menu

    def _entry(self, menu: QMenu, text: str, slot: partial[None]) -> None:
        action = QAction(text, menu)
        action.triggered.connect(slot)
        menu.addAction(action)

    def button_at(self, at: QPoint) -> tuple[PlanRow, Button] | None:
        """The painted button under a point of the viewport."""
        index = self.indexAt(at)
        if not index.isValid() or self.model_.columns[index.column()].key != "problems":
            return None
        row = self.model_.rows[index.row()]
        buttons = self.delegate_.buttons(self.visualRect(index), row)
        return next(((row, b) for b in buttons if b.rect.contains(at)), None)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            hit = self.button_at(event.pos())
            if hit is not None and hit[1].fix is not None and hit[1].fix.note:
                QToolTip.showText(event.globalPos(), fix_text(hit[1].fix), self)
                return True
        return super().viewportEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        self._pressed = self.indexAt(event.position().toPoint())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        at = event.position().toPoint()
        index = self.indexAt(at)
        if event.button() != Qt.MouseButton.LeftButton or not index.isValid() or index != self._pressed:
            return
        hit = self.button_at(at)
        if hit is not None:
            row, button = hit
            if button.fix is None:
                self._menu(row).popup(self.viewport().mapToGlobal(button.rect.bottomLeft()))
            elif button.fix.path == "skip":
                self.model_.leave_out_wanted.emit(row.hashes, True)
            else:
                self.fix_wanted.emit(row.hash, button.fix)
        elif self.model_.columns[index.column()].key == "check":
            self.toggle(self.model_.rows[index.row()])

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._hover(event.position().toPoint())

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._hover(QPoint(-1, -1))

    def _hover(self, at: QPoint) -> None:
        before, self.delegate_.hovered = self.delegate_.hovered, at
        for point in (before, at):
            index = self.indexAt(point)
            if index.isValid():
                self.viewport().update(self.visualRect(index))
