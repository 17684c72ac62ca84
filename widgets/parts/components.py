"""Small parts every page is made of: chips, buttons, panel headers, segments, empty states, unit fields, and the labels
of `widgets.parts.labels`.

They take their sizes from the theme and follow it. Main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyleOptionToolButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets.parts.labels import STATUS_ICONS, ElidedLabel, IconLabel, label, line, set_look
from widgets.parts.layout import flush_column, flush_row, set_ground
from widgets.theme.icons import icon
from widgets.theme.theme import Theme

__all__ = [
    "STATUS_ICONS",
    "Chip",
    "ElidedLabel",
    "EmptyState",
    "IconLabel",
    "Panel",
    "PanelHeader",
    "SegmentedControl",
    "ToolButton",
    "UnitLineEdit",
    "label",
    "line",
    "push_button",
    "set_look",
    "tool_button",
]


_BESIDE = Qt.ToolButtonStyle.ToolButtonTextBesideIcon


class ToolButton(QToolButton):
    """An icon with or without text. Without text, `tip` is tooltip and accessible name."""

    def __init__(
        self,
        theme: Theme,
        icon_name: str = "",
        text: str = "",
        tip: str = "",
        *,
        kind: str = "flat",
        compact: bool = False,
        checkable: bool = False,
        color: str = "text.secondary",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._icon_name = icon_name
        self._color = color
        self.setProperty("kind", kind)
        self.setProperty("compact", "true" if compact else "false")
        self.setCheckable(checkable)
        self.setText(text)
        self.setToolTip(tip or text)
        self.setAccessibleName(text or tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if not text:
            self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
        else:
            self.setToolButtonStyle(_BESIDE if icon_name else Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.toggled.connect(self._restyle)
        theme.follow(self._restyle)

    def set_icon(self, name: str, color: str = "text.secondary") -> None:
        self._icon_name, self._color = name, color
        self._restyle()

    def set_tip(self, tip: str) -> None:
        self.setToolTip(tip)
        if not self.text():
            self.setAccessibleName(tip)

    def initStyleOption(self, option: QStyleOptionToolButton) -> None:
        """The style's gap between icon and text is 4 px whatever the text size: a thin space widens it."""
        super().initStyleOption(option)
        if self._icon_name and self.text() and self.toolButtonStyle() == _BESIDE:
            option.text = f"\u2009{self.text()}"  # type: ignore[attr-defined]

    def _restyle(self) -> None:
        if self._icon_name:
            color = "text.link" if self.isCheckable() and self.isChecked() else self._color
            self.setIcon(icon(self._theme, self._icon_name, color))
        edge = self._theme.icon_size()
        self.setIconSize(QSize(edge, edge))


def tool_button(
    theme: Theme,
    icon_name: str = "",
    text: str = "",
    tip: str = "",
    clicked: Callable[[], None] | None = None,
    *,
    kind: str = "flat",
    compact: bool = False,
    checkable: bool = False,
) -> ToolButton:
    """A tool button with its slot. `kind`: "flat", "box" (bordered), "inline" (20 px, in rows)."""
    made = ToolButton(theme, icon_name, text, tip, kind=kind, compact=compact, checkable=checkable)
    if clicked is not None:
        made.clicked.connect(clicked)
    return made


def push_button(text: str, clicked: Callable[[], None] | None = None, *, kind: str = "") -> QPushButton:
    """A button with a verb on it. `kind`: "" (bordered), "main" (36 px, accent), "danger", "inline", "link"."""
    made = QPushButton(text)
    made.setProperty("kind", kind)
    made.setAutoDefault(False)
    if kind == "link":
        made.setCursor(Qt.CursorShape.PointingHandCursor)
    if clicked is not None:
        made.clicked.connect(clicked)
    return made


class Chip(QLabel):
    """A word on a soft ground: "good", "bad", "warn", "error", "info", "neutral". 20 px high."""

    def __init__(self, theme: Theme, text: str = "", status: str = "neutral", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", "dense")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.set(text, status)
        theme.follow(self._restyle)

    def set(self, text: str, status: str = "neutral") -> None:
        self.setText(text)
        self.setAccessibleName(text)
        set_look(self, status=status)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("chip"))


class PanelHeader(QFrame):
    """32 px: title (600), count in muted text, tools at the right end, a line below."""

    def __init__(self, theme: Theme, title: str, count: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        set_ground(self, "panel", "bottom")
        self.row = QHBoxLayout(self)
        self.title = label(title, role="panel_title")
        self.count = label(count, tone="muted")
        self.row.addWidget(self.title)
        self.row.addWidget(self.count)
        self.row.addStretch(1)
        theme.follow(self._restyle)

    def set_title(self, title: str) -> None:
        self.title.setText(title)

    def set_count(self, text: str) -> None:
        self.count.setText(text)

    def add_tool(self, widget: QWidget) -> None:
        """Append at the right end."""
        self.row.addWidget(widget)

    def _restyle(self) -> None:
        self.setFixedHeight(self._theme.height("panel_header"))
        self.row.setContentsMargins(self._theme.spacing("m"), 0, self._theme.spacing("s"), 0)
        self.row.setSpacing(self._theme.spacing("s"))


class Panel(QFrame):
    """A header over `body`. Flat; panels meet in the splitter's 1-px lines."""

    def __init__(
        self, theme: Theme, title: str, count: str = "", *, ground: str = "panel", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        set_ground(self, ground)
        self.setAccessibleName(title)
        column = flush_column(self)
        self.header = PanelHeader(theme, title, count, self)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)
        column.addWidget(self.header)
        column.addLayout(self.body, 1)


class SegmentedControl(QWidget):
    """One of a few choices, side by side. Arrow keys move; `chosen(int)` fires when the user or `choose` changes it."""

    chosen = Signal(int)

    def __init__(self, theme: Theme, labels: Sequence[str], name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._row = flush_row(self)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._theme = theme
        for index, text in enumerate(labels):
            button = ToolButton(theme, text=text, kind="segment", checkable=True, parent=self)
            end = "first" if index == 0 else "last" if index == len(labels) - 1 else "middle"
            button.setProperty("end", end)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._group.addButton(button, index)
            self._row.addWidget(button)
        if labels:
            self._group.button(0).setChecked(True)
        self._group.idClicked.connect(self.chosen)

    @property
    def index(self) -> int:
        return self._group.checkedId()

    def choose(self, index: int) -> None:
        """Choose by program; fires `chosen` if that is a change."""
        if index != self.index:
            self._group.button(index).setChecked(True)
            self.chosen.emit(index)

    def show_choice(self, index: int) -> None:
        """Show as chosen what was chosen elsewhere. Fires nothing."""
        self._group.button(index).setChecked(True)

    def clear(self) -> None:
        """No segment is chosen: the value is none of them. Fires nothing."""
        chosen = self._group.checkedButton()
        if chosen is not None:
            self._group.setExclusive(False)
            chosen.setChecked(False)
            self._group.setExclusive(True)

    def set_text(self, index: int, text: str) -> None:
        """New words on a segment ("Cannot run 1")."""
        self._group.button(index).setText(text)
        self._group.button(index).setAccessibleName(text)

    def set_shown(self, index: int, shown: bool) -> None:
        """Whether a segment is there at all."""
        self._group.button(index).setVisible(shown)

    def set_enabled(self, index: int, enabled: bool, reason: str = "") -> None:
        self._group.button(index).setEnabled(enabled)
        self._group.button(index).setToolTip(reason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        wanted = self.index + step
        if step and 0 <= wanted < len(self._group.buttons()):
            self.choose(wanted)
            self._group.button(wanted).setFocus(Qt.FocusReason.TabFocusReason)
        else:
            super().keyPressEvent(event)


class EmptyState(QWidget):
    """Why a page is empty, and the one action that fills it. The only thing that is centred."""

    def __init__(
        self,
        theme: Theme,
        title: str,
        text: str = "",
        *,
        icon_name: str = "",
        action: str = "",
        clicked: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setAccessibleName(title)
        column = QVBoxLayout(self)
        column.setSpacing(theme.spacing("s"))
        column.addStretch(2)
        middle = Qt.AlignmentFlag.AlignHCenter
        if icon_name:
            column.addWidget(IconLabel(theme, icon_name, "text.muted", 20), alignment=middle)
        self.title = label(title, role="panel_title")
        self.title.setAlignment(middle)
        self.title.setWordWrap(True)
        column.addWidget(self.title)
        self.text = label(text, tone="muted", wrap=True)
        self.text.setAlignment(middle)
        self.text.setVisible(bool(text))
        column.addWidget(self.text)
        self.button = push_button(action or " ", clicked)
        self.button.setVisible(bool(action))
        column.addWidget(self.button, alignment=middle)
        column.addStretch(3)

    def set(self, title: str, text: str = "") -> None:
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))


class UnitLineEdit(QLineEdit):
    """A field with its unit or range painted inside at the right end: "1024 | tokens", "16 | 1 to 512"."""

    def __init__(self, theme: Theme, suffix: str = "", text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._theme = theme
        self._suffix = ""
        self.set_suffix(suffix)

    @property
    def suffix(self) -> str:
        return self._suffix

    def set_suffix(self, suffix: str) -> None:
        self._suffix = suffix
        self._fit()
        self.update()

    def set_invalid(self, reason: str = "") -> None:
        """Mark the field as wrong and say why in its tooltip; "" takes the mark away."""
        set_look(self, invalid="true" if reason else "false")
        self.setToolTip(reason)
        self.setAccessibleDescription(reason)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit()

    def _fit(self) -> None:
        width = QFontMetrics(self._theme.font("dense")).horizontalAdvance(self._suffix) if self._suffix else 0
        self.setTextMargins(0, 0, width + self._theme.spacing("s") if width else 0, 0)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._suffix:
            return
        painter = QPainter(self)
        painter.setFont(self._theme.font("dense"))
        painter.setPen(self._theme.color("text.muted" if self.isEnabled() else "text.disabled"))
        area = self.rect().adjusted(0, 0, -self._theme.spacing("s") - 1, 0)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), self._suffix)
        painter.end()
