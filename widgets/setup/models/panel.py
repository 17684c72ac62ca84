"""The Models panel: search, facets, the list with ticks, Add folder. Shows what it is given, reports what is wanted.

Main thread.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QObject, QRect, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup, QFontMetrics, QKeyEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QStyleOptionViewItem, QToolButton, QVBoxLayout, QWidget

from widgets.parts.check_tree import CheckTree, RowDelegate
from widgets.parts.components import Panel, ToolButton, tool_button
from widgets.parts.grouped_model import Row
from widgets.parts.search_field import SearchField
from widgets.parts.strokes import LEFT, RIGHT, button_width, draw_button, draw_check, draw_ground, draw_text
from widgets.setup.models.rows import Facets, ModelGroup, ModelRow, facet_values, narrowed
from widgets.theme.theme import Theme

FACETS = (("source", "Source"), ("family", "Family"), ("size", "Size"), ("architecture", "Type"))
_FOUR_FACETS = 312


class ModelsPanel(Panel):
    """Filtering happens here; which rows there are and which are ticked is the page's."""

    toggled = Signal(str, bool, object)
    """A model's ref, whether it is to be taken in, its other names."""
    fetch_wanted = Signal()
    folder_wanted = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Models", parent=parent)
        self._theme = theme
        self._groups: tuple[ModelGroup, ...] = ()
        self.facets = Facets()
        self.add_folder = tool_button(
            theme, "folder", "Add folder", "Look for models in another folder", self.folder_wanted.emit, compact=True
        )
        self.header.add_tool(self.add_folder)
        self.search = SearchField(theme, "Ctrl+F")
        self.search.setPlaceholderText("Name, family or hub id")
        self.search.setAccessibleName("Find models by name, family or hub id")
        self.search.textChanged.connect(self._narrow)
        self.search.installEventFilter(self)
        self._facet_buttons = {name: self._facet(name, title) for name, title in FACETS}
        tools = QWidget()
        column = QVBoxLayout(tools)
        self._tools = column
        column.addWidget(self.search)
        row = QHBoxLayout()
        row.setSpacing(theme.px(6))
        for button in self._facet_buttons.values():
            row.addWidget(button, 1)
        column.addLayout(row)
        self.body.addWidget(tools)
        self.tree = CheckTree(theme, "Models", ModelDelegate(theme), whole_row=True)
        self.tree.model_.toggle_wanted.connect(self._toggled)
        self.tree.button_pressed.connect(self._button)
        self.body.addWidget(self.tree, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._tools.setContentsMargins(px(12), px(10), px(12), px(8))
        self._tools.setSpacing(px(8))
        self.setMinimumWidth(px(272))

    def show_groups(self, groups: tuple[ModelGroup, ...], chosen: int) -> None:
        """All rows, unfiltered, with their ticks."""
        self._groups = groups
        self.header.set_count(f"{chosen} selected" if chosen else "")
        self._fill_facets()
        self._narrow()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The last facet gives way in a narrow panel unless it narrows the list."""
        super().resizeEvent(event)
        last = FACETS[-1][0]
        wide = self.width() >= self._theme.px(_FOUR_FACETS)
        self._facet_buttons[last].setVisible(wide or bool(getattr(self.facets, last)))

    def focus_search(self) -> None:
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _narrow(self) -> None:
        self.tree.show_groups(narrowed(self._groups, self.search.text(), self.facets))

    def _toggled(self, key: str, on: bool) -> None:
        row = next((r for g in self.tree.model_.groups for r in g.rows if r.key == key), None)
        aliases = row.aliases if isinstance(row, ModelRow) else ()
        offered = self.tree.model_.groups[0].key == "offer" and key == self.tree.model_.groups[0].rows[0].key
        self.toggled.emit(key, on, aliases)
        if offered:
            self.search.clear()

    def _button(self, _key: str) -> None:
        self.fetch_wanted.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """From the search field: Down goes into the list, Enter takes what was typed, Escape empties."""
        if watched is self.search and event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            if event.key() == Qt.Key.Key_Down:
                self.tree.setFocus(Qt.FocusReason.TabFocusReason)
                return True
            if event.key() == Qt.Key.Key_Escape and self.search.text():
                self.search.clear()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
                self._take_typed()
                return True
        return super().eventFilter(watched, event)

    def _take_typed(self) -> None:
        groups = self.tree.model_.groups
        if groups and groups[0].key == "offer":
            self._toggled(groups[0].rows[0].key, True)

    # --- facets -----------------------------------------------------------------------------------

    def _facet(self, name: str, title: str) -> ToolButton:
        button = ToolButton(self._theme, text=title, tip=f"{title}: all", kind="box", compact=True, checkable=True)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(QMenu(button))
        button.setObjectName(f"facet-{name}")
        button.setProperty("role", "dense")
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        return button

    def _fill_facets(self) -> None:
        for (name, title), values in zip(FACETS, facet_values(self._groups).values(), strict=True):
            menu = self._facet_buttons[name].menu()
            wanted = ("", *values)
            if tuple(action.data() for action in menu.actions()) == wanted:
                continue
            menu.clear()
            group = QActionGroup(menu)
            for value in wanted:
                action = QAction(value or f"All ({title.lower()})", menu)
                action.setData(value)
                action.setCheckable(True)
                action.setChecked(value == getattr(self.facets, name))
                action.triggered.connect(partial(self.set_facet, name, value))
                group.addAction(action)
                menu.addAction(action)

    def set_facet(self, name: str, value: str, *_: object) -> None:
        """Narrow the list by a facet; "" takes it away."""
        self.facets = Facets(**{n: value if n == name else getattr(self.facets, n) for n, _ in FACETS})
        title = dict(FACETS)[name]
        button = self._facet_buttons[name]
        button.setText(f"{title} {value}" if name == "size" and value else value or title)
        button.setAccessibleName(f"{title}: {value or 'all'}")
        button.setToolTip(f"{title}: {value or 'all'}")
        button.setChecked(bool(value))
        for action in button.menu().actions():
            action.setChecked(action.data() == value)
        self._narrow()


class ModelDelegate(RowDelegate):
    """40 px: tick, name and size, facts and state; a button or a bar where the model can be fetched."""

    height = "row_two_lines"

    def button_text(self, row: Row) -> str:
        return row.action if isinstance(row, ModelRow) else ""

    def button_rect(self, rect: QRect, row: Row) -> QRect:
        height = self._theme.height("control_inline")
        width = button_width(self._theme, self.button_text(row))
        right = rect.right() - self._theme.px(12)
        return QRect(right - width + 1, rect.top() + (rect.height() - height) // 2, width, height)

    def paint_row(self, painter: QPainter, option: QStyleOptionViewItem, row: Row) -> None:
        assert isinstance(row, ModelRow)
        theme, px, rect = self._theme, self._theme.px, option.rect
        draw_ground(painter, theme, option, chosen=row.checked)
        draw_check(
            painter, theme, QRect(rect.left() + px(12), rect.top(), px(16), rect.height()), row.checked, row.enabled
        )
        left, right = rect.left() + px(36), rect.right() - px(12)
        half = px(16)
        top = rect.top() + (rect.height() - 2 * half) // 2
        first = QRect(left, top, right - left + 1, half)
        second = QRect(left, top + half, right - left + 1, half)
        plain = row.enabled or row.busy or row.action
        name, small = theme.font("body", 500), theme.font("dense")
        if row.action:
            button = self.button_rect(rect, row)
            draw_button(painter, theme, button, row.action)
            first.setRight(button.left() - px(8))
            second.setRight(first.right())
        elif row.size:
            width = QFontMetrics(small).horizontalAdvance(row.size) + 2
            color = theme.color("text.secondary" if plain else "text.disabled")
            draw_text(painter, small, color, first, row.size, RIGHT)
            first.setRight(right - width - px(8))
        draw_text(painter, name, theme.color("text.primary" if plain else "text.disabled"), first, row.title, LEFT)
        if row.busy:
            self._paint_progress(painter, second, row)
            return
        if row.state and not row.action and not row.reason:
            metrics = QFontMetrics(small)
            width = metrics.horizontalAdvance(row.state) + 2
            if metrics.horizontalAdvance(row.detail) + width + px(8) <= second.width() or not row.detail:
                # where both do not fit the facts stay; group and tooltip say the state
                draw_text(painter, small, theme.color("text.muted"), second, row.state, RIGHT)
                second.setRight(right - width - px(8))
        draw_text(painter, small, theme.color("text.muted"), second, row.reason or row.detail, LEFT)
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("border.subtle"))

    def _paint_progress(self, painter: QPainter, box: QRect, row: ModelRow) -> None:
        theme = self._theme
        small = theme.font("dense")
        if row.progress is not None:
            bar = QRect(box.left(), box.center().y() - theme.px(2), theme.px(72), theme.height("progress"))
            painter.fillRect(bar, theme.color("border.default"))
            done = round(bar.width() * min(1.0, max(0.0, row.progress)))
            painter.fillRect(QRect(bar.left(), bar.top(), done, bar.height()), theme.color("accent.default"))
            box = box.adjusted(bar.width() + theme.px(8), 0, 0, 0)
        draw_text(painter, small, theme.color("text.muted"), box, row.busy)
