"""The comparison table: keyboard, mouse, column widths, and what stays over a refresh. Main thread."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QStyleOptionViewItem, QTreeView, QWidget

from widgets.compare.table.delegate import PAD, TONES, CompareDelegate, message_left
from widgets.compare.table.header import TwoLineHeader
from widgets.compare.table.model import ROW_ROLE, CompareModel
from widgets.compare.table.views import RowView, TableView
from widgets.parts.two_levels import Index
from widgets.theme.theme import Theme
from workbench.export.spreadsheet import tab_separated

_WIDEST_LABEL = 280
_LEAST_LABEL = 140
_WIDEST_TRIALS = 156
_LEAD = 86
_CURSOR = QAbstractItemView.CursorAction
_FLAG = QItemSelectionModel.SelectionFlag


class CompareTable(QTreeView):
    """Rows are selected whole, the current cell has the ring; Enter or a click on a figure asks for its card."""

    card_asked = Signal(QModelIndex)
    eye_toggled = Signal(str)
    """Configuration id."""
    metric_chosen = Signal(str)
    """The user went to a column of this metric."""
    sort_asked = Signal(str)
    """Key of a column."""
    menu_asked = Signal(QPoint)
    """Global position."""
    delete_asked = Signal()
    chosen_changed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._fitting = False
        self._widths: dict[str, int] = {}
        """Widths the user gave, by column key."""
        self.compare_model = CompareModel(self)
        self.compare_delegate = CompareDelegate(theme, self)
        self.setModel(self.compare_model)
        self.setItemDelegate(self.compare_delegate)
        self.head = TwoLineHeader(theme, self.compare_model, self)
        self.setHeader(self.head)
        self.head.setSectionsClickable(True)  # `setHeader` turns it off
        self.setAccessibleName("Comparison")
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setExpandsOnDoubleClick(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMouseTracking(True)
        self.setTabKeyNavigation(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu_wanted)
        self.head.sectionClicked.connect(self._head_clicked)
        self.head.sectionResized.connect(self._resized_by_user)
        self.selectionModel().selectionChanged.connect(self.chosen_changed)
        self.selectionModel().currentChanged.connect(self._current_changed)
        theme.follow(self._restyle)
        # once the cells have their new sizes, too
        theme.changed.connect(self._fit_columns)

    def _restyle(self) -> None:
        self.compare_delegate.restyle()
        self._fit_columns()
        self.doItemsLayout()

    # --- content ----------------------------------------------------------------------------------

    @property
    def view(self) -> TableView:
        return self.compare_model.view

    def show_view(self, view: TableView, sort: str, descending: bool) -> None:
        """Another state of the table. Selection, current cell, open rows and scroll position stay with their rows."""
        self.head.sort, self.head.descending = sort, descending
        kept = self._state()
        columns = self.view.columns
        stayed = self.compare_model.show_view(view)
        if not stayed:
            self._restore(kept)
        if not stayed or columns != view.columns or not self._widths:
            self._fit_columns()
        self.head.viewport().update()

    def _state(self) -> tuple[set[str], set[str], tuple[str, str], tuple[int, int]]:
        current = self.current_row()
        column = self.compare_model.column_at(self.currentIndex().column())
        place = (current.key if current else "", column.key if column else "")
        scrolled = (self.verticalScrollBar().value(), self.horizontalScrollBar().value())
        return set(self.open_rows()), {r.key for r in self.chosen()}, place, scrolled

    def _restore(self, kept: tuple[set[str], set[str], tuple[str, str], tuple[int, int]]) -> None:
        opened, chosen, (row, column), (down, across) = kept
        model, selection = self.compare_model, self.selectionModel()
        quiet = selection.blockSignals(True)
        for place, view in enumerate(self.view.rows):
            if view.key in opened and view.children:
                self.expand(model.index(place, 0))
        last = len(self.view.columns) - 1
        picked = QItemSelection()
        for key in chosen:
            index = model.find(key)
            if index.isValid():
                picked.select(index, index.siblingAtColumn(last))
        selection.select(picked, _FLAG.ClearAndSelect)
        at = next((i for i, c in enumerate(self.view.columns) if c.key == column), 0)
        index = model.find(row, at) if row else QModelIndex()
        if index.isValid():
            selection.setCurrentIndex(index, _FLAG.NoUpdate)
        selection.blockSignals(quiet)
        self.verticalScrollBar().setValue(down)
        self.horizontalScrollBar().setValue(across)
        self.chosen_changed.emit()

    def open_rows(self) -> tuple[str, ...]:
        """Configurations whose trials are shown."""
        model = self.compare_model
        return tuple(r.key for i, r in enumerate(self.view.rows) if self.isExpanded(model.index(i, 0)))

    # --- choice -----------------------------------------------------------------------------------

    def current_row(self) -> RowView | None:
        return self.compare_model.row_at(self.currentIndex())

    def on_figure(self) -> bool:
        """Whether the current cell is one that has a card."""
        column = self.compare_model.column_at(self.currentIndex().column())
        return self.currentIndex().isValid() and column is not None and column.kind == "metric"

    def chosen(self) -> tuple[RowView, ...]:
        """The selected configurations and trials, as they stand."""
        rows = (self.compare_model.row_at(i) for i in self.selectionModel().selectedRows())
        return tuple(r for r in rows if r is not None)

    def chosen_trials(self) -> tuple[str, ...]:
        """Trials that are selected, or belong to a selected configuration."""
        found: dict[str, None] = {}
        for row in self.chosen():
            found |= dict.fromkeys([row.trial] if row.trial else [c.trial for c in row.children])
        return tuple(found)

    def ring(self, index: QModelIndex | None) -> None:
        """Mark the cell whose card is open."""
        row = self.compare_model.row_at(index) if index is not None else None
        self.compare_delegate.ringed = (row.key, index.column()) if row is not None and index is not None else None
        self.viewport().update()

    def cell_rect(self, index: QModelIndex) -> QRect:
        """A cell in the table's own coordinates; empty where it is not visible."""
        rect = self.visualRect(index)
        return rect.translated(self.viewport().pos()) if rect.isValid() else rect

    def _current_changed(self, current: QModelIndex, _before: QModelIndex) -> None:
        column = self.compare_model.column_at(current.column()) if current.isValid() else None
        if column is not None and column.metric:
            self.metric_chosen.emit(column.metric)

    # --- mouse and keyboard -----------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        index = self.indexAt(event.position().toPoint())
        row = self.compare_model.row_at(index)
        if event.button() == Qt.MouseButton.LeftButton and row is not None and index.column() == 0:
            parts = self.compare_delegate.parts(self.visualRect(index))
            at = event.position().toPoint()
            if parts["expander"].contains(at) and row.children:
                self.setExpanded(index, not self.isExpanded(index))
                return
            if parts["eye"].contains(at) and (not row.trial or row.flat):
                self.eye_toggled.emit(row.configuration)
                return
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and plain and index == self.currentIndex():
            self._ask_card(index)

    def _ask_card(self, index: QModelIndex) -> None:
        column = self.compare_model.column_at(index.column()) if index.isValid() else None
        if column is not None and column.kind == "metric":
            self.card_asked.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index, key = self.currentIndex(), Qt.Key(event.key())
        first = index.siblingAtColumn(0)
        row = self.compare_model.row_at(index)
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and row is not None:
            column = self.compare_model.column_at(index.column())
            if column is not None and column.kind == "metric":
                self._ask_card(index)
            elif row.children:
                self.setExpanded(first, not self.isExpanded(first))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Minus) and row is not None:
            self.setExpanded(first, key == Qt.Key.Key_Plus)
        elif key == Qt.Key.Key_Space and row is not None:
            self.eye_toggled.emit(row.configuration)
        elif key == Qt.Key.Key_Delete and row is not None:
            self.delete_asked.emit()
        else:
            super().keyPressEvent(event)

    def moveCursor(self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier) -> QModelIndex:
        """Left and right go from cell to cell; at the first column they close and open the row."""
        index = self.currentIndex()
        step = {_CURSOR.MoveLeft: -1, _CURSOR.MoveRight: 1}.get(action)
        if step is None or not index.isValid():
            return super().moveCursor(action, modifiers)
        if index.column() == 0 and step < 0:
            if self.isExpanded(index):
                self.collapse(index)
            elif index.parent().isValid():
                return index.parent()
            return index
        wanted = index.column() + step
        return index.siblingAtColumn(wanted) if wanted < len(self.view.columns) else index

    def _menu_wanted(self, at: QPoint) -> None:
        index = self.indexAt(at)
        if index.isValid() and not self.selectionModel().isSelected(index):
            self.selectionModel().setCurrentIndex(index, _FLAG.ClearAndSelect | _FLAG.Rows)
        self.menu_asked.emit(self.viewport().mapToGlobal(at))

    def _head_clicked(self, section: int) -> None:
        column = self.compare_model.column_at(section)
        if column is not None:
            self.sort_asked.emit(column.key)
            if column.metric:
                self.metric_chosen.emit(column.metric)

    def copy(self) -> None:
        """The selected rows as tab-separated text under the heads."""
        model = self.compare_model
        heads = [" ".join(p for p in (c.title, c.detail) if p) for c in self.view.columns]
        lines = [heads]
        for index in self.selectionModel().selectedRows():
            lines.append([str(model.index(index.row(), c, index.parent()).data()) for c in range(len(heads))])
        QGuiApplication.clipboard().setText(tab_separated(lines))

    # --- column widths ----------------------------------------------------------------------------

    @property
    def widths(self) -> dict[str, int]:
        """What the user set, by column key, to be remembered."""
        return dict(self._widths)

    def set_widths(self, widths: dict[str, int]) -> None:
        self._widths = {k: w for k, w in widths.items() if 40 <= w <= 2000}
        self._fit_columns()

    def _resized_by_user(self, section: int, _old: int, new: int) -> None:
        column = self.compare_model.column_at(section)
        if not self._fitting and column is not None:
            self._widths[column.key] = new

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def _fit_columns(self) -> None:
        """Every column as wide as its widest cell; what is left over goes to the columns evenly."""
        columns = self.view.columns
        if not columns:
            return
        wanted = [self._natural_width(i) for i in range(len(columns))]
        room = self.viewport().width() - sum(wanted)
        for i in (i for i, c in enumerate(columns) if c.kind == "trials" and room > 0):
            more = min(self._natural_width(i, whole=True) - wanted[i], room)
            wanted[i], room = wanted[i] + more, room - more
        loose = [i for i, c in enumerate(columns) if c.key not in self._widths and c.kind != "trials"]
        if room > 0 and loose:
            share, rest = divmod(room, len(loose))
            for i in loose:
                wanted[i] += share
            wanted[loose[-1]] += rest
        elif room < 0:
            # words of verdicts and names may be shortened, numbers may not
            for i in (*(i for i in loose if columns[i].metric), *(i for i in loose if columns[i].kind == "label")):
                least = self._least_width(i)
                taken = min(max(wanted[i] - least, 0), -room)
                wanted[i] -= taken
                room += taken
        self._fitting = True
        for i, width in enumerate(wanted):
            self.setColumnWidth(i, width)
        self._fitting = False

    def _natural_width(self, place: int, *, whole: bool = False) -> int:
        """`whole`: where there is room for all that is said of trials."""
        column = self.view.columns[place]
        if column.key in self._widths:
            return self._widths[column.key]
        numbers = column.kind != "label"
        head = self.head.width_of(column, self._theme.px(_LEAD if place == 0 else PAD))
        seen = {r.cells[place]: None for r in self.view.rows}
        seen |= {c.cells[place]: None for r in self.view.rows for c in r.children[:3]}
        delegate = self.compare_delegate
        widest = max((delegate.width_of(c, first=place == 0, numbers=numbers) for c in seen), default=0)
        if column.kind == "trials" and not whole:
            widest = min(widest, self._theme.px(_WIDEST_TRIALS))
        if not numbers:
            widest = min(widest, self._theme.px(_WIDEST_LABEL + (_LEAD if place == 0 else 0)))
        return max(head, widest)

    def _least_width(self, place: int) -> int:
        """What a column needs when its names and verdict words are shortened."""
        column = self.view.columns[place]
        if not column.metric:
            return self._theme.px(_LEAD + _LEAST_LABEL if place == 0 else _LEAST_LABEL)
        short = [replace(r.cells[place], word=_shortened(r.cells[place].word)) for r in self.view.rows]
        widest = max((self.compare_delegate.width_of(c, first=False, numbers=True) for c in short), default=0)
        return max(widest, self.head.width_of(column, self._theme.px(PAD)))

    # --- painting ---------------------------------------------------------------------------------

    def drawBranches(self, painter: QPainter, rect: QRect, index: Index) -> None:
        """Nothing: the delegate paints the expander."""

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        super().drawRow(painter, option, index)
        row = index.data(ROW_ROLE)
        if not isinstance(row, RowView) or not row.message:
            return
        theme, px = self._theme, self._theme.px
        left = message_left(theme) - self.horizontalScrollBar().value()
        if row.flat:
            place = next((i for i, c in enumerate(self.view.columns) if c.kind == "metric"), 0)
            left = self.columnViewportPosition(place) + px(PAD)
        box = option.rect
        line = QRect(left, box.top() + px(21), self.viewport().width() - left - px(PAD), px(15))
        painter.save()
        painter.setFont(theme.font("dense"))
        painter.setPen(theme.color(TONES[row.tone]))
        text = painter.fontMetrics().elidedText(row.message, Qt.TextElideMode.ElideRight, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.restore()


def _shortened(word: str) -> str:
    """As much of a verdict as tells it from the others."""
    return word if len(word) <= 13 else f"{word[:12]}…"
