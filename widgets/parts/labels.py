"""Labels, lines and pictures, and the properties the style sheet knows them by. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from widgets.theme.design import without_ligatures
from widgets.theme.icons import pixmap
from widgets.theme.theme import Theme

STATUS_ICONS = {"error": "error", "warn": "warning", "warning": "warning", "info": "info", "good": "check"}


def set_look(widget: QWidget, **properties: object) -> None:
    """Set style-sheet properties (`role`, `tone`, `kind`, `status`, ...) on a widget that is already shown."""
    changed = False
    for name, value in properties.items():
        if widget.property(name) != value:
            widget.setProperty(name, value)
            changed = True
    if changed:
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def label(
    text: str = "", *, role: str = "body", tone: str = "primary", wrap: bool = False, selectable: bool = False
) -> QLabel:
    """A label in a role of the type scale and a tone of the theme. Text is always plain."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setProperty("role", role)
    made.setProperty("tone", tone)
    made.setWordWrap(wrap)
    if role == "mono":
        font = made.font()
        without_ligatures(font)
        made.setFont(font)
    if selectable:
        made.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
    return made


def line(parent: QWidget | None = None, *, vertical: bool = False, short: bool = False) -> QFrame:
    """A line of one pixel; `short` ones (20 px) part the groups of a toolbar."""
    made = QFrame(parent)
    made.setProperty("line", "true")
    if vertical:
        made.setFixedWidth(1)
        made.setMinimumHeight(16)
        if short:
            made.setFixedHeight(20)
        made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
    else:
        made.setFixedHeight(1)
    return made


class ElidedLabel(QLabel):
    """A label that ends in an ellipsis where it does not fit, with the whole text as tooltip. Not for numbers.

    Not superqt's: that one asks for the width of its shortened text and so stays short beside a stretch when there is
    room again, has no tooltip, and its import loads a hundred modules before the first paint."""

    def __init__(
        self,
        text: str = "",
        *,
        role: str = "body",
        tone: str = "primary",
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._full = ""
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        self.setProperty("tone", tone)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def text(self) -> str:
        """The whole text, also where it is shown shortened."""
        return self._full

    def setText(self, text: str) -> None:
        self._full = text
        self.setAccessibleName(text)
        self.updateGeometry()
        self._elide()

    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().averageCharWidth() * 4 + self._sides(), super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        wide = self.fontMetrics().horizontalAdvance(self._full) + 2 + self._sides()
        return QSize(wide, super().sizeHint().height())

    def _sides(self) -> int:
        margins = self.contentsMargins()
        return margins.left() + margins.right()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._elide()

    def _elide(self) -> None:
        shown = self.fontMetrics().elidedText(self._full, self._mode, self.width() - self._sides())
        if shown != super().text():
            super().setText(shown)
        self.setToolTip(self._full if shown != self._full else "")


class IconLabel(QLabel):
    """A picture of the icon set that keeps its tint when the theme changes. `meaning` is its accessible name."""

    def __init__(
        self,
        theme: Theme,
        name: str,
        color: str = "text.secondary",
        size: int | None = None,
        meaning: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._name, self._color, self._size = name, color, size
        self.setAccessibleName(meaning)
        self.setToolTip(meaning)
        theme.follow(self._restyle)

    def set_icon(self, name: str, color: str = "text.secondary", meaning: str = "") -> None:
        self._name, self._color = name, color
        self.setAccessibleName(meaning)
        self.setToolTip(meaning)
        self._restyle()

    def _restyle(self) -> None:
        if self._name:
            self.setPixmap(pixmap(self._theme, self._name, self._color, self._size, self.devicePixelRatioF()))
        else:
            self.clear()
