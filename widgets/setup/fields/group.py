"""What every group of fields does with what is typed into them. Main thread."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from engines.protocol.settings import Setting
from widgets.setup.fields.value_field import ValueField
from widgets.theme.theme import Theme


class FieldGroup(QWidget):
    """Tells changes and mistakes under the names of the settings."""

    changed = Signal(str, object)
    """key, values"""
    broke = Signal(str, str)
    """key, what is wrong; "" where it is mended"""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.fields: dict[str, ValueField] = {}

    def _field(self, setting: Setting, empty: str = "") -> ValueField:
        field = self.fields[setting.name] = ValueField(self._theme, setting, empty=empty)
        field.changed.connect(partial(self._field_changed, setting.name))
        field.broke.connect(partial(self.broke.emit, setting.name))
        return field

    def _field_changed(self, name: str, values: object) -> None:
        self.broke.emit(name, "")
        self.changed.emit(name, values)
