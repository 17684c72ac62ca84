"""The sheet that compares environments: facts of the selected rows side by side over the Compare page. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from widgets.compare.environment.sections import as_text, counts
from widgets.compare.environment.table import MATTERS, EnvironmentTable
from widgets.messages.overlay import Overlay
from widgets.parts.components import EmptyState, IconLabel, PanelHeader, label, tool_button
from widgets.parts.layout import set_ground, stacked
from widgets.parts.search_field import SearchField
from widgets.theme.theme import Theme
from workbench.machines.environment_diff import Side, compare_environments

_WIDTH, _HEIGHT, _ROOM = 1040, 680, 48


class EnvironmentSheet(Overlay):
    """Opened with one to four sides; Esc empties the search, then closes."""

    copied = Signal()

    def __init__(self, theme: Theme, host: QWidget) -> None:
        super().__init__(theme, host, "Environments")
        self.diff = compare_environments()
        self.header = PanelHeader(theme, "Environments")
        self.search = SearchField(theme)
        self.search.setPlaceholderText("Find a fact or value")
        self.search.setAccessibleName("Find a fact or value")
        self.search.textChanged.connect(self._search)
        self.header.add_tool(self.search)
        self.header.add_tool(
            tool_button(theme, "copy", tip="Copy all facts with whole values", clicked=self._copy, compact=True)
        )
        self.header.add_tool(tool_button(theme, "close", tip="Close (Esc)", clicked=self.leave, compact=True))
        self.table = EnvironmentTable(theme)
        self.empty = EmptyState(theme, "No fact matches")
        self._pages = stacked(self.table, self.empty)
        self._legend = QFrame()
        self._legend_row = QHBoxLayout(self._legend)
        self._legend_row.addWidget(IconLabel(theme, "warning", "status.warn", 14, meaning="warning"))
        self._legend_row.addWidget(label(MATTERS, role="dense", tone="muted"))
        self._legend_row.addStretch(1)
        column = self.inner_column()
        column.addWidget(self.header)
        column.addWidget(self._pages, 1)
        set_ground(self._legend, "panel", "top")
        column.addWidget(self._legend)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self.theme.px
        self.search.setFixedWidth(px(230))
        self._legend_row.setContentsMargins(px(8), px(5), px(12), px(6))
        self._legend_row.setSpacing(px(6))
        self.follow()

    def show_sides(self, sides: Sequence[Side]) -> None:
        """Open with these; a search from before is gone."""
        self.diff = compare_environments(*sides)
        self.header.set_title("Environment" if len(sides) == 1 else "Environments")
        self.header.set_count(counts(self.diff))
        self._legend.setVisible(any(line.matters for line in self.diff.differing))
        self.search.clear()
        self._search("")
        self.follow()
        self.appear(self.table)

    def follow(self) -> None:
        """Take the size that the page has room for."""
        px, host = self.theme.px, self.host
        self.resize(min(px(_WIDTH), host.width() - _ROOM), min(px(_HEIGHT), host.height() - _ROOM))
        self.centre()

    def _search(self, text: str) -> None:
        self.table.show_diff(self.diff, text)
        found = bool(self.table.facts.sections)
        self._pages.setCurrentIndex(0 if found else 1)
        if not found and not self.diff.lines:
            self.empty.set(
                "No facts are stored", "Trials record them at their start; a trial that never started has none."
            )
        elif not found:
            self.empty.set("No fact matches", "Names, groups and values are searched.")

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(as_text(self.diff))
        self.copied.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.search.text():
            self.search.clear()
        elif event.key() == Qt.Key.Key_F and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        else:
            super().keyPressEvent(event)
