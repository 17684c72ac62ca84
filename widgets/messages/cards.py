"""The cards over the window, imported and made when they are first asked for: none is needed to paint the frame.

Owned by the window; main thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from widgets.shell.services import Services

if TYPE_CHECKING:
    from widgets.messages.history_panel import HistoryPanel
    from widgets.palette.palette import Palette
    from widgets.palette.shortcuts_sheet import ShortcutsSheet
    from widgets.shell.about import AboutCard


class Cards(QObject):
    """Palette, shortcut sheet, message history, about."""

    def __init__(self, services: Services, host: QWidget) -> None:
        super().__init__(host)
        self._services = services
        self._host = host
        self._palette: Palette | None = None
        self._sheet: ShortcutsSheet | None = None
        self._history: HistoryPanel | None = None
        self._about: AboutCard | None = None

    def open_palette(self) -> None:
        self.palette.open()

    def open_sheet(self) -> None:
        self.sheet.open()

    def open_about(self) -> None:
        self.about.open()

    @property
    def palette(self) -> Palette:
        if self._palette is None:
            from widgets.palette.items import PaletteItems
            from widgets.palette.palette import Palette

            self._palette = Palette(self._services.theme, self._services.actions, self._host)
            PaletteItems(self._services, self._palette)
        return self._palette

    @property
    def sheet(self) -> ShortcutsSheet:
        if self._sheet is None:
            from widgets.palette.shortcuts_sheet import ShortcutsSheet

            self._sheet = ShortcutsSheet(self._services.theme, self._services.actions, self._host)
        return self._sheet

    @property
    def history(self) -> HistoryPanel:
        if self._history is None:
            from widgets.messages.history_panel import HistoryPanel

            self._history = HistoryPanel(self._services.theme, self._services.toasts, self._host)
        return self._history

    @property
    def about(self) -> AboutCard:
        if self._about is None:
            from widgets.shell.about import AboutCard

            self._about = AboutCard(self._services.theme, self._host)
        return self._about
