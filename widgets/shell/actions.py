"""The one registry of actions: menus, toolbars, shortcuts, the palette and the shortcut sheet are fed from it.

An `Action` is data; `Actions` makes one QAction of each. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from widgets.theme.icons import icon
from widgets.theme.theme import Theme

MENUS = ("File", "Edit", "View", "Run", "Compare", "Machines", "Help")


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something a person can do."""

    id: str
    """"compare.export-chart": page or area, then the thing."""
    text: str
    """Sentence case, a verb first: "Stop and keep"."""
    handler: Callable[[], None]
    shortcut: str = ""
    """Portable text: "Ctrl+Shift+E"; several separated by ", " are alternatives."""
    icon: str = ""
    menu: str = ""
    """Menu path: "File", "View/Theme"; "" keeps it out of the menus (it is still in the palette)."""
    group: str = ""
    """Actions of one group stand together in a menu, groups are separated by a line."""
    enabled: Callable[[], bool] | None = None
    reason: str = ""
    """Why it is disabled when it is; shown in tooltip and palette."""
    checked: Callable[[], bool] | None = None
    """Makes the action checkable; says whether it is on."""
    page: str = ""
    """Only while this page is shown: "compare". The shortcut then works on that page only."""
    words: str = ""
    """More words the palette finds it by."""


class Actions(QObject):
    """All actions by id, in the order they were added."""

    changed = Signal()
    """Actions were added or removed: menus are built anew."""
    invoked = Signal(str)
    """An action's id, after its handler ran."""

    def __init__(self, window: QWidget, theme: Theme) -> None:
        super().__init__(window)
        self._window = window
        self._theme = theme
        self._actions: dict[str, Action] = {}
        self._made: dict[str, QAction] = {}
        self._announced: set[str] = set()
        self._page = ""
        theme.changed.connect(self._retint)

    def announce(self, *actions: Action) -> None:
        """Register what a page will bring when it is made: `add` of the same id takes the place."""
        self.add(*actions)
        self._announced |= {a.id for a in actions}

    def add(self, *actions: Action) -> None:
        """Register actions. ValueError for an id that is taken (an announced one is not) or a shortcut that is taken in
        the same place."""
        for action in actions:
            if action.id in self._announced:
                self._fulfil(action)
                continue
            if action.id in self._actions:
                raise ValueError(f"action {action.id!r} is registered twice")
            clash = self._clash(action)
            if clash:
                raise ValueError(f"{action.shortcut} of {action.id!r} belongs to {clash!r}")
            self._actions[action.id] = action
            self._made[action.id] = self._make(action)
        self.changed.emit()

    def _fulfil(self, action: Action) -> None:
        """Put an action where it was announced: menus and buttons keep the QAction they have."""
        clash = self._clash(action)
        if clash:
            raise ValueError(f"{action.shortcut} of {action.id!r} belongs to {clash!r}")
        self._announced.discard(action.id)
        self._actions[action.id] = action
        self._dress(action, self._made[action.id])

    def _clash(self, new: Action) -> str:
        keys = set(shortcuts(new))
        for old in self._actions.values():
            if (
                old.id != new.id
                and keys & set(shortcuts(old))
                and (not old.page or not new.page or old.page == new.page)
            ):
                return old.id
        return ""

    def _make(self, action: Action) -> QAction:
        made = QAction(self._window)
        made.setObjectName(action.id)
        made.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        made.setMenuRole(QAction.MenuRole.NoRole)
        made.triggered.connect(self._triggered)
        self._window.addAction(made)
        self._dress(action, made)
        return made

    def _dress(self, action: Action, made: QAction) -> None:
        """Words, keys, icon and state of an action."""
        made.setText(action.text)
        made.setShortcuts([QKeySequence(s) for s in shortcuts(action)])
        if action.icon:
            made.setIcon(icon(self._theme, action.icon))
        made.setCheckable(action.checked is not None)
        self._refresh(action, made)

    def _triggered(self) -> None:
        sender = self.sender()
        if sender is not None:
            self.invoke(sender.objectName())

    def invoke(self, id: str) -> bool:
        """Run an action by id if it is enabled now. -> whether it ran"""
        action = self._actions[id]
        if not self.is_enabled(id):
            self._refresh(action, self._made[id])
            return False
        action.handler()
        self.update()
        self.invoked.emit(id)
        return True

    def is_enabled(self, id: str) -> bool:
        action = self._actions[id]
        on_page = not action.page or action.page == self._page
        return on_page and (action.enabled is None or action.enabled())

    def why_not(self, id: str) -> str:
        """Why an action cannot run now; "" where it can, or where nothing is known of it."""
        action = self._actions[id]
        if self.is_enabled(id):
            return ""
        if action.page and action.page != self._page:
            return f"show the {action.page.capitalize()} page first"
        return action.reason

    def set_page(self, page: str) -> None:
        """Which page is shown; enables its actions."""
        self._page = page
        self.update()

    def update(self) -> None:
        """Ask every action anew whether it is enabled and checked."""
        for id, action in self._actions.items():
            self._refresh(action, self._made[id])

    def _refresh(self, action: Action, made: QAction) -> None:
        enabled = self.is_enabled(action.id)
        made.setEnabled(enabled)
        if action.checked is not None:
            made.setChecked(action.checked())
        keys = made.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        tip = f"{action.text} ({keys})" if keys else action.text
        if why_not := self.why_not(action.id):
            tip = f"{action.text}: {why_not}"
        made.setToolTip(tip)
        made.setStatusTip(tip)

    def _retint(self) -> None:
        for id, action in self._actions.items():
            if action.icon:
                self._made[id].setIcon(icon(self._theme, action.icon))

    def __getitem__(self, id: str) -> Action:
        return self._actions[id]

    def __contains__(self, id: object) -> bool:
        return id in self._actions

    def qaction(self, id: str) -> QAction:
        """The QAction of an id, for menus and tool buttons (`button.setDefaultAction`)."""
        return self._made[id]

    def all(self) -> tuple[Action, ...]:
        return tuple(self._actions.values())

    def remove(self, ids: Iterable[str]) -> None:
        """Forget actions (a page that is closed)."""
        for id in ids:
            self._actions.pop(id, None)
            self._announced.discard(id)
            made = self._made.pop(id, None)
            if made is not None:
                self._window.removeAction(made)
                made.deleteLater()
        self.changed.emit()


def shortcuts(action: Action) -> tuple[str, ...]:
    return tuple(s.strip() for s in action.shortcut.split(", ") if s.strip())
