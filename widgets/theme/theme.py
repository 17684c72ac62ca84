"""The theme of the application: the design in force, applied to it and followed by its widgets.

One `Theme` lives as long as the application; widgets read it when they paint and `follow` it to set fixed sizes.
Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from weakref import WeakMethod

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from shiboken6 import isValid

from widgets.theme.design import MODES, Design
from widgets.theme.stylesheet import style_sheet


class Theme(Design):
    """The chosen theme ("light", "dark", "system") and text scale. `changed` fires after palette and sheet are set."""

    changed = Signal()

    def __init__(self, cache: Path, mode: str = "system", scale: float = 1.0, parent: QObject | None = None) -> None:
        """`cache` is a folder where tinted icons for the style sheet may be written."""
        super().__init__(cache, mode, scale, parent)
        self._followers: list[WeakMethod[Callable[[], None]]] = []
        self._applied_to: QApplication | None = None

    def choose(self, mode: str | None = None, scale: float | None = None) -> None:
        """Change mode or text scale and restyle everything."""
        before = (self.name, self._scale)
        if mode in MODES:
            self._mode = mode
        if scale is not None:
            self._scale = min(3.0, max(0.75, scale))
        if (self.name, self._scale) != before and self._applied_to is not None:
            self.apply(self._applied_to)

    def apply(self, app: QApplication) -> None:
        """Set style, palette, font and style sheet on the application; tell the followers."""
        if self._applied_to is None:
            app.setStyle("Fusion")
            QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)
        self._applied_to = app
        app.setPalette(self.palette())
        app.setFont(self.font("body"))
        app.setStyleSheet(style_sheet(self))
        alive = []
        for reference in self._followers:
            method = reference()
            if method is not None and isValid(method.__self__):  # type: ignore[attr-defined]
                method()
                alive.append(reference)
        self._followers = alive
        self.changed.emit()

    def follow(self, method: Callable[[], None]) -> None:
        """Call a widget's bound method now and after every change of theme or scale, as long as the widget lives."""
        self._followers.append(WeakMethod(method))
        method()

    def _system_changed(self) -> None:
        if self._mode == "system" and self._applied_to is not None:
            self.apply(self._applied_to)
