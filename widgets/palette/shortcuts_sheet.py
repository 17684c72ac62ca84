"""The sheet of all shortcuts, read from the registry of actions. A child of the window; Esc closes it. Main thread."""

from __future__ import annotations

from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QGridLayout, QScrollArea, QWidget

from widgets.messages.overlay import Overlay
from widgets.parts.components import PanelHeader, label, tool_button
from widgets.shell.actions import Action, Actions
from widgets.theme.theme import Theme

FIXED = (
    ("Next or previous part", "Tab, Shift+Tab"),
    ("Close a card, the palette, this sheet", "Esc"),
    ("Open a menu", "Alt, F10"),
)
"""Keys that Qt itself provides, without an action."""


def grouped(actions: tuple[Action, ...]) -> dict[str, list[Action]]:
    """Actions that have a shortcut, by page or top menu, in the order of the registry."""
    groups: dict[str, list[Action]] = {}
    for action in actions:
        if action.shortcut:
            name = action.page.capitalize() or action.menu.partition("/")[0] or "Everywhere"
            groups.setdefault(name, []).append(action)
    return groups


class ShortcutsSheet(Overlay):
    """Two columns of groups; built anew each time it opens, so that it is never behind the registry."""

    def __init__(self, theme: Theme, actions: Actions, host: QWidget) -> None:
        super().__init__(theme, host, "Keyboard shortcuts")
        self._actions = actions
        column = self.inner_column()
        header = PanelHeader(theme, "Keyboard shortcuts", "only on their page where a page is named")
        header.add_tool(tool_button(theme, "close", tip="Close", clicked=self.leave, compact=True))
        column.addWidget(header)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setProperty("ring", False)
        column.addWidget(self._scroll)

    def open(self) -> None:
        self._fill()
        self.place()
        self.appear()

    def place(self) -> None:
        width = min(self.theme.px(800), self.host.width() - 80)
        self.resize(width, min(self.theme.px(560), self.host.height() - 120))
        self.centre()

    def _fill(self) -> None:
        inner = QWidget()
        inner.setProperty("ground", "raised")
        grid = QGridLayout(inner)
        pad = self.theme.px(16)
        grid.setContentsMargins(pad, pad, pad, pad)
        grid.setHorizontalSpacing(self.theme.px(24))
        grid.setVerticalSpacing(self.theme.px(4))
        groups = [
            (name, [(a.text, self._keys(a.id)) for a in actions])
            for name, actions in grouped(self._actions.all()).items()
        ]
        groups.append(("Everywhere", list(FIXED)))
        total = sum(len(rows) + 2 for _, rows in groups)
        row, side, used = 0, 0, 0
        for name, rows in groups:
            if side == 0 and used >= total / 2:
                row, side = 0, 3
            grid.addWidget(label(name, role="panel_title"), row, side, 1, 2)
            for offset, (text, keys) in enumerate(rows, start=1):
                grid.addWidget(label(text, tone="secondary"), row + offset, side)
                grid.addWidget(label(keys, role="mono", tone="primary"), row + offset, side + 1)
            row += len(rows) + 2
            used += len(rows) + 2
            grid.addWidget(label(""), row - 1, side)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(3, 1)
        grid.setRowStretch(grid.rowCount(), 1)
        self._scroll.setWidget(inner)

    def _keys(self, id: str) -> str:
        return self._actions.qaction(id).shortcut().toString(QKeySequence.SequenceFormat.NativeText)
