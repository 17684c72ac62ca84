"""The menu bar, built from the registry of actions, and its corner. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QMenu, QMenuBar, QSizePolicy, QWidget

from widgets.messages.toasts import Toasts
from widgets.parts.components import IconLabel, ToolButton, label, tool_button
from widgets.shell.actions import MENUS, Action, Actions
from widgets.theme.theme import Theme

_LAST = ("quit", "about")
"""Groups that end their menus, whatever pages add."""


class Menus(QObject):
    """Fills a menu bar. A menu without actions is not shown. Built anew when actions are added or removed."""

    def __init__(self, bar: QMenuBar, actions: Actions) -> None:
        super().__init__(bar)
        self._actions = actions
        self._menus: dict[str, QMenu] = {}
        self._late = QTimer(self, interval=0, singleShot=True)
        self._late.timeout.connect(self.build)
        actions.changed.connect(self._late.start)
        for name in MENUS:
            self._menus[name] = bar.addMenu(f"&{name}")
        self.build()

    def build(self) -> None:
        for name, menu in self._menus.items():
            for child in menu.findChildren(QMenu):
                child.deleteLater()
            menu.clear()
            self._fill(menu, name)
            menu.menuAction().setVisible(not menu.isEmpty())
            menu.setToolTipsVisible(True)

    def _fill(self, menu: QMenu, path: str) -> None:
        group = None
        depth = path.count("/") + 1
        subs: dict[str, QMenu] = {}
        for action in in_groups([a for a in self._actions.all() if f"{a.menu}/".startswith(f"{path}/")]):
            if group is not None and action.group != group:
                menu.addSeparator()
            group = action.group
            if action.menu == path:
                menu.addAction(self._actions.qaction(action.id))
            else:
                sub = action.menu.split("/")[depth]
                if sub not in subs:
                    subs[sub] = menu.addMenu(sub)
                    self._fill(subs[sub], f"{path}/{sub}")


def in_groups(actions: Sequence[Action]) -> list[Action]:
    """Actions of one group together, the groups in the order in which they first appear."""
    groups: dict[str, list[Action]] = {}
    for action in actions:
        groups.setdefault(action.group, []).append(action)
    return [a for group in sorted(groups, key=_LAST.__contains__) for a in groups[group]]


class Bell(ToolButton):
    """Has a dot while there are messages nobody has looked at; the tooltip says how many."""

    dot = False

    def set_dot(self, on: bool) -> None:
        self.dot = on
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self.dot:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("accent.default"))
        edge = self._theme.px(7)
        painter.drawEllipse(self.width() // 2 + self._theme.px(2), self._theme.px(3), edge, edge)
        painter.end()


class Corner(QWidget):
    """Right end of the menu bar: the palette field (a button), the theme button, the bell."""

    palette_asked = Signal()
    theme_asked = Signal()
    history_asked = Signal()

    def __init__(self, theme: Theme, toasts: Toasts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._toasts = toasts
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, theme.px(8), 0)
        self._row.setSpacing(theme.px(4))
        tip = "Find an action, an experiment or a trial (Ctrl+K)"
        self.field = ToolButton(theme, tip=tip, kind="field", parent=self)
        self.field.setAccessibleName("Command palette")
        self.field.clicked.connect(self.palette_asked)
        inside = QHBoxLayout(self.field)
        inside.setContentsMargins(theme.px(8), 0, theme.px(8), 0)
        inside.setSpacing(theme.px(8))
        parts: tuple[QLabel, ...] = (
            IconLabel(theme, "search", "text.muted", 14),
            label("Actions, experiments, trials", tone="muted"),
        )
        for part in parts:
            inside.addWidget(part)
        inside.addStretch(1)
        inside.addWidget(label("Ctrl+K", role="dense", tone="muted"))
        self.theme_button = tool_button(theme, "moon", clicked=self.theme_asked.emit, compact=True)
        self.bell = Bell(theme, "bell", tip="Messages", compact=True, parent=self)
        self.bell.clicked.connect(self.history_asked)
        for widget in (self.field, self.theme_button, self.bell):
            self._row.addWidget(widget)
        toasts.added.connect(self._count)
        toasts.read.connect(self._count)
        theme.follow(self._restyle)
        self._count()

    def _count(self) -> None:
        unread = self._toasts.unread
        self.bell.set_dot(unread > 0)
        words = f"{unread} unread" if unread else "nothing new"
        self.bell.set_tip(f"Messages: {words}")

    def _restyle(self) -> None:
        theme = self._theme
        self.theme_button.set_icon("sun" if theme.is_dark else "moon")
        self.theme_button.set_tip("Use the light theme" if theme.is_dark else "Use the dark theme")
        self.field.setFixedSize(theme.px(320), theme.height("control_small"))
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(theme.height("menu_bar") - 1)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self._theme.height("menu_bar") - 1)
