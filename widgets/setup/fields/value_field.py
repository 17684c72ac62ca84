"""A form's field for one value or a sweep: unit or range inside, what is wrong under it. Main thread."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, Signal
from PySide6.QtGui import QFontMetrics, QResizeEvent
from PySide6.QtWidgets import QLineEdit, QWidget

from engines.protocol.settings import Scalar, Setting
from widgets.parts.choice import Choice
from widgets.parts.components import UnitLineEdit, label, set_look
from widgets.parts.layout import flush_column
from widgets.setup.fields.values import Parsed, parse_values, show_values
from widgets.theme.theme import Theme


class ValueField(QWidget):
    """What is typed is parsed at once. Text with a mistake stays until it is mended or another value is set."""

    changed = Signal(object)
    """A tuple of values the user typed or chose."""
    broke = Signal(str)
    """What is wrong with the text; the last values stay in force."""

    def __init__(
        self,
        theme: Theme,
        setting: Setting,
        *,
        name: str = "",
        empty: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """`name`: for those who hear the form. `empty`: what no value means ("drawn"), where none is needed."""
        super().__init__(parent)
        self._theme = theme
        self._optional = bool(empty)
        bounds = setting.range_text() if setting.type != "text" and not empty else ""
        self._setting, self._suffix = setting, setting.suffix or setting.unit or bounds
        choices = ("on", "off") if setting.type == "bool" else setting.choices
        self._values: tuple[Scalar, ...] | None = None
        self.error = ""
        column = flush_column(self, theme.px(2))
        self.combo: Choice | None = None
        self.line: QLineEdit
        if choices:
            self.combo = Choice(4)
            self.combo.setEditable(True)
            self.combo.setInsertPolicy(Choice.InsertPolicy.NoInsert)
            self.combo.setCompleter(None)  # type: ignore[arg-type]
            self.combo.addItems(list(choices))
            self.combo.setAccessibleName(name or setting.title)
            self.combo.textActivated.connect(self._edited)
            line = self.combo.lineEdit()
            assert line is not None
            self.line = line
            column.addWidget(self.combo)
        else:
            self.line = UnitLineEdit(theme, self._suffix)
            self.line.setPlaceholderText(empty)
            column.addWidget(self.line)
        self.line.setAccessibleName(name or setting.title)
        self.line.setMinimumWidth(theme.px(60))
        self.line.textEdited.connect(self._edited)
        self.line.textChanged.connect(self._fit)
        self.message = label("", role="dense", tone="error", wrap=True)
        self.message.hide()
        column.addWidget(self.message)
        self.setFocusProxy(self.combo or self.line)

    def set_values(self, values: Sequence[Scalar], *, force: bool = False) -> None:
        """Show values. The same ones as before leave the text alone, also one with a mistake, unless forced."""
        new = tuple(values)
        if new == self._values and not force:
            return
        self._values = new
        parsed = self._parsed(self.line.text())
        if parsed.error or parsed.values != new or force:
            self.line.setText(show_values(new))
            self.line.setCursorPosition(0)
        self._say("")

    def set_suffix(self, suffix: str) -> None:
        """In place of the unit or range."""
        self._suffix = suffix
        if isinstance(self.line, UnitLineEdit):
            self.line.set_suffix(suffix)

    def set_enabled(self, enabled: bool, reason: str = "") -> None:
        target = self.combo or self.line
        target.setEnabled(enabled)
        target.setToolTip(reason)
        target.setAccessibleDescription(reason)

    def _parsed(self, text: str) -> Parsed:
        return parse_values(text, self._setting, optional=self._optional)

    def _edited(self, text: str) -> None:
        parsed = self._parsed(text)
        self._say(parsed.error)
        if parsed.error:
            self.broke.emit(parsed.error)
        else:
            self._values = parsed.values
            self.changed.emit(parsed.values)

    def _say(self, error: str) -> None:
        self.error = error
        count = len(self._values or ())
        hidden = count > 1 and not self._fits(show_values(self._values or ()))
        text = error or (f"A sweep: {show_values(self._values or ())}" if hidden else "")
        if isinstance(self.line, UnitLineEdit):
            self.line.set_invalid(error)
        else:
            set_look(self.line, invalid="true" if error else "false")
            self.line.setToolTip(error)
        if not error and count > 1:
            self.line.setToolTip(show_values(self._values or ()))
        set_look(self.message, tone="error" if error else "muted")
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _fits(self, text: str) -> bool:
        return QFontMetrics(self._theme.font("body")).horizontalAdvance(text) < self.line.width() - self._theme.px(24)

    def _fit(self) -> None:
        """The unit gives way to a text that needs its room."""
        if not isinstance(self.line, UnitLineEdit) or not self._suffix:
            return
        metrics = QFontMetrics(self._theme.font("body"))
        suffix = QFontMetrics(self._theme.font("dense")).horizontalAdvance(self._suffix)
        room = self.line.width() - suffix - self._theme.px(32)
        wanted = self._suffix if metrics.horizontalAdvance(self.line.text()) <= room else ""
        if wanted != self.line.suffix:
            self.line.set_suffix(wanted)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and hasattr(self, "line"):
            self._fit()
