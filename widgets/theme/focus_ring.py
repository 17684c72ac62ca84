"""The 2-px ring around what the keyboard is on, 1 px outside of it; inside for lists, plots and text areas.

One ring for a window: a child that is only as large as the ring itself (a mask keeps its middle out), so that what it
surrounds can repaint without it. Main thread.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen, QRegion
from PySide6.QtWidgets import QAbstractScrollArea, QAbstractSpinBox, QApplication, QComboBox, QLineEdit, QWidget

from widgets.theme.theme import Theme

_MOVES = {
    QEvent.Type.Move,
    QEvent.Type.Resize,
    QEvent.Type.Show,
    QEvent.Type.Hide,
    QEvent.Type.EnabledChange,
    QEvent.Type.ParentChange,
}


class FocusRing(QWidget):
    """Follows the focus of one window. Not shown where a mouse click moved the focus, but for text fields, nor around
    widgets whose property `ring` is False (whole pages and cards)."""

    def __init__(self, theme: Theme, window: QWidget) -> None:
        super().__init__(window)
        self._theme = theme
        self._window = window
        self._target: QWidget | None = None
        self._watched: list[QWidget] = []
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        app.focusChanged.connect(self._focus_changed)
        theme.changed.connect(self._place)

    @property
    def target(self) -> QWidget | None:
        """What the ring surrounds now."""
        return self._target

    def _focus_changed(self, _old: QWidget | None, new: QWidget | None) -> None:
        by_mouse = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        typed_in = isinstance(new, QLineEdit | QAbstractSpinBox | QComboBox)
        quiet = new is not None and new.property("ring") is False
        if new is None or quiet or new.window() is not self._window or (by_mouse and not typed_in):
            self._follow(None)
        else:
            self._follow(new)

    def _follow(self, target: QWidget | None) -> None:
        for old in self._watched:
            old.removeEventFilter(self)
            old.destroyed.disconnect(self._gone)
        self._watched = []
        # inside a spin box or an editable combo the field has the focus: the ring goes around the whole control
        if isinstance(target, QLineEdit) and isinstance(target.parent(), QAbstractSpinBox | QComboBox):
            target = target.parentWidget()
        self._target = target
        widget: QWidget | None = target
        while widget is not None and widget is not self._window:
            widget.installEventFilter(self)
            widget.destroyed.connect(self._gone)
            self._watched.append(widget)
            widget = widget.parentWidget()
        self._place()

    def _gone(self) -> None:
        self._watched = []
        self._target = None
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in _MOVES:
            self._place()
        return False

    def _place(self) -> None:
        target = self._target
        if target is None or not target.isVisible():
            self.hide()
            return
        width = int(self._theme.tokens["line"]["focus"])
        offset = int(self._theme.tokens["line"]["focus_offset"])
        inside = isinstance(target, QAbstractScrollArea)
        grow = 0 if inside else width + offset
        area = QRect(target.mapTo(self._window, QPoint(0, 0)), target.size()).adjusted(-grow, -grow, grow, grow)
        self.setGeometry(area)
        hole = QRect(0, 0, area.width(), area.height()).adjusted(width + 1, width + 1, -width - 1, -width - 1)
        ring = QRegion(0, 0, area.width(), area.height()).subtracted(QRegion(hole))
        seen = ring.intersected(self._clip(target).translated(-area.topLeft()))
        if seen.isEmpty():
            self.hide()
            return
        self.setMask(seen)
        self.raise_()
        self.show()
        self.update()

    def _clip(self, target: QWidget) -> QRect:
        """What of the window is not cut off by a scroll area around the target."""
        clip = self._window.rect()
        widget = target.parentWidget()
        while widget is not None and widget is not self._window:
            if isinstance(widget.parentWidget(), QAbstractScrollArea):
                clip = clip.intersected(QRect(widget.mapTo(self._window, QPoint(0, 0)), widget.size()))
            widget = widget.parentWidget()
        return clip

    def paintEvent(self, event: QPaintEvent) -> None:
        width = float(self._theme.tokens["line"]["focus"])
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.color("border.focus"), width))
        radius = 0.0 if isinstance(self._target, QAbstractScrollArea) else self._theme.radius("control") + 2.0
        half = width / 2
        painter.drawRoundedRect(self.rect().toRectF().adjusted(half, half, -half, -half), radius, radius)
        painter.end()
