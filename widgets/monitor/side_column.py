"""The right column of the Monitor page, sensors over queue: there on a wide page, behind a button on a narrow one.

Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QSettings, Qt, Signal
from PySide6.QtWidgets import QSplitter, QWidget

from widgets.theme.theme import Theme

NARROW = 1280
"""Below this window width the column is behind a button."""
_RAIL = 72
_KEY = "monitor/side"


class SideColumn(QSplitter):
    """The user's wish holds until the page becomes narrow or wide."""

    arranged = Signal(bool, bool)
    """Whether it is shown, and whether a button to change that is needed."""

    def __init__(self, theme: Theme, upper: QWidget, lower: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Vertical, parent)
        self._theme = theme
        self._narrow = False
        self._wanted: bool | None = None
        """None: as the room allows."""
        self.setObjectName("side")
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        self.addWidget(upper)
        self.addWidget(lower)
        self.setStretchFactor(1, 1)
        self.setSizes([248, 460])

    def shown(self) -> bool:
        return not self._narrow if self._wanted is None else self._wanted

    def set_shown(self, shown: bool) -> None:
        """As the user asks."""
        self._wanted = shown
        self._arrange()

    def toggle(self) -> None:
        self.set_shown(not self.shown())

    def close_(self) -> None:
        self.set_shown(False)

    def set_room(self, width: int) -> None:
        """`width` of the page in pixels, called with every size of it."""
        narrow = width < NARROW - self._theme.px(_RAIL)
        if narrow != self._narrow:
            self._narrow, self._wanted = narrow, None
        self._arrange()

    def _arrange(self) -> None:
        shown = self.shown()
        self.setVisible(shown)
        self.arranged.emit(shown, self._narrow or not shown)

    # --- what is remembered -----------------------------------------------------------------------

    def save(self, settings: QSettings) -> None:
        settings.setValue(_KEY, "" if self._wanted is None else str(self._wanted))

    def restore(self, settings: QSettings) -> None:
        kept = str(settings.value(_KEY, ""))
        self._wanted = None if kept == "" else kept == "True"
        self._arrange()

    def reset(self) -> None:
        self._wanted = None
        self._arrange()
