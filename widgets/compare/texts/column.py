"""One configuration's text: its name, how far it agrees with the baseline, the text with the difference marked. Main
thread.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from widgets.compare.texts.rows import TextColumn, found_in
from widgets.parts.components import ElidedLabel, set_look, tool_button
from widgets.parts.layout import flush_column, set_ground
from widgets.theme.swatch import Swatch
from widgets.theme.theme import Theme


class TextArea(QPlainTextEdit):
    """Read only; Left and Right go to the neighbouring column."""

    step_asked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if step and event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
            self.step_asked.emit(step)
        else:
            super().keyPressEvent(event)


class TextColumnView(QFrame):
    """Shows a `TextColumn`."""

    copy_asked = Signal(str)
    """configuration"""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._column = TextColumn("", "", 0, "", "")
        self._search = ""
        set_ground(self, "base", "right")
        self.swatch = Swatch(theme)
        self.title = ElidedLabel(role="panel_title")
        self.copy = tool_button(theme, "copy", tip="Copy this text", clicked=self._copy, compact=True)
        self.meta = ElidedLabel(role="dense", tone="muted")
        self.area = TextArea()
        self._names = head = QHBoxLayout()
        head.addWidget(self.swatch)
        head.addWidget(self.title, 1)
        head.addWidget(self.copy)
        self._head = QWidget()
        set_ground(self._head, "panel")
        self._upper = QVBoxLayout(self._head)
        self._upper.addLayout(head)
        self._upper.addWidget(self.meta)
        column = flush_column(self)
        column.addWidget(self._head)
        column.addWidget(self.area, 1)
        theme.follow(self._restyle)

    def _restyle(self) -> None:
        px = self._theme.px
        self._upper.setContentsMargins(px(12), px(6), px(6), px(8))
        self._upper.setSpacing(px(2))
        self._names.setSpacing(px(8))
        self.area.setFont(self._theme.font("body"))
        self.area.setStyleSheet(f"QPlainTextEdit {{ border: none; border-radius: 0; padding: {px(6)}px {px(8)}px; }}")
        self.setMinimumWidth(px(240))
        self._mark()

    @property
    def column(self) -> TextColumn:
        return self._column

    def show_column(self, column: TextColumn, search: str = "") -> None:
        changed = column.text != self._column.text or column.reason != self._column.reason
        self._column, self._search = column, search
        self.swatch.set_run(column.color)
        self.title.setText(column.title)
        self.meta.setText(column.meta)
        set_look(self.meta, tone=column.tone)
        self.copy.setEnabled(bool(column.text))
        if changed or not self.area.toPlainText():
            self.area.setPlainText(column.text or column.reason)
        self.area.setAccessibleName(f"{column.title}: {column.meta}")
        self._mark()

    def _mark(self) -> None:
        """What equals the baseline is muted, the first difference is marked, search hits are highlighted."""
        theme, column = self._theme, self._column
        made = []
        if not column.text:
            made.append(self._selection(0, len(column.reason), color=theme.color("text.muted")))
        elif not column.baseline and 0 < column.same < len(column.text):
            made.append(self._selection(0, column.same, color=theme.color("text.muted")))
        if column.mark is not None:
            made.append(self._selection(*column.mark, ground=theme.color("status.warn_soft"), line=True))
        for start, end in found_in(column.text, self._search):
            made.append(self._selection(start, end, ground=theme.color("accent.soft")))
        self.area.setExtraSelections(made)

    def _selection(
        self, start: int, end: int, *, color: QColor | None = None, ground: QColor | None = None, line: bool = False
    ) -> QTextEdit.ExtraSelection:
        look = QTextCharFormat()
        if color is not None:
            look.setForeground(color)
        if ground is not None:
            look.setBackground(ground)
        if line:
            look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
            look.setUnderlineColor(self._theme.color("status.warn"))
        cursor = self.area.textCursor()
        units = [len(text.encode("utf-16-le")) // 2 for text in (self._text[:start], self._text[:end])]
        cursor.setPosition(units[0])
        cursor.setPosition(units[1], QTextCursor.MoveMode.KeepAnchor)
        made = QTextEdit.ExtraSelection()
        made.cursor, made.format = cursor, look  # type: ignore[attr-defined]
        return made

    @property
    def _text(self) -> str:
        """Qt counts in UTF-16: an emoji is two."""
        return self._column.text or self._column.reason

    def _copy(self) -> None:
        self.copy_asked.emit(self._column.configuration)
