"""Whether an experiment may end early, and how well its ratios must be known then. Main thread."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from engines.protocol.settings import settings_of
from widgets.parts.components import UnitLineEdit, label
from widgets.parts.layout import flush_column
from widgets.theme.theme import Theme
from workbench.experiment.experiment import RunSettings
from workbench.typed_numbers import NotANumber, parse_number

_KEY = next(key for key in settings_of(RunSettings) if key.name == "stop_at_ratio")


class StopField(QWidget):
    """Empty is off. What is typed is in percent, the experiment's value is a ratio."""

    changed = Signal(object)
    """A tuple of the ratio, or of None for off."""
    broke = Signal(str)
    """What is wrong with the text; the last value stays in force."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: float | None = None
        self.error = ""
        column = flush_column(self, theme.px(2))
        self.line = UnitLineEdit(theme, "± %")
        self.line.setAccessibleName("Stop early at ± percent")
        self.line.setPlaceholderText("off")
        self.line.setMinimumWidth(theme.px(60))
        self.line.textEdited.connect(self._edited)
        column.addWidget(self.line)
        self.message = label("", role="dense", tone="error", wrap=True)
        self.message.hide()
        column.addWidget(self.message)
        self.setFocusProxy(self.line)

    def set_value(self, value: float | None, *, force: bool = False) -> None:
        """Show a ratio. The same one as before leaves the text alone, also one with a mistake, unless forced."""
        if value == self._value and not force:
            return
        self._value = value
        if force or parse_percent(self.line.text()) != (value, ""):
            self.line.setText("" if value is None else f"{100 * value:g}")
        self._say("")

    def _edited(self, text: str) -> None:
        value, error = parse_percent(text)
        self._say(error)
        if error:
            self.broke.emit(error)
        else:
            self._value = value
            self.changed.emit((value,))

    def _say(self, error: str) -> None:
        self.error = error
        self.line.set_invalid(error)
        self.message.setText(error)
        self.message.setVisible(bool(error))


def parse_percent(text: str) -> tuple[float | None, str]:
    """(ratio or None for off, what is wrong with the text)."""
    plain = text.strip().removeprefix("±").removesuffix("%").strip()
    if not plain or plain.lower() == "off":
        return None, ""
    try:
        value = round(parse_number(plain) / 100, 6)
    except NotANumber as error:
        return None, str(error) if error.readings else f"A percentage is needed, such as 2, not “{text.strip()}”."
    found, wrong, _ = _KEY.check(value)
    if wrong:
        low, high = 100 * (_KEY.minimum or 0), 100 * (_KEY.maximum or 1)
        return None, f"Between {low:g} and {high:g} %, or empty for off."
    assert isinstance(found, float)
    return found, ""
