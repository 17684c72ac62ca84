"""The bottom of Setup: the same on the command line, what is left out, and the Run button. Main thread."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from widgets.parts.components import ElidedLabel, label, line, set_look, tool_button
from widgets.parts.layout import set_ground
from widgets.setup.plan.rows import Seeing
from widgets.theme.theme import Theme

_NARROW = 1200
_SEEING_TIP = (
    "The smallest difference in test loss between two methods that shows with 80 % probability, from the spread of "
    "earlier trials of these configurations"
)


class RunBar(QFrame):
    """56 px. Says what is wanted by signals."""

    run_wanted = Signal()
    save_wanted = Signal()
    copy_wanted = Signal()
    seeds_wanted = Signal(int)
    """So many trials of each, which show a smaller difference."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._saved = False
        self._seeing = Seeing()
        set_ground(self, "panel", "top")
        self._row = row = QHBoxLayout(self)
        self.caption = label("Same on the command line", tone="secondary")
        row.addWidget(self.caption)
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setProperty("role", "mono")
        self.command.setAccessibleName("The same on the command line")
        self.caption.setBuddy(self.command)
        row.addWidget(self.command, 1)
        self.save = tool_button(
            theme, "save", "Save first", "The command reads the saved file: save it", self.save_wanted.emit
        )
        row.addWidget(self.save)
        self.copy = tool_button(theme, "copy", "Copy", "Copy the command", self.copy_wanted.emit)
        row.addWidget(self.copy)
        row.addWidget(line(vertical=True, short=True))
        self.left_out = ElidedLabel("", role="dense", tone="secondary")
        self.why = ElidedLabel("", role="dense", tone="error")
        self.seeing = label("", role="dense", tone="secondary", wrap=True)
        self.seeing.setProperty("markup", "true")
        links = Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        self.seeing.setTextInteractionFlags(links)
        self.seeing.linkActivated.connect(self._seeds_wanted)
        self._words = words = QVBoxLayout()
        words.setSpacing(0)
        words.addStretch(1)
        for text in (self.seeing, self.left_out, self.why):
            text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            words.addWidget(text)
        words.addStretch(1)
        row.addLayout(words)
        self.run = RunButton(theme)
        self.run.clicked.connect(self.run_wanted)
        row.addWidget(self.run)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self.setFixedHeight(px(56))
        self._row.setContentsMargins(px(12), 0, px(12), 0)
        self._row.setSpacing(px(12))
        self.command.setMinimumWidth(px(160))
        self.seeing.setMinimumWidth(px(220))
        self._color_link()

    def show_command(self, command: str, *, saved: bool) -> None:
        """`saved` False: the file does not hold this experiment yet, and the bar says so."""
        if self.command.text() != command:
            self.command.setText(command)
            self.command.setCursorPosition(0)
        self._saved = saved
        self._show_caption()
        self.save.setVisible(not saved)

    def _show_caption(self) -> None:
        """Words give way to the command where it is narrow; icons keep tooltip and name."""
        narrow = self.width() < self._theme.px(_NARROW)
        full = "Same on the command line" if self._saved else "On the command line, once saved"
        self.caption.setText("Command line" if narrow else full)
        self.caption.setToolTip(full if narrow else "")
        style = Qt.ToolButtonStyle.ToolButtonIconOnly if narrow else Qt.ToolButtonStyle.ToolButtonTextBesideIcon
        for button in (self.save, self.copy):
            button.setToolButtonStyle(style)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._show_caption()

    def show_seeing(self, seeing: Seeing) -> None:
        """What will not show, and the number of seeds that shows less as a link that sets it."""
        self._seeing = seeing
        self._color_link()
        self.seeing.setToolTip(_SEEING_TIP)
        self.seeing.setVisible(bool(seeing.text))
        self._row.setStretchFactor(self._words, int(bool(seeing.text)))  # a text that wraps asks for little room

    def _color_link(self) -> None:
        seeing, color = self._seeing, self._theme.color("text.link").name()
        link = f'<a href="{seeing.seeds}" style="color: {color}; text-decoration: none">{escape(seeing.offer)}</a>'
        self.seeing.setText(f"{escape(seeing.text)} {link if seeing.offer else ''}".rstrip())

    def _seeds_wanted(self, link: str) -> None:
        self.seeds_wanted.emit(int(link))

    def show_run(self, text: str, time: str, left_out: str, why: str, *, is_error: bool, reason: str) -> None:
        """`reason`: why it cannot be pressed, "" where it can; shown beside the button as well."""
        self.run.show_text(text, time)
        self.run.setEnabled(not reason)
        self.run.setToolTip(reason or "Run (Ctrl+Enter)")
        self.run.setAccessibleDescription(reason)
        if reason:  # what stands against running comes first
            left_out, why = reason, left_out if self.seeing.isHidden() else ""
        if not self.seeing.isHidden() and left_out and why:
            left_out, why = "", f"{left_out}: {why}"  # three lines have no room
        self.left_out.setText(left_out)
        self.left_out.setVisible(bool(left_out))
        self.why.setText(why)
        self.why.setVisible(bool(why))
        set_look(self.why, tone="error" if is_error else "muted")


class RunButton(QPushButton):
    """ "Run 69 trials" at weight 600, the time after it at weight 400."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._texts = ("Run", "")
        self.setProperty("kind", "main")
        self.setAutoDefault(False)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_text(self, text: str, time: str) -> None:
        self._texts = (text, time)
        self.setAccessibleName(f"{text}, {time}" if time else text)
        self.updateGeometry()
        self.update()

    @property
    def shown(self) -> str:
        """Everything on the button, as one reads it."""
        return "  ".join(part for part in self._texts if part)

    def _widths(self) -> tuple[int, int]:
        text, time = self._texts
        first = QFontMetrics(self._theme.font("body", 600)).horizontalAdvance(text) + 1
        return first, QFontMetrics(self._theme.font("body", 400)).horizontalAdvance(time) + 1 if time else 0

    def sizeHint(self) -> QSize:
        first, second = self._widths()
        gap = self._theme.px(12) if second else 0
        return QSize(first + second + gap + 2 * self._theme.px(18), self._theme.height("button_main"))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = ""
        painter = QStylePainter(self)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        first, second = self._widths()
        gap = self._theme.px(12) if second else 0
        left = (self.width() - first - gap - second) // 2
        self._draw(painter, left, first, self._texts[0], 600)
        self._draw(painter, left + first + gap, second, self._texts[1], 400)
        painter.end()

    def _draw(self, painter: QPainter, left: int, width: int, text: str, weight: int) -> None:
        if not text:
            return
        painter.setFont(self._theme.font("body", weight))
        painter.setPen(self._theme.color("text.on_accent" if self.isEnabled() else "text.disabled"))
        painter.drawText(left, 0, width, self.height(), int(Qt.AlignmentFlag.AlignVCenter), text)
