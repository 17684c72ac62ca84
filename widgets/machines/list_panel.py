"""The list of machines: title, what it has, and the state of its link, one row a machine. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QResizeEvent
from PySide6.QtWidgets import QFrame, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from widgets.machines.words import MachineRow
from widgets.parts.components import Panel, label, line, tool_button
from widgets.parts.strokes import LEFT, RIGHT, draw_focus, draw_ground, draw_icon, draw_text
from widgets.theme.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole) + 1
HERE = (
    "Trials run in a runner of their own on this computer. They continue when the window closes; it catches up when it "
    "opens again."
)
FAR = "Trials continue there when the link breaks or the window closes; the window catches up when it is back."
_LOW = 360
_TONES = {"good": "status.good", "warn": "status.warn", "error": "status.error", "neutral": "text.muted"}


class MachineModel(QAbstractListModel):
    """Rows that stay are changed in place, so that the choice stays with them."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[MachineRow, ...] = ()

    def show_rows(self, rows: Sequence[MachineRow]) -> None:
        new, before = tuple(rows), self.rows
        if [r.id for r in new] != [r.id for r in before]:
            self.beginResetModel()
            self.rows = new
            self.endResetModel()
            return
        self.rows = new
        for place, (old, row) in enumerate(zip(before, new, strict=True)):
            if old != row:
                self.dataChanged.emit(self.index(place), self.index(place))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return row.sentence
        return row if role == ROW_ROLE else None


class MachineDelegate(QStyledItemDelegate):
    """An icon, two lines, and at the right the state as a word with its dot."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._theme.height("machine_row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = index.data(ROW_ROLE)
        if not isinstance(row, MachineRow):
            return
        theme, px, rect = self._theme, self._theme.px, option.rect
        painter.save()
        draw_ground(painter, theme, option)
        kind = "chip" if row.kind == "local" else "server"
        draw_icon(
            painter, theme, kind, "text.secondary", QRect(rect.left() + px(12), rect.top(), px(20), rect.height()), 20
        )
        strong, plain = theme.font("body", 500), theme.font("dense")
        state = QFontMetrics(plain).horizontalAdvance(row.link.state) + px(2)
        half = rect.height() // 2
        left, right = rect.left() + px(44), rect.right() - px(12)
        upper = QRect(left, rect.top() + px(4), right - left, half - px(4))
        lower = QRect(left, rect.top() + half, right - left, half - px(4))
        color = theme.color(_TONES[row.link.status])
        draw_text(painter, plain, color, upper, row.link.state, RIGHT)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color)
        edge = px(6)
        painter.drawEllipse(right - state - px(4) - edge, upper.center().y() - edge // 2 + 1, edge, edge)
        room = upper.adjusted(0, 0, -(state + edge + px(12)), 0)
        draw_text(painter, strong, theme.color("text.primary"), room, row.title, LEFT)
        draw_text(painter, plain, theme.color("text.muted"), lower, row.about, LEFT)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.subtle"))
        if option.state & QStyle.StateFlag.State_HasFocus:
            draw_focus(painter, theme, rect)
        painter.restore()


class MachineList(Panel):
    """Machines with "Add" in the header; a choice by mouse or arrow keys is said once."""

    chosen = Signal(str)
    """The id of the machine whose details are wanted."""
    add_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Machines", parent=parent)
        self._theme = theme
        self._quiet = False
        self.add = tool_button(
            theme,
            "plus",
            "Add",
            "Add a computer reached over SSH, or a Slurm cluster",
            self.add_wanted.emit,
            compact=True,
        )
        self.header.add_tool(self.add)
        self.model = MachineModel(self)
        self.view = QListView()
        self.view.setModel(self.model)
        self.view.setItemDelegate(MachineDelegate(theme, self.view))
        self.view.setAccessibleName("Machines")
        self.view.setMouseTracking(True)
        self.view.setFrameShape(QFrame.Shape.NoFrame)
        self.view.setUniformItemSizes(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.selectionModel().currentChanged.connect(self._current_changed)
        self.body.addWidget(self.view, 1)
        self.body.addWidget(line())
        self.hint = label(role="dense", tone="muted", wrap=True)
        self.body.addWidget(self.hint)
        theme.follow(self._restyle)

    @property
    def current(self) -> str:
        """Id of the chosen machine."""
        row = self.view.currentIndex().row()
        return self.model.rows[row].id if 0 <= row < len(self.model.rows) else ""

    def show_rows(self, rows: Sequence[MachineRow], chosen: str) -> None:
        """Other rows, or other states; nothing is said."""
        self._quiet = True
        self.model.show_rows(rows)
        place = next((i for i, row in enumerate(self.model.rows) if row.id == chosen), 0)
        if self.view.currentIndex().row() != place:
            self.view.setCurrentIndex(self.model.index(place))
        self._quiet = False
        self.header.set_count(str(len(rows)))
        self.hint.setText(HERE if len(rows) == 1 else FAR)

    def _current_changed(self) -> None:
        if not self._quiet and self.current:
            self.chosen.emit(self.current)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """In a low window the rows come first."""
        super().resizeEvent(event)
        self.hint.setVisible(self.height() > self._theme.px(_LOW))

    def _restyle(self) -> None:
        edge = self._theme.spacing("m")
        self.hint.setContentsMargins(edge, edge, edge, edge)
        self.setMinimumWidth(self._theme.px(220))
        self.view.doItemsLayout()
