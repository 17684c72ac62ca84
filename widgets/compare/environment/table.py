"""Facts of environments in columns: a tree of sections, each line a fact with its value on every side. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, QRect, QSize, Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from widgets.compare.environment.sections import Section, as_text, sections
from widgets.parts.strokes import RIGHT, draw_focus, draw_ground, draw_icon, draw_text
from widgets.parts.two_levels import Index, TwoLevelModel
from widgets.theme.theme import Theme
from workbench.machines.environment_diff import NOT_RECORDED, EnvironmentDiff, Line, told_apart

_ROLE = Qt.ItemDataRole
LINE_ROLE = int(_ROLE.UserRole) + 1
SECTION_ROLE = int(_ROLE.UserRole) + 2
_NAMES = 250
_PAD, _LEAD = 8, 30
_MEASURED = 200
"""Letters whose width says how many have room."""
MATTERS = "It may change figures although nobody chose it."


class EnvironmentModel(TwoLevelModel):
    """Sections at the top, lines below; an index' internal id is 0 for a section, otherwise 1 + its section's place."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.diff = EnvironmentDiff((), (), (), ())
        self.sections: tuple[Section, ...] = ()

    def show_diff(self, diff: EnvironmentDiff, search: str = "") -> None:
        self.beginResetModel()
        self.diff, self.sections = diff, sections(diff, search)
        self.endResetModel()

    def section_at(self, index: Index) -> Section | None:
        return self.sections[index.row()] if index.isValid() and index.internalId() == 0 else None

    def line_at(self, index: Index) -> Line | None:
        if not index.isValid() or index.internalId() == 0:
            return None
        return self.sections[int(index.internalId()) - 1].lines[index.row()]

    # --- structure --------------------------------------------------------------------------------

    def top_count(self) -> int:
        return len(self.sections)

    def inner_count(self, place: int) -> int:
        return len(self.sections[place].lines)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 1 + len(self.diff.sides)

    # --- content ----------------------------------------------------------------------------------

    def data(self, index: Index, role: int = _ROLE.DisplayRole) -> object:
        section, line = self.section_at(index), self.line_at(index)
        if section is not None:
            if role in (_ROLE.DisplayRole, _ROLE.AccessibleTextRole):
                return f"{section.title}, {len(section.lines)}" if index.column() == 0 else ""
            return section if role == SECTION_ROLE else None
        if line is None:
            return None
        if role == LINE_ROLE:
            return line
        first = index.column() == 0
        if role == _ROLE.DisplayRole:
            return line.title if first else line.values[index.column() - 1]
        if role == _ROLE.AccessibleTextRole and first:
            return f"{line.title}: {'; '.join(line.values)}. {MATTERS if line.matters else ''}".strip()
        if role == _ROLE.ToolTipRole:
            if first:
                return f"{line.name}. {MATTERS}" if line.matters else line.name
            return "\n".join(line.raw[index.column() - 1]) or NOT_RECORDED
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole) -> object:
        if orientation != Qt.Orientation.Horizontal or role not in (_ROLE.DisplayRole, _ROLE.ToolTipRole):
            return None
        return ("Fact", *self.diff.sides)[section]


class EnvironmentDelegate(QStyledItemDelegate):
    """Sections as bars, lines as one row of text; what matters has a mark."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._theme.height("sensor_row"))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        section, line = index.data(SECTION_ROLE), index.data(LINE_ROLE)
        painter.save()
        if isinstance(section, Section):
            self._section(painter, option, section)
        elif isinstance(line, Line):
            draw_ground(painter, self._theme, option)
            (self._name if index.column() == 0 else self._value)(painter, option, index, line)
            rect = option.rect
            painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), self._theme.color("border.subtle"))
        painter.restore()

    def _section(self, painter: QPainter, option: QStyleOptionViewItem, section: Section) -> None:
        theme, px, rect = self._theme, self._theme.px, option.rect
        painter.fillRect(rect, theme.color("bg.header"))
        opened = bool(option.state & QStyle.StateFlag.State_Open)
        draw_icon(
            painter,
            theme,
            "chevron-down" if opened else "chevron-right",
            "text.secondary",
            QRect(rect.left() + px(8), rect.top(), px(16), rect.height()),
        )
        font = theme.font("dense", 600)
        box = rect.adjusted(px(_LEAD), 0, -px(_PAD), 0)
        draw_text(painter, font, theme.color("text.primary"), box, section.title)
        painter.setFont(font)
        after = painter.fontMetrics().horizontalAdvance(section.title) + px(8)
        draw_text(
            painter,
            theme.font("dense"),
            theme.color("text.muted"),
            box.adjusted(after, 0, 0, 0),
            str(len(section.lines)),
        )
        if option.state & QStyle.StateFlag.State_HasFocus:
            draw_focus(painter, theme, rect)

    def _name(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, line: Line) -> None:
        theme, px, rect = self._theme, self._theme.px, option.rect
        section = index.parent().data(SECTION_ROLE)
        if line.matters:
            draw_icon(
                painter,
                theme,
                "warning",
                "status.warn",
                QRect(rect.left() + px(8), rect.top(), px(16), rect.height()),
                14,
            )
        box = rect.adjusted(px(_LEAD), 0, -px(_PAD), 0)
        font = theme.font("dense")
        if isinstance(section, Section) and not section.grouped:
            caption = theme.font("caption")
            painter.setFont(caption)
            room = painter.fontMetrics().horizontalAdvance(line.group)
            painter.setFont(font)
            if room + painter.fontMetrics().horizontalAdvance(line.title) + px(10) <= box.width():
                draw_text(painter, caption, theme.color("text.muted"), box, line.group, RIGHT)
        draw_text(painter, font, theme.color("text.primary" if line.differs else "text.secondary"), box, line.title)
        if option.state & QStyle.StateFlag.State_HasFocus:
            draw_focus(painter, theme, rect)

    def _value(self, painter: QPainter, option: QStyleOptionViewItem, index: Index, line: Line) -> None:
        theme, px = self._theme, self._theme.px
        box = option.rect.adjusted(px(_PAD), 0, -px(_PAD), 0)
        font = theme.font("dense", 500 if line.differs else 400)
        painter.setFont(font)
        text = line.values[index.column() - 1]
        wide = painter.fontMetrics().horizontalAdvance(text[:_MEASURED])
        if wide > box.width():
            room = max(8, box.width() * min(len(text), _MEASURED) // wide)
            text = told_apart(line.values, room)[index.column() - 1]
        missing = text == NOT_RECORDED or text.startswith("not available")
        tone = "text.muted" if missing else "text.primary" if line.differs else "text.secondary"
        draw_text(painter, font, theme.color(tone), box, text)


class EnvironmentTable(QTreeView):
    """Sections fold by click, Space and Enter; Ctrl+C copies the selected facts whole."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.facts = EnvironmentModel(self)
        self.setModel(self.facts)
        self.setItemDelegate(EnvironmentDelegate(theme, self))
        self.setAccessibleName("Facts of the environments")
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setExpandsOnDoubleClick(False)
        self.setUniformRowHeights(True)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        head = self.header()
        head.setStretchLastSection(False)
        head.setSectionsMovable(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        self._fit()
        self.doItemsLayout()

    def show_diff(self, diff: EnvironmentDiff, search: str = "") -> None:
        """Show another comparison, or the same one under a search."""
        self.facts.show_diff(diff, search)
        for place, section in enumerate(self.facts.sections):
            self.setFirstColumnSpanned(place, QModelIndex(), True)
            self.setExpanded(self.facts.index(place, 0), section.open)
        self._fit()

    def _fit(self) -> None:
        head = self.header()
        if not head.count():
            return
        head.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Interactive)
        head.resizeSection(0, self._theme.px(_NAMES))

    def _toggle(self, index: QModelIndex) -> bool:
        if self.facts.section_at(index) is None:
            return False
        first = index.siblingAtColumn(0)
        self.setExpanded(first, not self.isExpanded(first))
        return True

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and not event.modifiers() and index == self.currentIndex():
            self._toggle(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        elif event.key() not in keys or not self._toggle(self.currentIndex()):
            super().keyPressEvent(event)

    def copy(self) -> None:
        """The selected facts with whole values; a selected section is all of its facts."""
        lines: dict[str, Line] = {}
        for index in self.selectionModel().selectedRows():
            section, line = self.facts.section_at(index), self.facts.line_at(index)
            found = section.lines if section is not None else (line,) if line is not None else ()
            lines |= {one.name: one for one in found}
        if lines:
            QGuiApplication.clipboard().setText(as_text(self.facts.diff, tuple(lines.values())))
